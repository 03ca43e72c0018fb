# SPDX-License-Identifier: Apache-2.0
"""Faults planted at known places into the registers of real homes, and what each has to come to.

An injection names the home, the stamp and the kind. What the pipeline has to make of it follows from the kind alone:
how reads are counted or quarantined, which cells lose their value or have another quality, and how it is repaired.
Every other cell and read has to be as if nothing had been planted.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.handover import ReadBatch
from tests.homes import HOUR_MS, MINUTE_MS, NO_DATA, NO_READ, SLOT_MS, Row, iso, point
from tests.real_homes import MODULUS, Homes

CAP_UNITS = 4 * 10 * 10 // 2
"""What a slot may hold of a home of 10 kW, in units of 0.1 kWh."""


class Kind(NamedTuple):
    """What a fault does: the code its read is quarantined under, and what the cells beside its stamp become."""

    code: str = ""
    before: str = ""  # quality of the cell that ends at the stamp, where it is another than without the fault
    after: str = ""  # of the cell that begins there


GAP = ("missing", "missing")
KINDS = {
    "lost": Kind("", *GAP),
    "no data": Kind("", *GAP),
    "late": Kind(),
    "very late": Kind(),
    "twice": Kind(),
    "conflict": Kind("conflict"),
    "skewed": Kind(),
    "off the grid": Kind("off_grid", *GAP),
    "future": Kind("future", *GAP),
    "too old": Kind("too_old", *GAP),
    "unknown meter": Kind("", *GAP),
    "backward": Kind("", "backward"),
    "spike": Kind("", "spike"),
}
"""The last two change the register for good, as an exchange does that nobody told of."""
ASKED_AGAIN = tuple(name for name, kind in KINDS.items() if kind.after)
"""Repaired by asking the meter again; `JUMP` by telling the master of the exchange."""
JUMP = {"backward": -300, "spike": CAP_UNITS + 40}
OFF_GRID_MS = 14 * MINUTE_MS
SHIFTED_MS = {"skewed": 2 * MINUTE_MS, "off the grid": OFF_GRID_MS}
DELAYED_MS = {"late": 35 * MINUTE_MS, "very late": 120 * HOUR_MS, "off the grid": OFF_GRID_MS,
              "future": -12 * MINUTE_MS, "too old": 46 * 24 * HOUR_MS}  # fmt: skip
UNKNOWN = "OTHER"


@dataclass(frozen=True, slots=True, order=True)
class Injection:
    """A fault of a kind at a stamp of a home."""

    home: int
    stamp: int
    kind: str


@dataclass(slots=True)
class Planted:
    """The homes with their faults, the reads as handed over, and the counts they have to come to."""

    homes: Homes
    injections: tuple[Injection, ...]
    reads: ReadBatch
    counts: Counter[str] = field(default_factory=Counter)

    def quarantined(self) -> Counter[tuple[str, str, int]]:
        """Return code, meter and time of the reads that have to be in quarantine."""
        return Counter(
            (KINDS[each.kind].code, self.homes.meter(each.home), handed_at(self.homes, each))
            for each in self.injections
            if KINDS[each.kind].code
        )

    def qualities(self) -> dict[tuple[int, int], str]:
        """Return the quality of each cell that is not plain, by home and slot: faults, gaps of the data, roll-overs."""
        found = self.unrepaired()
        for each in self.injections:
            kind = KINDS[each.kind]
            found |= {(each.home, each.stamp - 1): kind.before} if kind.before else {}
            found |= {(each.home, each.stamp): kind.after} if kind.after else {}
        return found

    def unrepaired(self) -> dict[tuple[int, int], str]:
        """Return what stays when all faults are repaired: gaps of the data and roll-overs."""
        homes = self.homes
        jumps = {(each.home, each.stamp - 1) for each in self.injections if each.kind in JUMP}
        unread = np.argwhere(~(homes.known[:, :-1] & homes.known[:, 1:]))
        found = dict.fromkeys(((home, slot) for home, slot in unread.tolist()), "missing")
        for home, slot in np.argwhere(np.diff(homes.register, axis=1) < 0).tolist():
            if (home, slot) not in jumps:
                found.setdefault((home, slot), "rollover")
        return found

    def asked_again(self, at_ms: int) -> ReadBatch:
        """Return the true reads in place of those that were no use, as they arrive in the end."""
        again = [each for each in self.injections if each.kind in ASKED_AGAIN]
        meters = np.array([self.homes.meter(each.home).encode() for each in again], "S16")
        stamps = np.array([self.homes.start_ms + each.stamp * SLOT_MS for each in again], np.int64)
        values = np.array([self.homes.register[each.home, each.stamp] for each in again], np.int64)
        return _batch(meters, stamps, np.full(len(again), at_ms, np.int64), values)

    def exchanges(self, true: Homes) -> list[Row]:
        """Return the rows of meters that tell of the jumps: the register before and the one after, at one time."""
        rows: list[Row] = []
        for each in (one for one in self.injections if one.kind in JUMP):
            when = iso(true.start_ms + each.stamp * SLOT_MS)
            after = int(self.homes.register[each.home, each.stamp])
            blank = {"installed_at": "", "removed_at": "", "install_register": "", "removal_register": ""}
            meter: Row = {"point_id": point(each.home), "meter_id": true.meter(each.home), "digits": 6,
                          "unit_exponent": -1, **blank}  # fmt: skip
            rows.append({**meter, "removed_at": when, "removal_register": int(true.register[each.home, each.stamp])})
            rows.append({**meter, "installed_at": when, "install_register": after})
        return rows


def handed_at(homes: Homes, each: Injection) -> int:
    """Return the time a planted read is stamped with."""
    return homes.start_ms + each.stamp * SLOT_MS + (OFF_GRID_MS if each.kind == "off the grid" else 0)


def places(homes: Homes, chance: np.random.Generator, each_kind: int) -> tuple[Injection, ...]:
    """Choose places far from another, from the ends, from gaps and from roll-overs of the data."""
    taken = np.zeros(homes.register.shape, bool)
    found, jumping = [], set[int]()
    rolls = np.diff(homes.register, axis=1) < 0
    for kind in KINDS:
        count = 0
        while count < each_kind:
            home, stamp = int(chance.integers(homes.count)), int(chance.integers(60, homes.slots - 300))
            near = slice(stamp - 4, stamp + 5)
            if taken[home, near].any() or not homes.known[home, near].all() or rolls[home, near].any():
                continue
            if kind in JUMP and (home in jumping or not 400 < homes.register[home, stamp] < MODULUS - 5_000):
                continue
            jumping |= {home} if kind in JUMP else set()
            taken[home, near] = True
            found.append(Injection(home, stamp, kind))
            count += 1
    return tuple(sorted(found))


def plant(homes: Homes, injections: tuple[Injection, ...]) -> Planted:
    """Let registers jump, then hand over every read once, two minutes after its stamp, but for the planted ones."""
    register = homes.register.copy()
    for each in injections:
        if each.kind in JUMP:
            register[each.home, each.stamp :] = (register[each.home, each.stamp :] + JUMP[each.kind]) % MODULUS
    jumped = replace(homes, register=register)
    home, stamp = np.nonzero(homes.known)
    index = np.full(homes.known.shape, -1)
    index[home, stamp] = np.arange(len(home))
    ids = np.array([homes.meter(number).encode() for number in range(homes.count)], "S16")
    meter = ids[home]
    read_at = homes.start_ms + stamp * SLOT_MS
    received, value = read_at + 2 * MINUTE_MS, register[home, stamp]
    left_out = np.zeros(len(home), bool)
    more: list[tuple[bytes, int, int, int]] = []
    counts = Counter({"received": len(home)})
    for each in injections:
        row = int(index[each.home, each.stamp])
        counts["received"] -= each.kind in {"lost", "no data"}
        counts["quarantined"] += bool(KINDS[each.kind].code)
        counts["held"] += each.kind == "unknown meter"
        if each.kind == "lost":
            left_out[row] = True
        elif each.kind == "no data":
            value[row] = NO_DATA
        elif each.kind == "unknown meter":
            meter[row] = UNKNOWN.encode()
        elif each.kind in {"twice", "conflict"}:
            other = (int(value[row]) + 7 * (each.kind == "conflict")) % MODULUS
            more.append((meter[row], int(read_at[row]), int(received[row]) + MINUTE_MS, other))
            counts["received"] += 1
            counts["duplicate"] += each.kind == "twice"
        read_at[row] += SHIFTED_MS.get(each.kind, 0)
        received[row] += DELAYED_MS.get(each.kind, 0)
    counts["accepted"] = counts["received"] - counts["duplicate"] - counts["quarantined"] - counts["held"]
    kept = np.flatnonzero(~left_out)
    columns = [
        np.concatenate([column[kept], np.array([row[place] for row in more], column.dtype)])
        for place, column in enumerate((meter, read_at, received, value))
    ]
    return Planted(jumped, injections, _batch(*columns), counts)


def _batch(
    meter: NDArray[np.bytes_], read_at: NDArray[np.int64], received: NDArray[np.int64], value: NDArray[np.int64]
) -> ReadBatch:
    rows = len(meter)
    return ReadBatch(
        "planted",
        meter.view(np.uint64).reshape(rows, 2),
        read_at,
        received,
        value.astype(np.uint32),
        np.full(rows, NO_READ, np.uint32),
        np.arange(rows),
    )


def judged(
    expected: dict[tuple[int, int], str], found: dict[tuple[int, int], str]
) -> Iterator[tuple[str, float, float]]:
    """Yield quality, precision and recall: of what was found, how much was planted; of what was planted, found."""
    for quality in sorted({*expected.values(), *found.values()}):
        mine = {key for key, value in expected.items() if value == quality}
        theirs = {key for key, value in found.items() if value == quality}
        yield quality, len(mine & theirs) / max(1, len(theirs)), len(mine & theirs) / max(1, len(mine))
