# SPDX-License-Identifier: Apache-2.0
"""The read model of the ledger: everything that a screen, a metric or a report says, as plain values.

Its shape is a contract between the ledger and whoever shows it (docs/decisions/0013-slot-ledger.md): fields are added,
never changed. Counts are whole numbers; None is "not known", never 0.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from koma.slots import format_jst
from pipeline.instants import MINUTE_MS, SPLITS_MIN
from pipeline.ledger.histogram import Histogram
from pipeline.ledger.promise import Burn, Deadline

STAGES: Final = (
    "measured_to_handed_over",
    "handed_over_to_decoded",
    "decoded_to_computed",
    "computed_to_published",
    "published_to_fetched",
    "measured_to_published",
)
"""Between which two stages a latency lies; the last is the whole way to the retailer's door."""
PERCENTS: Final = (50, 95, 99, 100)
NAMING_MS: Final = SPLITS_MIN[-1] * MINUTE_MS
"""After a slot's end: with the last split, one slot later, what is not there is late, and named by point."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Cells of a slot, by how far they came: each number is a part of the one before.

    `expected` is what the master says, whatever arrived. `apart` of them are in a normal state, by its word; the rest
    is due. `fetched` is None where no gateway serves the home.
    """

    expected: int = 0
    apart: Mapping[str, int] = field(default_factory=dict)
    received: int = 0
    computed: int = 0
    published: int = 0
    fetched: int | None = None
    missing: Mapping[str, int] = field(default_factory=dict)
    """Due cells that are not published, by cause."""

    @property
    def due(self) -> int:
        """How many cells have to come."""
        return self.expected - sum(self.apart.values())

    @property
    def completeness(self) -> float | None:
        """Return which part of what is due is published; None where nothing is due."""
        return self.published / self.due if self.due else None


@dataclass(frozen=True, slots=True)
class SlotLine:
    """A slot against the promise."""

    slot: int
    start_ms: int
    end_ms: int
    state: str
    """`open` until its first split is due, `running` until it is closed; then `closed`, or `late` where a deadline was
    missed; `broken` where the duty was."""
    surveyed_ms: int | None
    """As of which instant the counts hold; None where the slot was not looked at yet."""
    closed_ms: int | None
    """Instant at which the last retailer was closed."""
    out_ms: int | None
    """When that could be fetched, by the machine's clock."""
    counts: Counts
    areas: Mapping[str, Counts]
    """By area, two digits."""
    unassigned: int
    retailers: int
    """That expect something."""
    retailers_closed: int
    deadlines: tuple[Deadline, ...]
    latencies: Mapping[str, Histogram]
    """By `STAGES`; a stage that is not known has none."""
    area_latencies: Mapping[str, Histogram]
    """Of `measured_to_handed_over`, by area."""

    @property
    def is_named(self) -> bool:
        """Whether what is missing is late, and named by point."""
        return self.surveyed_ms is not None and self.surveyed_ms >= self.end_ms + NAMING_MS


@dataclass(frozen=True, slots=True)
class StagnatedPoint:
    """A point of which something was due and is not there."""

    point_id: str
    area: str
    retailer_code: str
    cause: str
    code: str
    """What stands behind the cause: a code of the quarantine, the quality of the cell; often empty."""
    since_ms: int
    """Start of the first slot that is missing."""
    last_ms: int
    """Start of the last."""
    cells: int
    """How many are missing."""
    age_slots: int
    """From the end of the first missing slot."""
    age_business_days: int
    """Business days from the day of the first missing slot, exclusive, to today."""


@dataclass(frozen=True, slots=True)
class Stagnation:
    """All such points in numbers, and the oldest of them by name."""

    points: int
    by_cause: Mapping[str, int]
    by_area: Mapping[str, Mapping[str, int]]
    """Area, then cause."""
    since_ms: Mapping[str, Mapping[str, int]]
    """Area, then cause: start of the first slot that is missing."""
    oldest_slots: int
    oldest: tuple[StagnatedPoint, ...]
    waiting_files: Mapping[str, int] = field(default_factory=dict)
    """Files that were published for more than a slot and not fetched, by retailer; of the slots shown."""
    waiting_since_ms: Mapping[str, int] = field(default_factory=dict)
    """Since when the oldest file that a retailer has not fetched could be, however short; of the slots shown."""


