# SPDX-License-Identifier: Apache-2.0
"""What a power cut leaves of a folder: what was synced stays, of everything later some is lost.

`Recorder` runs in the process that writes and keeps, outside the folder, what each sync made durable:

- a sync of the filesystem: every name and every byte;
- a sync of a file: its bytes, but not the name by which it is found;
- a sync of a folder: the names in it, but not the bytes of the files they name.

That is what POSIX promises; ext4 and XFS promise more in places. `cut_power` then makes, of the folder as the dead
process left it and of what was durable, a state in which changed names are each kept or undone (both names of a renamed
file together, as a journalling filesystem does) and unsynced bytes are kept, old, cut short, empty or zeros.
"""

import os
import pickle
import random
import resource
import shutil
from dataclasses import dataclass, field
from pathlib import Path

Names = dict[str, int]


@dataclass(slots=True)
class Durable:
    """What a power cut cannot take: names by folder, and contents, by inode; folder and file share the numbers."""

    root: int = 0
    folders: dict[int, Names] = field(default_factory=dict)
    files: dict[int, str] = field(default_factory=dict)  # inode -> name of its content's copy
    modes: dict[int, tuple[int, int]] = field(default_factory=dict)


def _walk(path: str, durable: Durable) -> dict[int, str]:
    """Note names of all folders below a path; returns where each file lies."""
    found: dict[int, str] = {}
    inode = os.stat(path).st_ino  # noqa: PTH116
    names = durable.folders[inode] = {}
    with os.scandir(path) as entries:
        for each in entries:
            names[each.name] = each.inode()
            if each.is_dir(follow_symlinks=False):
                found |= _walk(each.path, durable)
            else:
                found[each.inode()] = each.path
    return found


class Recorder:
    """Keeps what syncs have made durable, in a folder outside the one that is watched."""

    def __init__(self, root: Path, store: Path) -> None:
        """Begin with all that is there as durable."""
        self._root, self._store = str(root), store
        root.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(store, ignore_errors=True)
        store.mkdir(parents=True)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        self._pins: dict[int, int] = {}  # opened files and folders: while they are, no inode number comes twice
        self._copies: dict[int, tuple[int, int, str]] = {}
        self._number = 0
        self._durable = Durable()
        self.synced(self._root, None)

    def synced(self, folder: str | None, descriptor: int | None) -> None:
        """Take note of a sync that is about to be done: of the whole filesystem, or of one file or folder."""
        if folder is not None:
            durable = Durable(os.stat(self._root).st_ino)  # noqa: PTH116
            for inode, path in _walk(self._root, durable).items():
                durable.files[inode] = self._copied(inode, path)
            self._durable = durable
        elif descriptor is not None:
            inode, path = os.fstat(descriptor).st_ino, os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115
            if os.path.isdir(path):  # noqa: PTH112
                with os.scandir(path) as entries:
                    self._durable.folders[inode] = {each.name: each.inode() for each in entries}
            else:
                self._durable.files[inode] = self._copied(inode, path)
        self._pin()
        temporary = self._store / ".durable"
        temporary.write_bytes(pickle.dumps(self._durable))
        temporary.rename(self._store / "durable")

    def _copied(self, inode: int, path: str) -> str:
        stat = os.stat(path)  # noqa: PTH116
        known = self._copies.get(inode)
        if known is not None and known[:2] == (stat.st_mtime_ns, stat.st_size):
            return known[2]
        self._number += 1
        name = f"{self._number}"
        shutil.copyfile(path, self._store / name)
        self._copies[inode] = (stat.st_mtime_ns, stat.st_size, name)
        return name

    def _pin(self) -> None:
        wanted: dict[int, str] = {self._durable.root: self._root}
        known = Durable()
        wanted |= _walk(self._root, known)
        for inode in self._pins.keys() - self._durable.files.keys() - self._durable.folders.keys():
            os.close(self._pins.pop(inode))
            self._copies.pop(inode, None)
        for inode, path in [*wanted.items(), *_folders(self._root).items()]:
            if inode not in self._pins and (inode in self._durable.files or inode in self._durable.folders):
                self._pins[inode] = os.open(path, os.O_RDONLY)


def _folders(path: str) -> dict[int, str]:
    return {os.stat(each).st_ino: each for each, _, _ in os.walk(path)}  # noqa: PTH116


