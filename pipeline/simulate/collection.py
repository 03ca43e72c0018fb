# SPDX-License-Identifier: Apache-2.0
"""From what meters show to what arrives: collection over half an hour, with everything that goes wrong on the way."""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from koma.slots import MS_PER_MINUTE
from pipeline.handover.batch import NO_DATA, NO_READ
from pipeline.simulate.draws import Stream, below, chance, delay_ms, generator, late_delay_ms, u32
from pipeline.simulate.fleet import Readout, unknown_meters
from pipeline.simulate.options import Options
from pipeline.simulate.population import Block

_BACKLOG_SHIFT: Final = 1  # after an outage what was held back arrives in half the time the outage took


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of hand-over files.

    Attributes:
        meter: meter number.
        read_ms: the stamp on the row, ms since the window's start.
        received_ms: arrival, ms since the window's start.
        window: which hand-over window's file the row goes into.
        import_register, export_register: as in `ReadBatch`.
    """

    meter: NDArray[np.uint32]
    read_ms: NDArray[np.int64]
    received_ms: NDArray[np.int64]
    window: NDArray[np.int32]
    import_register: NDArray[np.uint32]
    export_register: NDArray[np.uint32]

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.meter)

    def take(self, index: NDArray[Any] | slice) -> "Rows":
        """Return some of the rows."""
        return Rows(*(getattr(self, each.name)[index] for each in fields(self)))

    def reads(self) -> int:
        """Count registers that hold a value."""
        return sum(int((column < NO_DATA).sum()) for column in (self.import_register, self.export_register))


@dataclass(frozen=True, slots=True)
class Collected:
    """What of a readout arrives.

    Attributes:
        rows: every row, in no particular order.
        lost: (n,) of the readout: the meter's registers of this stamp never arrive.
        counts: reads by what is the matter with them.
    """

    rows: Rows
    lost: NDArray[np.bool_]
    counts: dict[str, int]


def join(parts: list[Rows]) -> Rows:
    """Return all rows in one; the list is emptied column by column to keep memory low."""
    columns: dict[str, NDArray[Any]] = {}
    stores = {each.name: [getattr(part, each.name) for part in parts] for each in fields(Rows)}
    parts.clear()
    for name in list(stores):
        columns[name] = np.concatenate(stores.pop(name))
    return Rows(**columns)


def collect(options: Options, block: Block, stamp: int, readout: Readout) -> Collected:
    """Collect the readout of a stamp (0..slots)."""
    random = generator(options.seed, Stream.COLLECTION, block.number, stamp)
    faults, cut_ms = options.faults, options.cut_minutes * MS_PER_MINUTE
    count = len(readout.meter)
    stamp_ms = options.stamp_ms(stamp) - options.start_ms
    lost = chance(u32(random, count), faults.losses)
    numbers = u32(random, count)
    late = chance(u32(random, count), faults.late)
    delay = np.where(late, late_delay_ms(numbers, faults.late_hours), delay_ms(numbers))
    received = stamp_ms + delay
    received = _held_back(options, readout.meter, received, numbers)
    rows = Rows(
        meter=readout.meter,
        read_ms=stamp_ms + _skew_ms(random, count, faults.skew),
        received_ms=received,
        window=(received // cut_ms).astype(np.int32),
        import_register=readout.import_register,
        export_register=readout.export_register,
    )
    empty = lost & ((numbers & np.uint32(7)) == 0)  # of eight losses one shows as a row without data
    good = rows.take(np.flatnonzero(~lost))
    _disorder(random, good.window, faults.disorder)
    parts = [good, _without_data(rows.take(np.flatnonzero(empty)))]
    parts += [
        _again(random, good, faults.duplicates, cut_ms),
        _contradicting(random, good, faults.conflicts, cut_ms),
        _between_slots(random, good, faults.off_grid, cut_ms),
        _unknown(random, options, block, stamp_ms),
    ]
    names = ("good", "no_data_rows", "repeated", "contradicting", "off_grid", "unknown")
    counts = {name: part.reads() for name, part in zip(names, parts, strict=True)}
    counts["no_data_rows"] = len(parts[1])
    counts["late"] = int((late & ~lost).sum())
    counts["lost"] = int(lost.sum())
    return Collected(join(parts), lost, counts)


def _held_back(
    options: Options, meter: NDArray[np.uint32], received: NDArray[np.int64], numbers: NDArray[np.uint32]
) -> NDArray[np.int64]:
    """Let what would arrive during the outage of a carrier arrive after it, spread over half its length."""
    start, end = (instant - options.start_ms for instant in options.outage_ms())
    if start == end:
        return received
    carrier = chance(meter * np.uint32(2_654_435_761), options.faults.outage_share)
    held = carrier & (received >= start) & (received < end)
    spread = below(numbers * np.uint32(747_796_405), (end - start) >> _BACKLOG_SHIFT)
    return np.where(held, end + spread, received)


def _skew_ms(random: np.random.Generator, count: int, share: float) -> NDArray[np.int64]:
    """Return how far a row's stamp lies from the slot boundary: whole seconds, two minutes at most."""
    numbers = u32(random, count)
    return np.where(chance(numbers, share), 1000 * (below(u32(random, count), 241) - 120), 0)


