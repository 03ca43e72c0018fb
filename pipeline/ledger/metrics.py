# SPDX-License-Identifier: Apache-2.0
"""The read model as Prometheus metrics; what each means and when to act stands in docs/operating/telemetry.md.

A metric is one line of `METRICS`: its name, its labels, and what of the model it shows. Slots are told by age, 0 being
the newest that has ended, so that the number of series does not grow with time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.ledger.model import Counts, SlaModel, SlotLine
from pipeline.ledger.promise import MET

ALL_AREAS: Final = "all"
QUANTILES: Final = (50, 95, 99, 100)
Sample = tuple[tuple[str, ...], float]
"""Values of the labels, in their order, and the metric's value."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[SlaModel], Iterable[Sample]]


def _lines(model: SlaModel) -> Iterator[tuple[str, SlotLine]]:
    return ((str(age), line) for age, line in enumerate(reversed(model.slots)))


def _areas(line: SlotLine) -> Iterator[tuple[str, Counts]]:
    yield ALL_AREAS, line.counts
    yield from sorted(line.areas.items())


def _stages(counts: Counts) -> dict[str, int | None]:
    return {
        "expected": counts.expected,
        "due": counts.due,
        "received": counts.received,
        "computed": counts.computed,
        "published": counts.published,
        "fetched": counts.fetched,
    }


def _cells(model: SlaModel) -> Iterator[Sample]:
    for age, line in _lines(model):
        if line.surveyed_ms is None:
            continue
        for area, counts in _areas(line):
            for stage, count in _stages(counts).items():
                if count is not None:
                    yield (age, area, stage), count


def _parts(model: SlaModel, name: str) -> Iterator[Sample]:
    for age, line in _lines(model):
        if line.surveyed_ms is None:
            continue
        for area, counts in _areas(line):
            for word, count in getattr(counts, name).items():
                yield (age, area, word), count


def _rungs(model: SlaModel, value: Callable[[object], float]) -> Iterator[Sample]:
    for age, line in _lines(model):
        for each in line.deadlines:
            yield (age, str(each.minutes)), value(each)


def _latencies(model: SlaModel) -> Iterator[Sample]:
    stages = sorted({stage for line in model.slots for stage in line.latencies})
    for stage in stages:
        found = [line.latencies[stage] for line in model.slots if stage in line.latencies]
        whole = sum(found[1:], found[0])
        for percent in QUANTILES:
            seconds = whole.percentile_s(percent)
            if seconds is not None:
                yield (stage, f"{percent / 100:g}"), seconds


def _area_latencies(model: SlaModel) -> Iterator[Sample]:
    for area, found in model.named.area_latencies.items() if model.named is not None else ():
        for percent in QUANTILES:
            seconds = found.percentile_s(percent)
            if seconds is not None:
                yield (area, f"{percent / 100:g}"), seconds


def _since(model: SlaModel) -> Iterator[Sample]:
    for area, by_cause in model.stagnation.since_ms.items():
        for cause, since_ms in by_cause.items():
            yield (area, cause), since_ms / 1000


def _burns(model: SlaModel) -> Iterator[Sample]:
    for each in model.burns:
        labels = (each.objective, each.severity, f"{each.factor:g}")
        yield (*labels, "long", str(each.long_slots)), each.long_burn
        yield (*labels, "short", str(each.short_slots)), each.short_burn


def _alarms(model: SlaModel) -> Iterator[Sample]:
    found: dict[tuple[str, str, str], int] = {}
    for each in model.alarms:
        key = (each.code, each.severity, each.area or ALL_AREAS)
        found[key] = found.get(key, 0) + 1
    return iter(found.items())


def _closed(model: SlaModel) -> Iterator[Sample]:
    for age, line in _lines(model):
        if line.out_ms is not None and line.retailers_closed == line.retailers:
            yield (age,), (line.out_ms - line.end_ms) / 1000