def cut_power(root: Path, store: Path, chance: random.Random, *, names: str) -> None:
    """Make of `root` a state that a power cut could leave. `names`: of unsynced names, keep `all`, `none` or `some`."""
    durable: Durable = pickle.loads((store / "durable").read_bytes())  # noqa: S301  written by `Recorder`
    now = Durable(root.stat().st_ino)
    where = _walk(str(root), now)
    limbo = root.with_name(f"{root.name}.limbo")
    limbo.mkdir()
    loose: dict[int, Path] = {}
    for inode, path in where.items():  # by number, so that files keep theirs wherever they end up
        loose[inode] = limbo / str(inode)
        Path(path).rename(loose[inode])
    for each in list(root.iterdir()):
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink()  # the second name of a file
    kept = {"all": 1.0, "none": 0.0, "some": chance.uniform(0.1, 0.9)}[names]
    _Cut(durable, now, loose, store, chance, kept).build(now.root, root)
    shutil.rmtree(limbo)


@dataclass(slots=True)
class _Cut:
    """Builds the state after a power cut, from the root down."""

    durable: Durable
    now: Durable
    loose: dict[int, Path]
    store: Path
    chance: random.Random
    kept: float  # share of unsynced names that stay
    _fate: dict[object, bool] = field(default_factory=dict)
    _settled: set[int] = field(default_factory=set)
    _before: set[int] = field(default_factory=set)
    _after: set[int] = field(default_factory=set)
    _moved_for_good: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        """See which files have durable names, and where."""
        durable, now = self.durable.folders, self.now.folders
        self._before = {inode for entries in durable.values() for inode in entries.values()}
        self._after = {inode for entries in now.values() for inode in entries.values()}
        reachable, fresh = {self.now.root}, [self.now.root]
        while fresh:
            fresh = [inode for folder in fresh for inode in durable.get(folder, {}).values() if inode in durable]
            reachable.update(fresh)
        self._moved_for_good = {  # where it is now is durable: so it is gone from elsewhere
            inode
            for folder, entries in now.items()
            for name, inode in entries.items()
            if folder in reachable and durable.get(folder, {}).get(name) == inode
        }

    def _survives(self, folder: int, name: str, old: int | None, new: int | None) -> bool:
        """Decide on a changed name; the two names of a renamed file or folder share one fate."""
        if old in self._moved_for_good:
            return True
        moved = new if new in self._before else old if old in self._after else None
        key: object = moved if moved is not None else (folder, name)
        return self._fate.setdefault(key, self.chance.random() < self.kept)

    def build(self, inode: int, path: Path) -> None:
        """Fill a folder that is there."""
        old, new = self.durable.folders.get(inode), self.now.folders.get(inode)
        for name in sorted({*(old or ()), *(new or ())}):
            was, is_now = (old or {}).get(name), (new or {}).get(name)
            undone = new is None or (was != is_now and not self._survives(inode, name, was, is_now))
            chosen = was if undone else is_now
            if chosen in self.durable.folders or chosen in self.now.folders:
                (path / name).mkdir()
                self.build(chosen, path / name)
            elif chosen is not None:
                self._put(chosen, path / name)

    def _put(self, inode: int, path: Path) -> None:
        copy = self.durable.files.get(inode)
        if inode in self.loose:
            os.link(self.loose[inode], path)
        else:
            path.touch()
        if inode not in self._settled:
            self._settled.add(inode)
            known = self.store / copy if copy is not None else None
            _settle(path, known, self.chance, now=inode in self.loose)


def _settle(path: Path, copy: Path | None, chance: random.Random, *, now: bool) -> None:
    """Give a file the content it may have after the cut."""
    last = path.read_bytes() if now else None
    old = copy.read_bytes() if copy is not None else None
    if last is not None and last == old:
        return
    if not now:
        content = old or b""
    else:
        assert last is not None
        keep = chance.randrange(len(last) + 1)
        floor = len(old) if old is not None and last.startswith(old) else 0  # what was appended goes from its end
        keep = max(keep, floor)
        choices = [last, last[:floor], last[:keep], last[:keep] + bytes(len(last) - keep)]
        content = chance.choice([*choices, old] if old is not None else choices)
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(content)
