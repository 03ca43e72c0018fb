# SPDX-License-Identifier: Apache-2.0
"""The file layer of a process, with faults: a full disk, a read-only moment, a kill or a halt at the n-th change.

Put between a child process and the system, never into the process of a test. Every change below a folder is seen:
opened for writing, written, renamed, made, removed, cut, synced. Most are seen by an audit hook, which the interpreter
asks before it acts; writes and syncs by standing before the system's functions. Nothing of the project is replaced.
"""

import builtins
import ctypes
import errno
import io
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

KINDS = ("open", "write", "rename", "mkdir", "remove", "truncate", "sync")
_AUDITED = {
    "os.rename": "rename",
    "os.link": "rename",
    "os.mkdir": "mkdir",
    "os.remove": "remove",
    "os.rmdir": "remove",
    "os.truncate": "truncate",
}
_NEEDS_ROOM = {"open", "write", "mkdir", "rename", "sync"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and at which change: the `at`-th (from 0) of a kind, or of all with kind ''.

    `full` and `readonly` last until the process ends; `once` is one refused change on a full disk.
    """

    what: str = "none"  # none, kill, power, full, once, readonly, halt, clock
    kind: str = ""
    at: int = 0
    step_ms: int = 0  # of the machine's clock


@dataclass(slots=True)
class FileLayer:
    """Sees the changes below `root` and lets the fault happen."""

    root: str
    fault: Fault
    synced: Callable[[str | None, int | None], None] | None = (
        None  # told before a sync: a folder's filesystem or a file
    )
    count: Counter[str] = field(default_factory=Counter)
    struck: bool = False
    _lock: Any = field(default_factory=threading.RLock)
    _busy: threading.local = field(default_factory=threading.local)

    def install(self) -> None:
        """Stand between this process and the system, for good."""
        os.write = self._write_to(os.write)
        os.fsync = self._sync_of(os.fsync)  # type: ignore[assignment]
        io.open = builtins.open = _opener(self, io.open)
        layer, plain = self, ctypes.CDLL

        class Library(plain):  # type: ignore[misc, valid-type]
            """The C library whose syncfs goes through the layer."""

            @property
            def syncfs(self) -> Callable[[int], int]:
                return layer.syncfs

        ctypes.CDLL = Library  # type: ignore[misc]
        write_table = pq.write_table

        def write_parquet(table: Any, where: Any, *rest: Any, **options: Any) -> None:
            def half() -> None:
                write_table(table, where, *rest, **options)
                os.truncate(where, Path(where).stat().st_size // 2)

            self.change("write", str(where), half)
            write_table(table, where, *rest, **options)

        pq.write_table = write_parquet
        sys.addaudithook(self._audit)

    def holds(self, path: str) -> bool:
        """Say whether a path lies in the folder that is watched."""
        return path == self.root or path.startswith(f"{self.root}/")

    def change(self, kind: str, path: str, half: Callable[[], object] = lambda: None) -> None:
        """Let a change happen, or the fault; `half` does a part of it, as a cut-off write would."""
        if not self.holds(path) or getattr(self._busy, "now", False):
            return
        with self._lock:
            number = self.count[self.fault.kind or "all"]
            self.count[kind] += 1
            self.count["all"] += 1
            strikes = not self.struck and self.fault.kind in ("", kind) and number == self.fault.at
            if not (strikes or self.struck):
                return
            self._strike(kind, path, half, first=strikes)

    def _strike(self, kind: str, path: str, half: Callable[[], object], *, first: bool) -> None:
        what = self.fault.what
        if what == "none" or (what in ("once", "halt", "clock") and not first):
            return
        if what == "clock":
            self.struck = True
            _step_clock(self.fault.step_ms)
            return
        if first and what not in ("readonly", "halt"):
            self._busy.now = True
            try:
                half()
            finally:
                self._busy.now = False
        self.struck = True
        if what in ("kill", "power"):
            os.kill(os.getpid(), signal.SIGKILL)
        elif what == "halt":
            os.kill(os.getpid(), signal.SIGSTOP)
        elif what == "readonly":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        elif kind in _NEEDS_ROOM or first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        kind = _AUDITED.get(event)
        if kind is None and event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
            kind = "open"
        if kind is not None:
            folder = arguments[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
            self.change(kind, _path_of(arguments[0], folder))

    def _write_to(self, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def seen(descriptor: int, data: Any) -> int:
            half = bytes(memoryview(data)[: len(data) // 2])
            self.change("write", _path_of(descriptor, -1), lambda: write(descriptor, half))
            return write(descriptor, data)

        return seen

    def _sync_of(self, sync: Callable[[Any], None]) -> Callable[[Any], None]:
        def seen(descriptor: Any) -> None:
            number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
            path = _path_of(number, -1)
            self.change("sync", path)
            if not self.holds(path):
                sync(number)
            elif self.synced is not None:
                self.synced(None, number)

        return seen

    def syncfs(self, descriptor: int) -> int:
        """Sync a filesystem; nothing reaches a disk, no test needs it."""
        try:
            self.change("sync", _path_of(descriptor, -1))
        except OSError as error:
            ctypes.set_errno(error.errno or 0)
            return -1
        if self.synced is not None:
            self.synced(self.root, None)
        return 0


def _step_clock(step_ms: int) -> None:
    """Let the machine's clock read another time from now on."""
    nanoseconds = time.time_ns
    time.time_ns = lambda: nanoseconds() + step_ms * 1_000_000
    time.time = lambda: time.time_ns() / 1e9


def _path_of(file: Any, folder: int) -> str:
    """Path of a descriptor, or of a name within an opened folder."""
    if isinstance(file, int):
        try:
            return os.readlink(f"/proc/self/fd/{file}")  # noqa: PTH115
        except OSError:
            return ""
    name = os.fsdecode(file)
    return f"{_path_of(folder, -1)}/{name}" if folder >= 0 else name


def _opener(layer: FileLayer, plain: Callable[..., Any]) -> Callable[..., Any]:
    class Raw(io.FileIO):
        """A file whose writes go through the layer."""

        def write(self, data: Any) -> int:
            layer.change("write", str(self.name), lambda: super(Raw, self).write(bytes(data[: len(data) // 2])))
            return super().write(data) or 0

    def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **options: Any) -> Any:
        below = not isinstance(file, int) and layer.holds(os.fsdecode(file))
        if not below or not set(mode) & set("wxa") or "+" in mode:
            return plain(file, mode, buffering, *rest, **options)
        raw = Raw(file, mode.replace("t", "").replace("b", ""))
        if buffering == 0:
            return raw
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *rest, **options)

    return opened