METRICS: Final[tuple[Metric, ...]] = (
    Metric("koma_at_timestamp_seconds", "The time that these metrics speak of, by the home's clock.", (),
           lambda model: [((), model.at_ms / 1000)]),
    Metric("koma_issued_until_timestamp_seconds", "The last instant issued.", (),
           lambda model: [] if model.issued_ms is None else [((), model.issued_ms / 1000)]),
    Metric("koma_slot_end_timestamp_seconds", "End of a slot.", ("age",),
           lambda model: [((age,), line.end_ms / 1000) for age, line in _lines(model)]),
    Metric("koma_slot_state", "State of a slot, always 1.", ("age", "state"),
           lambda model: [((age, line.state), 1) for age, line in _lines(model)]),
    Metric("koma_slot_cells", "Cells of a slot by how far they came; none of a slot that was not looked at.",
           ("age", "area", "stage"), _cells),
    Metric("koma_slot_missing_cells", "Due cells of a slot that are not published, by cause.",
           ("age", "area", "cause"), lambda model: _parts(model, "missing")),
    Metric("koma_slot_apart_cells", "Expected cells in a normal state for which nothing is due.",
           ("age", "area", "state"), lambda model: _parts(model, "apart")),
    Metric("koma_slot_unassigned_cells", "Cells that no retailer supplies.", ("age",),
           lambda model: [((age,), line.unassigned) for age, line in _lines(model)]),
    Metric("koma_slot_retailers", "Retailers that expect something of a slot.", ("age",),
           lambda model: [((age,), line.retailers) for age, line in _lines(model)]),
    Metric("koma_slot_retailers_closed", "Retailers whose slot is closed.", ("age",),
           lambda model: [((age,), line.retailers_closed) for age, line in _lines(model)]),
    Metric("koma_slot_out_seconds", "From a slot's end until all of it was out; none while it is not.", ("age",),
           _closed),
    Metric("koma_deadline_timestamp_seconds", "When a rung of the promise is due.", ("age", "minutes"),
           lambda model: _rungs(model, lambda each: each.due_ms / 1000)),  # type: ignore[attr-defined]
    Metric("koma_deadline_met", "1 where what a rung asks for was out by then.", ("age", "minutes"),
           lambda model: _rungs(model, lambda each: float(each.state == MET))),  # type: ignore[attr-defined]
    Metric("koma_latency_seconds", "Latency between two stages over the slots shown, off by less than 1 %.",
           ("stage", "quantile"), _latencies),
    Metric("koma_area_latency_seconds", "From measured to handed over, in the newest slot whose missing are named.",
           ("area", "quantile"), _area_latencies),
    Metric("koma_stagnated_points", "Points of which something was due and is not there.", ("area", "cause"),
           lambda model: [((area, cause), count) for area, found in model.stagnation.by_area.items()
                          for cause, count in found.items()]),
    Metric("koma_stagnated_since_timestamp_seconds", "Start of the first slot that is missing.", ("area", "cause"),
           _since),
    Metric("koma_stagnated_oldest_slots", "Age of the point that has been missing longest.", (),
           lambda model: [((), model.stagnation.oldest_slots)]),
    Metric("koma_waiting_files", "Files of the slots shown that a retailer has not fetched for more than a slot.",
           ("retailer",), lambda model: [((code,), count) for code, count in model.stagnation.waiting_files.items()]),
    Metric("koma_fetch_lag_seconds", "Age of the oldest file of the slots shown that a retailer has not fetched.",
           ("retailer",), lambda model: [((code,), (model.at_ms - since_ms) / 1000)
                                         for code, since_ms in model.stagnation.waiting_since_ms.items()]),
    Metric("koma_group_points", "Points that share concentrators.", ("group", "area"),
           lambda model: [((each.group, each.area), each.points) for each in model.groups]),
    Metric("koma_group_missing_points", "Those of them that miss the newest slot whose missing points are named.",
           ("group", "area"), lambda model: [((each.group, each.area), each.missing) for each in model.groups]),
    Metric("koma_group_silent_since_timestamp_seconds", "Start of the slot since which most of a group is missing.",
           ("group", "area"), lambda model: [((each.group, each.area), each.silent_since_ms / 1000)
                                             for each in model.groups if each.silent_since_ms is not None]),
    Metric("koma_burn_rate", "How many times faster than allowed the budget of misses goes.",
           ("objective", "severity", "factor", "window", "slots"), _burns),
    Metric("koma_alarms", "Alarms that stand, as koma sla lists them.", ("code", "severity", "area"), _alarms),
)  # fmt: skip
"""In the order of the page."""


class _Ledger(Collector):
    """Shows a model once."""

    def __init__(self, model: SlaModel) -> None:
        self._model = model

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every metric, those without samples too."""
        for metric in METRICS:
            family = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, value in metric.samples(self._model):
                family.add_metric(labels, value)
            yield family


def exposition(model: SlaModel) -> bytes:
    """Return a model in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Ledger(model))
    return generate_latest(registry)
