# SPDX-License-Identifier: Apache-2.0
"""One simulation from options to files."""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from koma.errors import SettingError
from koma.slots import format_jst
from pipeline.quality import QUALITIES
from pipeline.simulate.cells import CellTruth
from pipeline.simulate.collection import collect
from pipeline.simulate.fleet import Fleet
from pipeline.simulate.landing import Landing
from pipeline.simulate.master import MasterWriter
from pipeline.simulate.options import Options
from pipeline.simulate.population import NEVER, Block, block_count, draw_block
from pipeline.simulate.truth import Truth

Advance = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """What was written. A read is one register of one meter at one stamp that holds a value.

    Attributes:
        points, generation: supply points; those among them on the export register of a meter.
        meters: meters at the start of the window that can be read remotely.
        slots, stamps: half-hours, and the stamps that bound them.
        reads: reads in the hand-over files, `unique_reads` of known meters without repetitions.
        repeated, contradicting, off_grid, unknown: reads among them that are not `unique_reads`.
        late, lost, no_data_rows: rows that arrive after half an hour; meters and stamps that never arrive, and how
            many of them show as a row with the no-data value.
        exchanges, removed, switches, rollovers: points (rollovers: cells) to which that happens.
        cells: by quality.
        energy_dwh: sum of all low-voltage cells.
        files, bytes: hand-over files.
    """

    points: int
    generation: int
    meters: int
    slots: int
    stamps: int
    reads: int
    unique_reads: int
    repeated: int
    contradicting: int
    off_grid: int
    unknown: int
    late: int
    lost: int
    no_data_rows: int
    exchanges: int
    removed: int
    switches: int
    rollovers: int
    cells: dict[str, int]
    energy_dwh: int
    files: int
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def steps(options: Options) -> int:
    """Return the number of steps that `simulate` announces."""
    return block_count(options) * (options.slots + 3)


def simulate(options: Options, out: Path, advance: Advance = lambda _: None) -> Summary:
    """Write `out/landing`, `out/master`, `out/truth.parquet` and `out/truth_totals.csv`.

    Memory: about 45 B a point, and the rows of one stamp and of what is late (28 B each, twice while a stamp is
    closed). The same options give the same bytes.

    Args:
        options: what to simulate.
        out: a folder that is empty or does not exist.
        advance: called with the number of steps done, `steps(options)` in all.

    Raises:
        SettingError: `out` is in use or cannot be made.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        in_use = any(out.iterdir())
    except OSError as error:
        raise SettingError(f"{out} cannot be made: {error.strerror}", hint="name a new folder") from error
    if in_use:
        raise SettingError(f"{out} is not empty", hint="name a new folder, so that nothing old is mistaken for the new")
    counts: Counter[str] = Counter()
    landing = Landing(options, out / "landing")
    with MasterWriter(options, out / "master") as master, Truth(options, out / "truth.parquet") as truth:
        blocks, fleets, expected = [], [], []
        for number in range(block_count(options)):
            block = draw_block(options, number)
            blocks.append(block)
            fleets.append(Fleet(options, block))
            expected.append(CellTruth(block))
            master.add_points(block)
            advance(1)
        for stamp in range(options.slots + 1):
            for block, fleet, cell_truth in zip(blocks, fleets, expected, strict=True):
                readout = fleet.advance()
                collected = collect(options, block, stamp, readout)
                counts.update(collected.counts)
                landing.add(collected.rows)
                cells = cell_truth.observe(stamp, readout, collected, fleet)
                if cells is not None:
                    truth.add(block, stamp - 1, cells)
                advance(1)
            landing.close_stamp()
        for block, fleet in zip(blocks, fleets, strict=True):
            master.add_meters(block, fleet)
            advance(1)
        if options.truth != "none":
            truth.write_totals(out / "truth_totals.csv")
    return _summary(options, blocks, fleets, counts, truth, landing)


def _summary(
    options: Options, blocks: list[Block], fleets: list[Fleet], counts: Counter[str], truth: Truth, landing: Landing
) -> Summary:
    names = ("repeated", "contradicting", "off_grid", "unknown")
    successors = sum(int(block.changes.successor.sum()) for block in blocks)
    cells = {word: int(number) for word, number in zip(QUALITIES, truth.qualities, strict=True) if number}
    return Summary(
        points=options.points,
        generation=sum(int(block.generation.sum()) for block in blocks),
        meters=sum(fleet.reporting for fleet in fleets),
        slots=options.slots,
        stamps=options.slots + 1,
        reads=counts["good"] + sum(counts[name] for name in names),
        unique_reads=counts["good"],
        **{name: counts[name] for name in (*names, "late", "lost", "no_data_rows")},
        exchanges=successors,
        removed=sum(len(block.changes.point) for block in blocks) - successors,
        switches=sum(int(np.count_nonzero(block.switch_at != NEVER)) for block in blocks),
        rollovers=cells.get("rollover", 0),
        cells=cells,
        energy_dwh=truth.energy_dwh(),
        files=landing.files,
        bytes=landing.bytes,
    )


def describe(options: Options) -> dict[str, Any]:
    """Return the options as plain values for JSON, with the window in JST."""
    plain = asdict(options)
    plain["start"] = format_jst(plain.pop("start_ms"))
    plain["end"] = format_jst(options.stamp_ms(options.slots))
    return plain
