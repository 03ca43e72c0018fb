# SPDX-License-Identifier: Apache-2.0
"""What the driver of a run and its stages tell each other, through files of the run's folder.

Through the graph, descriptions of elements would be pickled, packed and sent with the graph a dozen times, and reports
would take a stage of their own, which costs as much as a million reads.
"""

import os
import pickle
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apache_beam as beam

_ELEMENTS = "elements"
_REPORTS = "reports"


class Elements(beam.PTransform):  # type: ignore[misc]  # Beam has no types
    """The numbers of a run's elements, spread over the workers: (number, nothing), for `read_element`.

    Grouping by number does what a reshuffle does in a third of the steps, and each step has its price.
    """

    def __init__(self, work: Path, elements: Iterable[Any]) -> None:
        """Write what the elements are to the run's folder."""
        super().__init__()
        folder = work / _ELEMENTS
        folder.mkdir()
        (work / _REPORTS).mkdir()
        self._count = 0
        for element in elements:
            (folder / str(self._count)).write_bytes(pickle.dumps(element, protocol=5))
            self._count += 1

    def expand(self, pipeline: Any) -> Any:
        """Group the numbers."""
        numbers = [(number, b"") for number in range(self._count)]
        return (
            pipeline
            | "All" >> beam.Create(numbers, reshuffle=False).with_output_types(tuple[int, bytes])
            | "Spread" >> beam.GroupByKey()
        )


def read_element(work: Path, number: int) -> Any:
    """Return what an element is."""
    return pickle.loads((work / _ELEMENTS / str(number)).read_bytes())  # noqa: S301  written by the driver of this run


def leave_report(work: Path, name: str, facts: Any) -> None:
    """Leave the small facts of one element for the driver of the run; a second attempt at it replaces them."""
    attempt = work / _REPORTS / f".{name}.{os.getpid()}.{threading.get_ident()}"
    attempt.write_bytes(pickle.dumps(facts, protocol=5))
    attempt.rename(work / _REPORTS / name)


def read_reports(work: Path) -> list[Any]:
    """Return what was left, in the order of the names."""
    paths = sorted((work / _REPORTS).iterdir())
    return [pickle.loads(path.read_bytes()) for path in paths]  # noqa: S301  written by the stages of this run
