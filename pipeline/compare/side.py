# SPDX-License-Identifier: Apache-2.0
"""One side of a comparison: the W41110 files of a tree by retailer and slot, and the cells they come to.

Ours are the Parquet files of `deliveries/`, which also tell the quality. The incumbent's are zips in any folders below
the given one; who they are for stands in them.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from koma.errors import CompareError
from pipeline.compare.cells import Cells, joined
from pipeline.compare.reading import Name, read_cells, read_receiver


@dataclass(slots=True)
class Side:
    """Files by retailer and slot, and those that cannot be read."""

    files: dict[str, dict[int, list[tuple[Name, Path]]]] = field(default_factory=lambda: defaultdict(dict))
    refused: dict[Path, str] = field(default_factory=dict)
    """Why."""

    def add(self, retailer: str, name: Name, path: Path) -> None:
        """Take up a file."""
        self.files[retailer].setdefault(name.slot, []).append((name, path))

    def slots(self, retailer: str) -> set[int]:
        """Return the slots that a retailer has files of."""
        return set(self.files.get(retailer, ()))

    def cells(self, retailer: str, slot: int) -> Cells:
        """Return the cells of all revisions; a file that cannot be read is noted and left out."""
        parts = []
        for name, path in sorted(self.files.get(retailer, {}).get(slot, ())):
            try:
                parts.append(read_cells(path, name))
            except CompareError as error:
                self.refused[path] = error.message
        return joined(parts)


def our_side(deliveries: Path) -> Side:
    """Find our files: `<retailer>/<YYYYMMDD>/W41110….parquet`."""
    side = Side()
    for path in deliveries.glob("[0-9]*/[0-9]*/W41110*.parquet"):
        name = Name.of(path.name)
        if name is not None:
            side.add(path.parent.parent.name, name, path)
    return side


def their_side(folder: Path) -> Side:
    """Find the incumbent's files anywhere below a folder.

    Raises:
        CompareError: there is no folder, or no file to read.

    """
    if not folder.is_dir():
        raise CompareError(f"there is no folder {folder}", hint="Name the folder of the incumbent's deliveries")
    side = Side()
    for path in sorted(folder.rglob("W41110*.zip")):
        name = Name.of(path.name)
        if name is None:
            side.refused[path] = (
                f"{path}: the name is not W41110, start of a slot, two digits of revision, four of split"
            )
            continue
        try:
            side.add(read_receiver(path, name), name, path)
        except CompareError as error:
            side.refused[path] = error.message
    if not side.files:
        why = "; ".join(list(side.refused.values())[:3])
        raise CompareError(
            f"there is no W41110 zip to read below {folder}",
            hint=why or "Name the folder of the incumbent's deliveries",
        )
    return side
