# SPDX-License-Identifier: Apache-2.0
"""How a graph is run: on threads of this process, or on worker processes as a cluster would."""

import ctypes
import gc
import logging
import os
import pickle
import shutil
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

THREADS = "threads"
PROCESSES = "processes"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # numbers of glibc's malloc.h


class _Options(PipelineOptions):  # type: ignore[misc]  # Beam has no types
    """Options that make each of their views once: a graph asks for views by the hundred, each parsed anew."""

    def view_as(self, cls: Any) -> Any:
        """Return the options as an instance of another class; views share their values."""
        views: dict[Any, Any] = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


@contextmanager
def new_pipeline(mode: str, workers: int) -> Iterator[beam.Pipeline]:
    """Give an empty graph, to be filled; it runs on `workers` threads or processes of this machine on leaving.

    Threads suffice on one machine: the kernels let go of the interpreter's lock. Beam advises against workers in memory
    because Python code would not run side by side; ours hardly runs.
    """
    logging.getLogger("apache_beam.runners.portability.fn_api_runner.fn_runner").setLevel(logging.ERROR)
    _keep_memory()
    running = "multi_processing" if mode == PROCESSES else "in_memory"
    options = _Options([f"--direct_num_workers={workers}", f"--direct_running_mode={running}"])
    with _collector_at_rest(), beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline:
        yield pipeline


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Keep the cycle collector from walking all of Beam's objects, holding both threads, in the middle of a run."""
    _set_imports_aside()
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()


@cache
def _set_imports_aside() -> None:
    """Tell the collector once that what has been imported stays."""
    gc.collect()
    gc.freeze()


@cache
def _keep_memory() -> None:
    """Let the C library keep what it frees, where it can be told to.

    Columns of a megabyte come and go by the thousand; given back each time, every page of each would be faulted in and
    zeroed again, which costs a slot a tenth of its time.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)


class WriteReports(beam.DoFn):  # type: ignore[misc]  # Beam has no types
    """Store the small facts that the stages report where the driver of the run finds them; then clear up."""

    def __init__(self, target: str, spill: str) -> None:
        """Name the file, and the folder that nobody needs once every stage has reported."""
        self._target = target
        self._spill = spill

    def process(self, element: tuple[int, Iterable[Any]]) -> list[None]:
        """Write all reports as one file."""
        Path(self._target).write_bytes(pickle.dumps(list(element[1]), protocol=5))
        shutil.rmtree(self._spill, ignore_errors=True)  # before the driver syncs: none of it has to reach the disk
        return []


ONE_KEY = 0


class CollectReports(beam.PTransform):  # type: ignore[misc]  # Beam has no types
    """Collect the reports of all stages, keyed by `ONE_KEY`, in one file."""

    def __init__(self, target: Path, spill: Path) -> None:
        """Name the file, and the folder to remove when all have reported."""
        super().__init__()
        self._target = str(target)
        self._spill = str(spill)

    def expand(self, reports: Any) -> Any:
        """Group everything and write it."""
        return (
            reports | "Together" >> beam.GroupByKey() | "Write" >> beam.ParDo(WriteReports(self._target, self._spill))
        )


class Elements(beam.PTransform):  # type: ignore[misc]  # Beam has no types
    """The numbered elements of a graph, spread over the workers: (number, iterable of the one element).

    Grouping by number does what a reshuffle does in a third of the steps, and each step has its price.
    """

    def __init__(self, numbered: Iterable[tuple[int, Any]]) -> None:
        """Keep the elements."""
        super().__init__()
        self._numbered = list(numbered)

    def expand(self, pipeline: Any) -> Any:
        """Group the elements by number."""
        elements = beam.Create(self._numbered, reshuffle=False).with_output_types(tuple[int, Any])
        return pipeline | "All" >> elements | "Spread" >> beam.GroupByKey()


def leave_report(folder: Path, name: str, facts: Any) -> None:
    """Leave the small facts of one element where the driver of the run finds them; a second attempt replaces them.

    Through the graph they would take a stage of their own, and a stage costs as much as a million reads.
    """
    attempt = folder / f".{name}.{os.getpid()}.{threading.get_ident()}"
    attempt.write_bytes(pickle.dumps(facts, protocol=5))
    attempt.rename(folder / name)


def read_reports(folder: Path) -> list[Any]:
    """Return what `leave_report` left, in the order of the names."""
    if folder.is_file():
        return list(pickle.loads(folder.read_bytes()))  # noqa: S301
    return [pickle.loads(path.read_bytes()) for path in sorted(folder.iterdir())]  # noqa: S301  written by this run
