# SPDX-License-Identifier: Apache-2.0
"""Where master versions lie in the home, and how a new one becomes the current one.

```
master/current             number of the current version, replaced atomically: the one act that makes a version count
master/v00000007/          one immutable version: its arrays as .npy, version.json
master/log/00000007/       what the import that made it added, as Parquet; versions can be made again from these
quarantine/master/00000007.jsonl
```
Names that begin with a dot are unfinished, and so is what bears a higher number than `current`.
"""

import fcntl
import json
import math
import mmap
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koma.errors import MasterError
from koma.limits import POINT_ID_DIGITS
from pipeline.columns import replace_file, sync_directory
from pipeline.home import BusyError, sync_filesystem
from pipeline.journal import read_state
from pipeline.master import pages
from pipeline.master.blocks import BLOCKS, measured
from pipeline.master.view import MasterView

VERSIONS_KEPT = 8
"""Older versions are taken away, unless an interrupted issue needs them; the log stays."""

LAYOUT = 7
"""Layout 7 has `fine_…` and `device_…`, layout 6 has `carried_…`, layout 5 `attr_read_day`; earlier ones are
brought here by `pipeline.master.rebuild`."""
_WORDS = ("version", "retailers", "bgs")
_NUMBER = re.compile(r"[.v]*([0-9]{8})(?:\.jsonl)?")
_TYPES: dict[str, str] = {
    "shard_points": "i8", "shard_installs": "i4", "point_id": "u1", "rank": "u4", "order": "u4", "area": "u1",
    "attr_of": "i8", "attr_voltage": "u1", "attr_telemetry": "u1", "attr_cap_dwh": "i8",
    "attr_read_day": "u1",
    "attr_rec_from": "i8", "attr_rec_to": "i8",
    "supply_of": "i8", "supply_from": "i4", "supply_to": "i4", "supply_retailer": "u2", "supply_bg": "u2",
    "supply_rec_from": "i8", "supply_rec_to": "i8", "supply_ref_off": "i8", "supply_ref_bytes": "u1",
    "install_of": "i8", "install_local": "u4", "install_from_ms": "i8", "install_to_ms": "i8",
    "install_modulus": "i8", "install_factor": "i8", "install_first": "i8", "install_last": "i8",
    "install_register": "u1", "install_rec_from": "i8", "install_rec_to": "i8",
    "table": "u8", "chain_register": "u1", "chain_lo": "i4", "chain_hi": "i4", "chain_install": "u4",
    "block_of": "i8", "block_measures": "i8",
    "given_stamp": "i4", "given_install": "u4", "given_value": "u4",
    "fine_install": "u4", "fine_minutes": "u1", "fine_from_ms": "i8", "fine_to_ms": "i8",
    "device_position": "u4", "device_main": "u1",
    "changed_position": "u4", "changed_from_slot": "i4", "changed_to_slot": "i4", "changed_rec_ms": "i8",
    "changed_version": "u4",
    "carried_from": "u4", "carried_to": "u4", "carried_lo": "i4", "carried_hi": "i4", "carried_version": "u4",
}  # fmt: skip
_MET_AT_RANDOM = ("table",)
ARRAYS: tuple[str, ...] = tuple(each.name for each in fields(MasterView) if each.name not in _WORDS)
"""Names of the arrays of a version, one file each."""


