# SPDX-License-Identifier: Apache-2.0
import json

from koma.slots import slot_start_ms
from pipeline.ledger.causes import APART, CAUSES, STATES, TO_DO
from pipeline.ledger.histogram import Histogram
from pipeline.ledger.model import Alarm, Counts, SlaModel, SlotLine, StagnatedPoint, Stagnation, as_json
from pipeline.ledger.promise import PAGE, burn_rates, deadlines

SLOT = 992_000
START = slot_start_ms(SLOT)


def model() -> SlaModel:
    counts = Counts(10, {"no_telemetry": 2}, 7, 7, 6, None, {"not_collected": 1, "computed_not_published": 1})
    late = Histogram.of([60_000, 120_000])
    line = SlotLine(
        SLOT, START, START + 1_800_000, "running", None, None, None, counts, {"03": counts}, 1, 2, 0,
        deadlines(SLOT, {}, START), {"measured_to_handed_over": late}, {"03": late},
    )  # fmt: skip
    point = StagnatedPoint("03" + "0" * 20, "03", "11113", "not_collected", "", START, START, 1, 2, 0)
    by_area = {"03": {"not_collected": 1}}
    return SlaModel(
        at_ms=START + 1,
        clock="wall",
        issued_ms=None,
        gateway=False,
        slots=(line,),
        stagnation=Stagnation(1, {"not_collected": 1}, by_area, {"03": {"not_collected": START}}, 2, (point,)),
        burns=burn_rates("on_time", [], SLOT),
        alarms=(Alarm("deadline", PAGE, START, "", "late", "look"),),
    )


def test_what_is_due_leaves_normal_states_out() -> None:
    counts = model().slots[0].counts
    assert (counts.due, counts.completeness) == (8, 0.75)
    assert Counts().completeness is None


def test_the_model_is_json_with_times_as_text_and_histograms_that_merge() -> None:
    told = json.loads(json.dumps(as_json(model())))
    (slot,) = told["slots"]
    assert slot["slot_start"].endswith("+09:00")
    assert (slot["due"], slot["completeness"], slot["fetched"]) == (8, 0.75, None)
    assert slot["latencies"]["measured_to_handed_over"]["p50_s"] == 61
    assert Histogram.of_pairs(slot["area_latencies"]["03"]["buckets"]).count == 2
    assert slot["deadlines"][0]["state"] == "ahead"
    assert told["stagnation"]["oldest"][0]["since"] == slot["slot_start"]
    assert told["issued_until"] is None
    assert told["alarms"][0]["do"] == "look"


def test_every_cause_has_a_word_and_something_to_do() -> None:
    assert set(TO_DO) == set(CAUSES)
    assert not set(CAUSES) & set(APART)
    assert len(set(STATES)) == len(STATES)
