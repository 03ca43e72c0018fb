# SPDX-License-Identifier: Apache-2.0
"""Rows of the store as columns in memory, and their order: by point, slot, retailer, then instant of issue."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from koma.limits import POINT_ID_DIGITS
from koma.slots import MS_PER_MINUTE, MS_PER_SLOT

STEP_MINUTES: Final = 5
"""Instants lie on a grid of five minutes, so the time from a slot's end to an issue is a number of these."""
ID_TYPE: Final = f"S{POINT_ID_DIGITS}"
BOUND_TYPE: Final = f"S{POINT_ID_DIGITS + 1}"
"""Of what lies between two ids: an id with one more character comes behind it and before any other."""
KEY_BITS: Final = 64
"""Place of the point, slot, retailer and step of a row make a key: 17 bits of retailer and of step leave 30 for the
points and slots of what is ordered at once: half a million points of a month, or one of sixty years.
"""


@dataclass(slots=True)
class Rows:
    """States of cells, in order, columns of equal length but for `ids`.

    Attributes:
        ids: the points, each once, ascending; ASCII.
        rank: place of each row's point among them.
        slot: slot ids.
        retailer: retailer codes as numbers.
        energy: dWh; 0 where the quality carries no value.
        quality: index into `pipeline.quality.QUALITIES`.
        revision: 更新番号.
        step: five minutes from the slot's end to the instant of issue.
    """

    ids: NDArray[np.bytes_]
    rank: NDArray[np.int32]
    slot: NDArray[np.int32]
    retailer: NDArray[np.int32]
    energy: NDArray[np.int64]
    quality: NDArray[np.uint8]
    revision: NDArray[np.int16]
    step: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.rank)

    @classmethod
    def empty(cls) -> Self:
        """Return no rows."""
        of = {"energy": np.int64, "quality": np.uint8, "revision": np.int16}
        columns = {each.name: np.zeros(0, of.get(each.name, np.int32)) for each in fields(cls) if each.name != "ids"}
        return cls(ids=np.zeros(0, ID_TYPE), **columns)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return the columns by name, without `ids`."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "ids"}

    def take(self, which: Any) -> "Rows":
        """Return some rows, by mask, slice or place in ascending order; points without rows stay among `ids`."""
        return Rows(ids=self.ids, **{name: column[which] for name, column in self.columns().items()})

    def between(self, first: int, last: int) -> "Rows":
        """Return the rows from `first` to before `last`, with the points that have any."""
        part = self.take(slice(first, last))
        if len(part):
            low, high = int(part.rank[0]), int(part.rank[-1]) + 1
            part.ids, part.rank = part.ids[low:high], part.rank - np.int32(low)
        return part

    def trimmed(self) -> "Rows":
        """Return the same rows with the points alone that have any."""
        used = np.zeros(len(self.ids), bool)
        used[self.rank] = True
        if used.all():
            return self
        rank = (np.cumsum(used) - 1).astype(np.int32)[self.rank]
        return Rows(ids=self.ids[used], **(self.columns() | {"rank": rank}))

    def same_as(self, other: "Rows") -> bool:
        """Say whether both hold the same rows."""
        one, two = self.trimmed(), other.trimmed()
        return np.array_equal(one.ids, two.ids) and all(
            np.array_equal(column, two.columns()[name]) for name, column in one.columns().items()
        )

    def issued_ms(self) -> NDArray[np.int64]:
        """Return the instant at which each row was issued, ms UTC."""
        return (self.slot.astype(np.int64) + 1) * MS_PER_SLOT + self.step.astype(np.int64) * (
            STEP_MINUTES * MS_PER_MINUTE
        )

    def last_of_cells(self) -> NDArray[np.bool_]:
        """Say of each row whether it is the last of its point, slot and retailer."""
        last = np.ones(len(self), bool)
        if len(self) > 1:
            last[:-1] = (
                (self.rank[1:] != self.rank[:-1])
                | (self.slot[1:] != self.slot[:-1])
                | (self.retailer[1:] != self.retailer[:-1])
            )
        return last


def merged(several: Sequence[Rows]) -> Rows:
    """Put rows together in order; a state that stands in several of them stands once.

    Raises:
        ValueError: more points, retailers or days than can be told apart at once.

    """
    several = [each for each in several if len(each)]
    if len(several) <= 1:
        return several[0] if several else Rows.empty()
    ids, place = np.unique(np.concatenate([each.ids for each in several]), return_inverse=True)
    starts = np.cumsum([0, *(len(each.ids) for each in several)])
    ranks = [place[start:][each.rank].astype(np.int32) for start, each in zip(starts, several, strict=False)]
    columns = {name: np.concatenate([each.columns()[name] for each in several]) for name in several[0].columns()}
    rows = Rows(ids=ids, **(columns | {"rank": np.concatenate(ranks)}))
    return _ordered(rows)


def _ordered(rows: Rows) -> Rows:
    key = _keys(rows)
    if not (key[1:] > key[:-1]).all():
        order = np.argsort(key)
        key = key[order]
        once = np.concatenate([np.ones(1, bool), key[1:] != key[:-1]])
        rows = rows.take(order[once])
    return rows


def _keys(rows: Rows) -> NDArray[np.uint64]:
    """Return a number for each row that orders them."""
    key = np.zeros(len(rows), np.uint64)
    room = KEY_BITS
    for column in (rows.rank, rows.slot, rows.retailer, rows.step):
        least = int(column.min())
        bits = (int(column.max()) - least).bit_length()
        room -= bits
        key = (key << np.uint64(bits)) | (column - np.int32(least)).astype(np.uint64)
    if room < 0:
        message = f"rows of too many points and days to be ordered at once: {-room} bits too many"
        raise ValueError(message)
    return key


def joined(blocks: Sequence[Rows]) -> Rows:
    """Put blocks behind each other whose points follow each other."""
    if len(blocks) == 1:
        return blocks[0]
    starts = np.cumsum([0, *(len(each.ids) for each in blocks[:-1])])
    rank = np.concatenate(
        [each.rank + np.int32(start) for start, each in zip(starts, blocks, strict=True)], dtype=np.int32
    )
    columns = {name: np.concatenate([each.columns()[name] for each in blocks]) for name in blocks[0].columns()}
    return Rows(ids=np.concatenate([each.ids for each in blocks]), **(columns | {"rank": rank}))