@dataclass(frozen=True, slots=True)
class MasterStore:
    """The master's folders of one home."""

    home: Path

    @property
    def root(self) -> Path:
        """`master/`."""
        return self.home / "master"

    @property
    def quarantine(self) -> Path:
        """`quarantine/master/`."""
        return self.home / "quarantine" / "master"

    def version_folder(self, version: int) -> Path:
        """Folder of a version's arrays."""
        return self.root / f"v{version:08d}"

    def log_folder(self, version: int) -> Path:
        """Folder of what the import that made `version` added."""
        return self.root / "log" / f"{version:08d}"

    def current(self) -> int:
        """Number of the current version, 0 where there is none.

        Raises:
            MasterError: the pointer file cannot be read.

        """
        try:
            return int((self.root / "current").read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise MasterError(
                f"{self.root / 'current'} cannot be read: {error}", hint="Restore it from a copy of the home"
            ) from error

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Hold the right to import, and clear away what an import that did not end has left.

        Raises:
            BusyError: another import is running.

        """
        (self.root / "log").mkdir(parents=True, exist_ok=True)
        self.quarantine.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BusyError(
                    f"another import into {self.home} is running", hint="Wait until it ends, then try again"
                ) from None
            self._clear()
            yield
        finally:
            os.close(descriptor)

    def next_number(self) -> int:
        """Number for a new import: above every version and every quarantine file."""
        return max([self.current(), *(_number(each.name) for each in self.quarantine.iterdir())]) + 1

    def quarantine_file(self, number: int) -> Path:
        """File of the rows that import `number` refused."""
        return self.quarantine / f"{number:08d}.jsonl"

    def stage_quarantine(self, number: int, lines: Iterable[str]) -> None:
        """Write an import's quarantine file under a name that does not count yet."""
        with (self.quarantine / f".{number:08d}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(lines)

    def publish_quarantine(self, number: int) -> Path | None:
        """Let a staged quarantine file count; its path, or None where nothing was staged."""
        staged = self.quarantine / f".{number:08d}.jsonl"
        if not staged.exists():
            return None
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        path = staged.rename(self.quarantine / staged.name[1:])
        sync_directory(self.quarantine)
        return path

    def stage_version(self, number: int, before: int) -> "StagedVersion":
        """Begin to write version `number`, which follows version `before` (0 for none)."""
        folder = self.root / f".v{number:08d}"
        folder.mkdir()
        return StagedVersion(folder, self.version_folder(before) if before else None, number)

    def publish_version(self, number: int) -> None:
        """Let a staged version, its log and its quarantine file count, durably; take old versions away."""
        sync_filesystem(self.root)
        (self.root / f".v{number:08d}").rename(self.version_folder(number))
        sync_directory(self.root)
        replace_file(self.root / "current", f"{number:08d}\n".encode())
        self.publish_quarantine(number)
        self._thin_out()

    def layout(self, version: int) -> int:
        """Layout of a version's arrays.

        Raises:
            MasterError: what says it cannot be read.

        """
        path = self.version_folder(version) / "version.json"
        try:
            return int(json.loads(path.read_text(encoding="utf-8"))["layout"])
        except (OSError, ValueError, KeyError) as error:
            raise MasterError(f"{path} cannot be read: {error}", hint="Restore it from a copy of the home") from error

    def logged(self) -> list[Path]:
        """Log folders of the imports that make up the current version, in order."""
        return self._numbered(self.root / "log", "")

    def _numbered(self, parent: Path, prefix: str) -> list[Path]:
        found = [each for each in parent.iterdir() if re.fullmatch(prefix + "[0-9]{8}", each.name)]
        return sorted(found)

    def _thin_out(self) -> None:
        """Take old versions away, but not what an issue that a crash interrupted has to be finished with."""
        old = self._numbered(self.root, "v")[:-VERSIONS_KEPT]
        if not old:
            return
        state = read_state(self.home / "journal")
        intents = (state.intent, state.daily_intent, state.monthly_intent)
        needed = min((each["master"] for each in intents if each is not None), default=math.inf)
        for folder in old:
            if _number(folder.name) < needed:
                shutil.rmtree(folder)

    def _clear(self) -> None:
        current = self.current()
        for folder in self.root.glob(".v*"):
            shutil.rmtree(folder)
        for folder in [*self._numbered(self.root, "v"), *self.logged()]:
            if _number(folder.name) > current:
                shutil.rmtree(folder)
        for staged in self.quarantine.glob(".*.jsonl"):
            if _number(staged.name) == current:
                self.publish_quarantine(current)
            else:
                staged.unlink()


@dataclass(slots=True)
class StagedVersion:
    """A version being written; it does not count yet. Files equal to those of the version before are shared."""

    folder: Path
    before: Path | None
    number: int
    _written: set[str] = field(default_factory=set)

    def put(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write some of `ARRAYS`."""
        for name, array in arrays.items():
            whole = array.astype(_TYPES[name], order="C", copy=False)
            old = self.before / f"{name}.npy" if self.before else None
            if old is not None and old.exists() and _same(old, whole):
                os.link(old, self.folder / f"{name}.npy")
            else:
                save = pages.save if name in _MET_AT_RANDOM else np.save
                save(self.folder / f"{name}.npy", whole)
            self._written.add(name)

    def close(self, words: Mapping[str, object]) -> None:
        """Write `version.json` and what follows from the arrays; those that were not put stay as they were before."""
        missing = set(ARRAYS) - self._written - set(BLOCKS)
        if self.before is None:
            empty = empty_arrays()
            self.put({name: empty[name] for name in missing})
        else:
            for name in missing:
                os.link(self.before / f"{name}.npy", self.folder / f"{name}.npy")
        self.put(measured(lambda name: _mapped(self.folder / f"{name}.npy")))
        text = json.dumps({"layout": LAYOUT, "version": self.number, **words}, ensure_ascii=False)
        (self.folder / "version.json").write_text(text + "\n", encoding="utf-8")


def open_master(home: Path, version: int | None = None) -> MasterView:
    """Version of the home's master, the current one unless given; an empty one (version 0) where there is none.

    The same object for the same version within a process; its arrays are mapped, not read.

    Raises:
        MasterError: there is no such version, or it cannot be read.

    """
    root = home.absolute()
    return _opened(root, MasterStore(root).current() if version is None else version)


@lru_cache(maxsize=4)
def _opened(home: Path, version: int) -> MasterView:
    if version == 0:
        return _empty()
    folder = MasterStore(home).version_folder(version)
    try:
        words = json.loads((folder / "version.json").read_text(encoding="utf-8"))
        if words["layout"] != LAYOUT:
            raise MasterError(
                f"{folder} has layout {words['layout']}, this Koma reads layout {LAYOUT}",
                hint="koma home migrate brings the current version here; for another, use the Koma that wrote it",
            )
        arrays = {name: _mapped(folder / f"{name}.npy") for name in ARRAYS}
    except FileNotFoundError as error:
        raise MasterError(
            f"master version {version} is not in {home}", hint=f"The {VERSIONS_KEPT} latest versions are kept"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise MasterError(
            f"master version {version} cannot be read: {error}", hint="Restore it from a copy of the home"
        ) from error
    return MasterView(version=version, retailers=tuple(words["retailers"]), bgs=tuple(words["bgs"]), **arrays)


def empty_arrays() -> dict[str, NDArray[Any]]:
    """Arrays of a master that holds nothing."""
    arrays: dict[str, NDArray[Any]] = {name: np.zeros(0, kind) for name, kind in _TYPES.items()}
    for name in ("shard_points", "attr_of", "supply_of", "install_of", "supply_ref_off", "block_of"):
        arrays[name] = np.zeros(1, np.int64)
    arrays["point_id"] = np.zeros((0, POINT_ID_DIGITS), np.uint8)
    arrays["device_main"] = np.zeros((0, POINT_ID_DIGITS), np.uint8)
    arrays["table"] = np.zeros((2, 4), np.uint64)
    return arrays


def _empty() -> MasterView:
    arrays = empty_arrays()
    for each in arrays.values():
        each.setflags(write=False)
    return MasterView(version=0, retailers=("00000",), bgs=("",), **arrays)


def _mapped(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    base: object = array.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            # 2 MB at a time, from the disk and in the page tables: the look-up meets another page with every read
            base.madvise(mmap.MADV_HUGEPAGE)
    plain: NDArray[Any] = array.view(np.ndarray)  # numba and numpy are quicker with the plain class
    return plain


def _same(path: Path, new: NDArray[Any]) -> bool:
    old = _mapped(path)
    return old.shape == new.shape and bool(np.array_equal(old, new))


def _number(name: str) -> int:
    match = _NUMBER.fullmatch(name)
    return int(match[1]) if match else 0