def _disorder(random: np.random.Generator, window: NDArray[np.int32], share: float) -> None:
    """Hand some rows over one to three files later."""
    numbers = u32(random, len(window))
    hit = np.flatnonzero(chance(numbers, share))
    window[hit] += (1 + below(u32(random, len(hit)), 3)).astype(np.int32)


def _without_data(rows: Rows) -> Rows:
    """Replace the registers by the meter's no-data value."""
    rows.import_register[:] = NO_DATA
    rows.export_register[rows.export_register != NO_READ] = NO_DATA
    return rows


def _again(random: np.random.Generator, rows: Rows, share: float, cut_ms: int) -> Rows:
    """Repeat some rows in a later file: half of them unchanged, half collected once more."""
    copy = rows.take(np.flatnonzero(chance(u32(random, len(rows)), share)))
    numbers = u32(random, len(copy))
    later = MS_PER_MINUTE + below(numbers, 30 * MS_PER_MINUTE)
    recollected = (numbers & np.uint32(1)) == 1
    copy.received_ms[recollected] += later[recollected]
    copy.window[:] = np.maximum(copy.window + 1, (copy.received_ms // cut_ms).astype(np.int32))
    return copy


def _contradicting(random: np.random.Generator, rows: Rows, share: float, cut_ms: int) -> Rows:
    """Bring some rows again, later and in a later file, with another import register."""
    copy = rows.take(np.flatnonzero(chance(u32(random, len(rows)), share)))
    copy.received_ms[:] += MS_PER_MINUTE + below(u32(random, len(copy)), 30 * MS_PER_MINUTE)
    copy.window[:] = np.maximum(copy.window + 1, (copy.received_ms // cut_ms).astype(np.int32))
    step = (1 + below(u32(random, len(copy)), 9)).astype(np.uint32)
    highest = copy.import_register % np.uint32(1_000_000) >= np.uint32(999_990)  # stay within the register's digits
    copy.import_register[:] = np.where(highest, copy.import_register - step, copy.import_register + step)
    return copy


def _between_slots(random: np.random.Generator, rows: Rows, share: float, cut_ms: int) -> Rows:
    """Add reads that meters took in the middle of a slot."""
    copy = rows.take(np.flatnonzero(chance(u32(random, len(rows)), share)))
    copy.read_ms[:] += MS_PER_MINUTE * (5 + below(u32(random, len(copy)), 20))
    copy.received_ms[:] = np.maximum(copy.received_ms, copy.read_ms + MS_PER_MINUTE)
    copy.window[:] = np.maximum(copy.window, (copy.received_ms // cut_ms).astype(np.int32))
    return copy


def _unknown(random: np.random.Generator, options: Options, block: Block, stamp_ms: int) -> Rows:
    """Add the reads of meters that the master does not hold."""
    meter = unknown_meters(options, block)
    received = stamp_ms + delay_ms(u32(random, len(meter)))
    register = (meter.astype(np.int64) * 7_919 + stamp_ms // (10 * MS_PER_MINUTE)) % 1_000_000
    return Rows(
        meter=meter,
        read_ms=np.full(len(meter), stamp_ms, np.int64),
        received_ms=received,
        window=(received // (options.cut_minutes * MS_PER_MINUTE)).astype(np.int32),
        import_register=register.astype(np.uint32),
        export_register=np.full(len(meter), NO_READ, np.uint32),
    )
