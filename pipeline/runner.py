# SPDX-License-Identifier: Apache-2.0
"""How a graph is run: on threads of this process, or on worker processes as a cluster would."""

import atexit
import ctypes
import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from pipeline.beam_costs import lower_costs

THREADS = "threads"
PROCESSES = "processes"
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # numbers of glibc's malloc.h


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
    # what a stage raised comes back to the driver with its trace, which says it once and in words
    logging.getLogger("apache_beam.runners.common").setLevel(logging.CRITICAL)
    _keep_memory()
    lower_costs()
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
    """Tell the collector once that what has been imported stays, until the process ends."""
    gc.collect()
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries look for what leaked


@cache
def _keep_memory() -> None:
    """Let the C library keep what it frees, where it can be told to, for all threads and for Arrow alike.

    Columns of a megabyte come and go by the thousand; given back each time, every page of each would be faulted in and
    zeroed again, which costs a slot a tenth of its time. So does memory of a thread's own that another cannot use.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)
        mallopt(_M_ARENA_MAX, 1)
        pa.set_memory_pool(pa.system_memory_pool())
