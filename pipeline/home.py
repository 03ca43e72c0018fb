# SPDX-License-Identifier: Apache-2.0
"""The home: where everything of one installation lies, who may change it, and how a change becomes durable."""

import ctypes
import fcntl
import json
import os
import shutil
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from koma.errors import HomeError
from pipeline.columns import replace_file
from pipeline.trouble import what_to_do

_T = TypeVar("_T")

HOME_VERSION = 5
"""The layout of a home. A Koma changes only homes of its own layout; `pipeline.migration` tells of the others."""
MARKER = "home.json"
FOLDERS = (
    "landing",
    "taken",
    "deliveries",
    "master",
    "registers",
    "minutes",
    "held",
    "journal",
    "quarantine",
    "ledger",
    "estimates",
    "history",
    "totals",
    "sla",
    "run",
    "tmp",
)


class BusyError(HomeError):
    """Another process writes the home; `holder` is what it says of itself."""

    holder = ""


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of a home (`KOMA_HOME`)."""

    root: Path

    def path(self, folder: str) -> Path:
        """Return the path of one of `FOLDERS`."""
        assert folder in FOLDERS, folder
        return self.root / folder

    @property
    def landing(self) -> Path:
        """Where the head-end drops hand-over files."""
        return self.root / "landing"

    @property
    def deliveries(self) -> Path:
        """What was issued to each retailer."""
        return self.root / "deliveries"

    @contextmanager
    def sole_writer(self, what: str) -> Iterator[None]:
        """Hold the home's lock: one writer at a time.

        Raises:
            BusyError: another process holds it.

        """
        path = self.root / "run" / "writer.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
                busy = BusyError(
                    f"{self.root} is being written by {holder}", hint="wait until it ends, or stop it, then try again"
                )
                busy.holder = holder
                raise busy from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"koma {what} (process {os.getpid()})\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def in_turn(self, what: str) -> Iterator[None]:
        """Wait until nobody else is at `what` here; each sees what the one before has settled."""
        with (self.path("run") / f"{what}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def fresh_tmp(self, name: str) -> Path:
        """Return an empty folder under tmp, on the same filesystem as all else."""
        path = self.root / "tmp" / name
        if path.exists():
            shutil.rmtree(path)
        path.mkdir(parents=True)
        return path


def layout_of(root: Path) -> int | None:
    """Return the version of the layout of the home at `root`; None where there is no home.

    Raises:
        HomeError: what should say it cannot be read.

    """
    marker = root / MARKER
    try:
        return int(json.loads(marker.read_text())["version"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise HomeError(f"{marker} cannot be read: {error}", hint="restore it from a copy of the home") from error


def mark_layout(root: Path) -> None:
    """Say durably that the home at `root` has this Koma's layout."""
    replace_file(root / MARKER, json.dumps({"version": HOME_VERSION}).encode() + b"\n")


def refuse_later(root: Path, layout: int) -> None:
    """Refuse a home that a later Koma has made or changed.

    Raises:
        HomeError: it is one.

    """
    if layout > HOME_VERSION:
        raise HomeError(
            f"{root} has layout {layout} of a newer Koma, this one knows layouts up to {HOME_VERSION}",
            hint="use the Koma that wrote it; a home does not go back",
        )


def open_home(root: Path, *, create: bool = True) -> Home:
    """Open the home at `root`, making it if it is not there.

    Raises:
        HomeError: `root` is a home of another version, or cannot be made or written.

    """
    root = root.absolute()
    layout = layout_of(root)
    if layout is not None:
        refuse_later(root, layout)
        if layout < HOME_VERSION:
            raise HomeError(
                f"{root} has layout {layout} of an older Koma, this one needs layout {HOME_VERSION}",
                hint="stop what runs on it, keep a copy, then run: koma home migrate",
            )
    elif any((root / "journal").glob("*")):
        raise HomeError(
            f"{root} has a journal and no {MARKER}, which says its layout",
            hint=f"restore {MARKER} from a copy of the home; it is never made anew beside what was issued",
        )
    elif not create:
        raise HomeError(f"{root} is not a Koma home", hint="set KOMA_HOME to one, or import a master to make one")
    try:
        for folder in FOLDERS:
            (root / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = f"{what_to_do(error)}; or set KOMA_HOME to a writable folder"
        raise HomeError(f"{root} cannot be made: {error.strerror}", hint=hint) from error
    if layout is None:
        mark_layout(root)
    return Home(root)


def sync_filesystem(path: Path) -> None:
    """Make everything written to the filesystem of `path` durable: one call for thousands of files.

    Raises:
        OSError: it could not be made durable, as on a full or failing disk.

    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            os.sync()
        elif syncfs(descriptor) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(path))
    finally:
        os.close(descriptor)


def publish(source: Path, target: Path, place: Callable[[str], Path] = Path) -> None:
    """Rename every file of `source` to `target`/`place(name)` and make the names durable.

    The contents must be durable already (`sync_filesystem`). Running it again after a crash finishes the work. One sync
    of the filesystem makes all the names durable; one for each folder would cost more than the files.
    """
    with os.scandir(source) as entries:
        names = sorted(each.name for each in entries)
    folders: defaultdict[Path, list[tuple[str, str]]] = defaultdict(list)
    for name in names:
        to = place(name)
        folders[to.parent].append((name, to.name))

    def move(folder: tuple[Path, list[tuple[str, str]]]) -> None:
        into = target / folder[0]
        into.mkdir(parents=True, exist_ok=True)
        for name, to in folder[1]:
            os.rename(f"{source}/{name}", f"{into}/{to}")  # noqa: PTH104  thousands of files: no Path more than needed

    in_parallel(move, folders.items())
    if names:
        sync_filesystem(target)


def in_parallel(work: Callable[[_T], object], items: Iterable[_T]) -> None:
    """Do small things of the filesystem, which wait more than they compute, two at a time; raises the first error."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        deque(pool.map(work, items), maxlen=0)