@dataclass(frozen=True, slots=True)
class GroupLine:
    """Points that share concentrators, in the newest slot of which what is missing is late."""

    group: str
    area: str
    """Of its first point."""
    points: int
    missing: int
    silent_since_ms: int | None
    """Start of the slot since which more than half of it has been missing; None where it reports."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """What somebody has to see to.

    `code`: `deadline`, `burn_rate`, `stagnated`, `incomplete`, `unknown_meters`, `not_fetched` or `conservation`.
    """

    code: str
    severity: str
    since_ms: int
    area: str
    """Two digits; empty: all."""
    detail: str
    do: str


@dataclass(frozen=True, slots=True)
class SlaModel:
    """How the promise stands."""

    at_ms: int
    clock: str
    """By which clock: `wall`, `manual` or `received`."""
    issued_ms: int | None
    """The last instant issued."""
    gateway: bool
    """Whether a gateway has served the home, so that `fetched` is known."""
    slots: tuple[SlotLine, ...]
    """The newest last."""
    stagnation: Stagnation
    burns: tuple[Burn, ...]
    alarms: tuple[Alarm, ...]
    """The most severe first."""
    groups: tuple[GroupLine, ...] = ()
    """Where the operator names any."""

    @property
    def named(self) -> SlotLine | None:
        """The newest slot of which what is missing is late."""
        return next((each for each in reversed(self.slots) if each.is_named), None)


def as_json(model: SlaModel) -> dict[str, Any]:
    """Return the model as JSON values: times as JST text, histograms as percentiles and as buckets that merge."""
    return {
        "at": format_jst(model.at_ms),
        "clock": model.clock,
        "issued_until": _when(model.issued_ms),
        "gateway": model.gateway,
        "slots": [_slot(each) for each in model.slots],
        "stagnation": _stagnation(model.stagnation),
        "burns": [asdict(each) | {"burning": each.burning} for each in model.burns],
        "groups": [_group(each) for each in model.groups],
        "alarms": [
            {"code": each.code, "severity": each.severity, "since": format_jst(each.since_ms), "area": each.area}
            | {"detail": each.detail, "do": each.do}
            for each in model.alarms
        ],
    }


def _group(line: GroupLine) -> dict[str, Any]:
    values = asdict(line)
    return values | {"silent_since": _when(values.pop("silent_since_ms"))}


def _stagnation(found: Stagnation) -> dict[str, Any]:
    since = {area: {cause: format_jst(ms) for cause, ms in each.items()} for area, each in found.since_ms.items()}
    return {
        "points": found.points,
        "by_cause": dict(found.by_cause),
        "by_area": {area: dict(each) for area, each in found.by_area.items()},
        "since": since,
        "oldest_slots": found.oldest_slots,
        "oldest": [point_json(each) for each in found.oldest],
        "waiting_files": dict(found.waiting_files),
        "waiting_since": {code: format_jst(ms) for code, ms in found.waiting_since_ms.items()},
    }


def point_json(point: StagnatedPoint) -> dict[str, Any]:
    """Return a stagnated point as JSON values."""
    values = asdict(point)
    return values | {"since": format_jst(values.pop("since_ms")), "last": format_jst(values.pop("last_ms"))}


def latency_json(found: Histogram) -> dict[str, Any]:
    """Return a histogram as JSON values."""
    percentiles = {f"p{percent}_s": found.percentile_s(percent) for percent in PERCENTS}
    return {"count": found.count} | percentiles | {"buckets": found.pairs()}


def _slot(line: SlotLine) -> dict[str, Any]:
    return {
        "slot_start": format_jst(line.start_ms),
        "slot_end": format_jst(line.end_ms),
        "state": line.state,
        "surveyed_at": _when(line.surveyed_ms),
        "closed_at": _when(line.closed_ms),
        "out_at": _when(line.out_ms),
        **_counts(line.counts),
        "unassigned": line.unassigned,
        "retailers": line.retailers,
        "retailers_closed": line.retailers_closed,
        "areas": {area: _counts(each) for area, each in line.areas.items()},
        "deadlines": [_deadline(each) for each in line.deadlines],
        "latencies": {stage: latency_json(each) for stage, each in line.latencies.items()},
        "area_latencies": {area: latency_json(each) for area, each in line.area_latencies.items()},
    }


def _counts(counts: Counts) -> dict[str, Any]:
    return {
        "expected": counts.expected,
        "due": counts.due,
        "apart": dict(counts.apart),
        "received": counts.received,
        "computed": counts.computed,
        "published": counts.published,
        "fetched": counts.fetched,
        "missing": dict(counts.missing),
        "completeness": None if counts.completeness is None else round(counts.completeness, 6),
    }


def _when(ms: int | None) -> str | None:
    return None if ms is None else format_jst(ms)


def _deadline(each: Deadline) -> dict[str, Any]:
    return {
        "minutes": each.minutes,
        "due": format_jst(each.due_ms),
        "state": each.state,
        "severity": each.severity,
        "says": each.says,
    }
