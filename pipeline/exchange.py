# SPDX-License-Identifier: Apache-2.0
"""What the driver of a run and its stages tell each other, through a few files of the run's folder.

Through the graph, descriptions of elements would be pickled, packed and sent with the graph a dozen times, and reports
would take a stage of their own, which costs as much as a million reads. A file an element would be too many: ext4 hands
out new files slowly while it remembers the deleted ones.
"""

import os
import pickle
import threading
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any

import apache_beam as beam

_ELEMENTS = "elements"
_REPORTS = "reports"
_OFFSET_BYTES = 8


class Elements(beam.PTransform):  # type: ignore[misc]  # Beam has no types
    """The numbers of a run's elements, spread over the workers: (number, nothing), for `read_element`.

    Grouping by number does what a reshuffle does in a third of the steps, and each step has its price.
    """

    def __init__(self, work: Path, elements: Iterable[Any]) -> None:
        """Write what the elements are to the run's folder."""
        super().__init__()
        (work / _REPORTS).mkdir()
        packed = [pickle.dumps(element, protocol=5) for element in elements]
        self._count = len(packed)
        start = _OFFSET_BYTES * (self._count + 1)
        offsets = accumulate(map(len, packed), initial=start)
        head = b"".join(offset.to_bytes(_OFFSET_BYTES, "little") for offset in offsets)
        (work / _ELEMENTS).write_bytes(head + b"".join(packed))

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
    with (work / _ELEMENTS).open("rb", buffering=0) as file:
        file.seek(_OFFSET_BYTES * number)
        bounds = file.read(2 * _OFFSET_BYTES)
        first, last = (int.from_bytes(bounds[at : at + _OFFSET_BYTES], "little") for at in (0, _OFFSET_BYTES))
        file.seek(first)
        return pickle.loads(file.read(last - first))  # noqa: S301  written by the driver of this run


class Reporting(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """A stage that ends in facts for the driver: one file for each bundle of elements."""

    def __init__(self, work: Path) -> None:
        """Name the run's folder."""
        self._work = work
        self._reports: dict[str, Any] = {}

    def report(self, element: str, facts: Any) -> None:
        """Keep the small facts of one element; `element` is its name within the run."""
        self._reports[element] = facts

    def finish_bundle(self) -> None:
        """Leave what was kept. A second attempt at a bundle, however it is cut, tells the same of each element."""
        if self._reports:
            folder, name = self._work / _REPORTS, min(self._reports)
            attempt = folder / f".{name}.{os.getpid()}.{threading.get_ident()}"
            attempt.write_bytes(pickle.dumps(self._reports, protocol=5))
            attempt.rename(folder / f"{name}.{len(self._reports)}")
            self._reports = {}


def read_reports(work: Path) -> list[Any]:
    """Return the facts of all elements, in the order of their names."""
    found: dict[str, Any] = {}
    for path in (work / _REPORTS).iterdir():
        if not path.name.startswith("."):
            found |= pickle.loads(path.read_bytes())  # noqa: S301  written by the stages of this run
    return [found[name] for name in sorted(found)]
