# SPDX-License-Identifier: Apache-2.0
"""What a simulated head-end can be asked for."""

from dataclasses import dataclass, field, fields, replace
from typing import Final

from koma.errors import SettingError
from koma.ids import AREAS
from koma.slots import JST_OFFSET_MINUTES, MS_PER_DAY, MS_PER_MINUTE, MS_PER_SLOT, format_jst

BLOCK_POINTS: Final = 65_536
"""Points drawn at once; every block has generators of its own, so memory and time grow with blocks alone."""

FORMATS: Final = ("arrow", "parquet", "csv", "csv.gz", "csv.zst", "echonet")
MIXED: Final = FORMATS
AREA_CODES: Final = tuple(each.code for each in AREAS)
POINTS_MAX: Final = 80_000_000
RETAILERS_MAX: Final = 900
SLOTS_MAX: Final = 48 * 400
TRUTH_CELLS_POINTS_MAX: Final = 2_000_000
MASTER_CSV_POINTS_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What does not go by the book: shares from 0 to 1 unless the name has a unit. A read is a meter at a stamp."""

    losses: float = field(default=0.001, metadata={"help": "Reads that never arrive."})
    late: float = field(default=0.02, metadata={"help": "Reads that arrive after half an hour."})
    late_hours: int = field(default=6, metadata={"help": "Hours after its stamp by which the last late read arrives."})
    duplicates: float = field(default=0.01, metadata={"help": "Reads that come again in another file."})
    conflicts: float = field(default=0.0, metadata={"help": "Reads that come again with another value."})
    disorder: float = field(
        default=0.01, metadata={"help": "Reads handed over in a later file than their arrival says."}
    )
    skew: float = field(default=0.001, metadata={"help": "Reads whose stamp lies up to two minutes off."})
    off_grid: float = field(default=0.0, metadata={"help": "Reads followed by another between two slots."})
    spikes: float = field(default=0.0, metadata={"help": "Cells in which the register jumps ahead."})
    backward: float = field(default=0.0, metadata={"help": "Cells in which the register falls."})
    rollovers: float = field(
        default=0.002, metadata={"help": "Points whose register starts close below its highest value."}
    )
    exchanges: float = field(default=0.002, metadata={"help": "Points whose meter is exchanged in the window."})
    removed: float = field(default=0.0002, metadata={"help": "Points whose meter is taken away in the window."})
    no_meter: float = field(default=0.0005, metadata={"help": "Points that have no meter."})
    no_telemetry: float = field(default=0.001, metadata={"help": "Points whose meter cannot be read remotely."})
    switches: float = field(
        default=0.01, metadata={"help": "Points that change the retailer at a midnight of the window."}
    )
    unassigned: float = field(default=0.0005, metadata={"help": "Points without supply contract."})
    unknown: float = field(
        default=0.0001, metadata={"help": "Reporting meters that the master does not hold, by number of points."}
    )
    outage_share: float = field(default=0.2, metadata={"help": "Meters of the carrier that falls silent."})
    outage_minutes: int = field(
        default=0, metadata={"help": "Length of its silence; what it holds arrives afterwards."}
    )


PLAIN: Final = Faults(**{each.name: 0 for each in fields(Faults) if each.name not in {"late_hours", "outage_share"}})
"""Nothing but good reads, all within half an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One simulation. The same options give the same bytes.

    Attributes:
        points: supply points in the master (demand and generation), 1..80 M.
        slots: half-hours of the window; their slots+1 stamps are read.
        seed: any integer not below 0.
        start_ms: start of the first slot, UTC ms, on a slot boundary.
        retailers: operators; each has a code in every area. The first holds about half of the points.
        areas: two-digit areas that points are spread over, by their number of low-voltage meters.
        formats: of `FORMATS`; meters are dealt out over them.
        cut_minutes: a hand-over file holds what arrived in so many minutes.
        shuffle: rows of a file in random order, else by meter.
        truth: `cells` (a row per point and slot, and totals), `totals` or `none`.
        master_format: `csv` or `parquet`.
        names: made-up names and addresses in the master.
        solar: share of points that are homes with a generation point beside the demand point.
        high_voltage: share of high-voltage points.
        outage_start_ms: UTC ms; 0 = one hour into the window.
        faults: what goes wrong.
        block_points: points drawn at once; part of what the bytes depend on.

    Raises:
        SettingError: a value out of range.
    """

    points: int
    slots: int
    seed: int
    start_ms: int
    retailers: int = 12
    areas: tuple[str, ...] = ("03",)
    formats: tuple[str, ...] = ("arrow",)
    cut_minutes: int = 5
    shuffle: bool = True
    truth: str = "cells"
    master_format: str = "csv"
    names: bool = True
    solar: float = 0.09
    high_voltage: float = 0.001
    outage_start_ms: int = 0
    faults: Faults = field(default_factory=Faults)
    block_points: int = BLOCK_POINTS

    def __post_init__(self) -> None:
        """Check every range."""
        whole = {
            "points": (self.points, 1, POINTS_MAX),
            "slots": (self.slots, 1, SLOTS_MAX),
            "seed": (self.seed, 0, 2**63),
            "retailers": (self.retailers, 1, RETAILERS_MAX),
            "cut-minutes": (self.cut_minutes, 1, 1440),
            "late-hours": (self.faults.late_hours, 1, 400),
            "outage-minutes": (self.faults.outage_minutes, 0, 60 * 24 * 30),
            "block-points": (self.block_points, 2, BLOCK_POINTS),
        }
        for name, (value, lowest, highest) in whole.items():
            if not lowest <= value <= highest:
                raise SettingError(f"--{name} is {value}", hint=f"use a number from {lowest} to {highest}")
        shares = {each.name: getattr(self.faults, each.name) for each in fields(Faults) if each.type is float}
        for name, share in {**shares, "solar": self.solar, "high_voltage": self.high_voltage}.items():
            if not 0 <= share <= 1:
                raise SettingError(f"--{name.replace('_', '-')} is {share}", hint="use a share from 0 to 1")
        if self.start_ms % MS_PER_SLOT:
            raise SettingError(f"--start is {format_jst(self.start_ms)}", hint="use the start of a half-hour slot")
        choices = {"format": (self.formats, FORMATS), "areas": (self.areas, AREA_CODES)}
        choices |= {"truth": ((self.truth,), ("cells", "totals", "none"))}
        choices |= {"master-format": ((self.master_format,), ("csv", "parquet"))}
        for name, (chosen, allowed) in choices.items():
            if not chosen or len(set(chosen)) != len(chosen) or not set(chosen) <= set(allowed):
                raise SettingError(
                    f"--{name} is {','.join(chosen)}", hint=f"use each of {', '.join(allowed)} at most once"
                )

    def stamp_ms(self, stamp: int) -> int:
        """Time of stamp 0..slots; stamp k is the start of slot k and the end of slot k-1."""
        return self.start_ms + stamp * MS_PER_SLOT

    def midnights(self) -> tuple[int, ...]:
        """Slots of the window, but the first, that start at 00:00 JST."""
        offset = JST_OFFSET_MINUTES * MS_PER_MINUTE
        return tuple(k for k in range(1, self.slots) if (self.stamp_ms(k) + offset) % MS_PER_DAY == 0)

    def outage_ms(self) -> tuple[int, int]:
        """Start and end of the outage, half-open; equal where there is none."""
        start = self.outage_start_ms or self.start_ms + 2 * MS_PER_SLOT
        return start, start + self.faults.outage_minutes * MS_PER_MINUTE

    def with_faults(self, **changes: float) -> "Options":
        """Return the same simulation with other faults."""
        return replace(self, faults=replace(self.faults, **changes))  # type: ignore[arg-type]
