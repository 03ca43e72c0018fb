# SPDX-License-Identifier: Apache-2.0
"""The read model of small homes: counts by stage, deadlines, what was fetched, alarms, and how they are shown."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.alarms import alarms_name, conservation_line
from pipeline.commands.sla import app
from pipeline.home import Home
from pipeline.ledger.histogram import Histogram
from pipeline.ledger.model import STAGES, SlaModel, as_json
from pipeline.ledger.reading import business_now, named_points, read_model
from pipeline.ledger.screen import WIDTH, lines_of
from pipeline.ledger.stamps import Out, Stamps, read_stamps, stamp_intake, stamp_issue
from tests.homes import MINUTE_MS, SLOT_MS, hand_over, run, settings_of
from tests.ledger_homes import SLOT, START, delivered, index_releases, let_go, made, reads

END = START + SLOT_MS
CODES = ("11113", "22223")


def after(minutes: int) -> int:
    """Give a time after the first slot's end."""
    return END + minutes * MINUTE_MS


def ran(folder: Path, minutes: int, *, lost: tuple[int, ...] = (), without: tuple[int, ...] = ()) -> Home:
    """Run a home of six points and two retailers, one of them without telemetry, until after the first slot's end."""
    home = made(folder, 6, silent=(5,), without=without, codes=CODES)
    for n in range(5):
        hand_over(home, f"{n}.arrow", reads(n, 1 if n in lost else 3))
    run(home, wall_ms=after(minutes))
    return home


def told(model: SlaModel) -> list[tuple[str, str, str]]:
    return [(each.code, each.severity, each.area) for each in model.alarms]


def test_a_slot_is_counted_stage_by_stage_and_normal_states_apart(tmp_path: Path) -> None:
    home = ran(tmp_path, 45, lost=(1, 2))
    model = read_model(home, after(46), clock="manual", slots=3)
    assert [each.slot for each in model.slots] == [SLOT, SLOT + 1]
    line = model.slots[0]
    assert (line.state, line.retailers, line.retailers_closed, line.unassigned) == ("closed", 2, 2, 0)
    assert (line.counts.expected, line.counts.due, line.counts.apart) == (6, 5, {"no_telemetry": 1})
    assert (line.counts.received, line.counts.computed, line.counts.published, line.counts.fetched) == (3, 3, 3, None)
    assert line.counts.missing == {"not_collected": 2}
    assert line.areas == {"03": line.counts}
    assert line.latencies["measured_to_handed_over"].pairs() == [[120, 3]]
    assert line.closed_ms == line.out_ms == after(45)
    assert model.stagnation.by_cause == {"not_collected": 2}
    assert model.slots[1].surveyed_ms == after(40), "the split of the slot that runs"
    assert told(model) == [("incomplete", "page", "03")]
    assert ("burn_rate", "page", "") in told(read_model(home, after(61), clock="manual", slots=3))


def test_nothing_is_called_late_before_the_last_split(tmp_path: Path) -> None:
    home = ran(tmp_path, 20, lost=(1, 2))
    model = read_model(home, after(21), clock="manual")
    assert model.slots[0].counts.missing == {"not_collected": 2}
    assert (model.stagnation.points, model.alarms) == (0, ())
    run(home, wall_ms=after(30))
    model = read_model(home, after(30), clock="manual")
    assert [each.cause for each in model.stagnation.oldest] == ["not_collected"] * 2
    assert ("incomplete", "page", "03") in told(model)


def test_a_home_whose_issues_stop_is_called_out_deadline_by_deadline(tmp_path: Path) -> None:
    home = ran(tmp_path, 10)
    states = [read_model(home, after(minutes), clock="manual").slots[0].state for minutes in (5, 34, 36, 51, 61)]
    assert states == ["open", "running", "late", "late", "broken"]
    alarms = read_model(home, after(61), clock="manual").alarms
    deadline = next(each for each in alarms if each.code == "deadline")
    assert (deadline.severity, deadline.since_ms) == ("page", after(60))
    assert "is not out" in deadline.detail
    assert any(each.code == "burn_rate" for each in alarms), "slots that nobody issued count as missed"


def test_a_master_that_lost_a_meter_is_an_alarm_one_slot_later(tmp_path: Path) -> None:
    home = ran(tmp_path, 30, without=(1,))
    model = read_model(home, after(30), clock="manual")
    assert ("stagnated", "page", "03") in told(model)
    assert [(each.point_id[-1], each.cause, each.age_business_days) for each in model.stagnation.oldest] == [
        ("1", "master_mismatch", 0)
    ]
    assert next(each.since_ms for each in model.alarms if each.code == "stagnated") == after(30)


def test_reads_of_meters_that_belong_nowhere_are_an_alarm(tmp_path: Path) -> None:
    home = ran(tmp_path, 0)
    hand_over(home, "9.arrow", reads(9, 3))
    run(home, wall_ms=after(45))
    assert told(read_model(home, after(46), clock="manual")) == [("unknown_meters", "ticket", "")]


def test_an_alarm_of_the_issue_is_shown_with_the_others(tmp_path: Path) -> None:
    home = ran(tmp_path, 45)
    (home.path("ledger") / alarms_name("20261006")).write_bytes(
        conservation_line(SLOT, after(45), {"areas": (1, 1, 1)})
    )
    assert told(read_model(home, after(46), clock="manual"))[0] == ("conservation", "page", "")


def test_what_was_fetched_comes_from_the_gateway_s_own_record(tmp_path: Path) -> None:
    home = ran(tmp_path, 45)
    index_releases(home, after(46))
    mine = [each for each in delivered(home) if each.startswith(CODES[0])]
    let_go(home, mine, after(50))
    let_go(home, delivered(home), after(51), reason="HEAD")
    model = read_model(home, after(55), clock="wall", slots=2)
    counts = model.slots[0].counts
    assert model.gateway
    assert (counts.published, counts.fetched) == (5, 3)
    assert model.slots[0].latencies["published_to_fetched"].pairs() == [[240, 3]]
    assert model.stagnation.waiting_files == {}, "a slot's time is left to fetch it"

    later = read_model(home, after(80), clock="wall", slots=4)
    assert set(later.stagnation.waiting_files) == {CODES[1]}
    assert ("not_fetched", "notice", "") in told(later)
    found = named_points(home, after(80), clock="wall", cause="published_not_fetched", limit=10)
    assert {each.point_id[-1] for each in found} == {"1", "3", "5"}
    assert {each.retailer_code for each in found} == {CODES[1]}
    let_go(home, [each.replace(".zip", ".parquet") for each in delivered(home)], after(81))
    assert read_model(home, after(82), clock="wall", slots=4).slots[0].counts.fetched == 5


def test_latencies_come_from_what_a_watch_noted(tmp_path: Path) -> None:
    home = ran(tmp_path, 45)
    stamp_intake(home, after(2), [(after(1), 5), (after(1) + 30_000, 3)])
    stamp_issue(home, Out(after(5), after(45), after(46), after(46) + 20_000))
    found = read_model(home, after(50), clock="wall").slots[0].latencies
    assert [stage for stage in STAGES if stage in found] == [STAGES[0], STAGES[1], STAGES[2], STAGES[3], STAGES[5]]
    assert found["handed_over_to_decoded"].pairs() == [[30, 3], [60, 5]]
    assert found["computed_to_published"].pairs() == [[20, 5]]
    assert found["measured_to_published"].count == 5
    late = read_model(home, after(50), clock="wall").slots[0].deadlines
    assert [each.state for each in late] == ["missed", "missed", "met", "met"]


def test_latencies_of_many_days_are_there_to_be_merged(tmp_path: Path) -> None:
    home = ran(tmp_path, 45)
    stamp_issue(home, Out(after(5), after(45), after(46), after(46) + 20_000))
    read_model(home, after(50), clock="wall")
    model = read_model(home, after(50) + 5 * 48 * SLOT_MS, clock="wall", slots=300)
    assert model.slots[0].slot == SLOT
    merged = sum((each.latencies.get(STAGES[5], Histogram.empty()) for each in model.slots), Histogram.empty())
    first, second = (each.latencies[STAGES[5]] for each in model.slots[:2])
    assert merged.pairs() == (first + second).pairs()
    assert (first.count, second.count, merged.count) == (5, 5, 10)


def test_stamps_that_a_crash_tore_are_passed_over(tmp_path: Path) -> None:
    home = made(tmp_path, 1)
    stamp_issue(home, Out(0, after(1), after(1), after(2)))
    with (home.path("sla") / "stamps-20261006.jsonl").open("ab") as file:
        file.write(b'{"what":"issue","at":')
    found = read_stamps(home, START, after(3))
    assert found.out_of(after(1)) == Out(0, after(1), after(1), after(2))
    assert found.out_of(after(2)) is None
    (home.path("sla") / "stamps-20261006.jsonl").unlink()
    assert read_stamps(home, START, after(3)) == Stamps()


def test_the_screen_fits_eighty_columns_and_says_what_to_do(tmp_path: Path) -> None:
    home = ran(tmp_path, 45, lost=(1, 2), without=(3,))
    model = read_model(home, after(70), clock="manual")
    lines = lines_of(model)
    assert max(map(len, lines)) <= WIDTH
    text = "\n".join(lines)
    for words in ("PAGE", "master mismatch", "koma master import", "10:00 closed", "MISS", "points stagnate"):
        assert words in text
    json.dumps(as_json(model))


def test_a_home_in_order_says_so(tmp_path: Path) -> None:
    home = ran(tmp_path, 45)
    lines = lines_of(read_model(home, after(46), clock="manual", slots=1))
    assert "all in order" in lines
    assert "no point stagnates" in lines


def test_a_home_that_never_ran_has_nothing_to_show(tmp_path: Path) -> None:
    model = read_model(made(tmp_path, 1), START, clock="received")
    assert (model.slots, model.issued_ms, model.alarms) == ((), None, ())
    assert max(map(len, lines_of(model))) <= WIDTH


def test_the_command_shows_a_table_json_and_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = ran(tmp_path, 45, lost=(1, 2))
    monkeypatch.setenv("KOMA_HOME", str(home.root))
    text = "2026-10-06T11:16:00"
    shown = CliRunner().invoke(app, ["--at", text])
    asked = CliRunner().invoke(app, ["--at", text, "--json"])
    twice = CliRunner().invoke(app, ["--json", "--watch", "--every", "0.1", "--times", "2"])
    named = CliRunner().invoke(app, ["stagnated", "--at", text, "--json", "--limit", "1"])
    people = CliRunner().invoke(app, ["stagnated", "--at", text, "--area", "03", "--cause", "not_collected"])
    none = CliRunner().invoke(app, ["stagnated", "--at", text, "--area", "04"])
    wrong = CliRunner().invoke(app, ["stagnated", "--cause", "nothing", "--json"])
    assert "10:00" in shown.stderr
    assert json.loads(asked.stdout)["slots"][0]["missing"] == {"not_collected": 2}
    assert len(twice.stdout.splitlines()) == 2
    assert json.loads(named.stdout)["cause"] == "not_collected"
    assert "2 points shown" in people.stderr
    assert "no point stagnates" in none.stderr
    assert (wrong.exit_code, json.loads(wrong.stdout)["error"]["code"]) == (1, "id.invalid")


def test_a_home_goes_by_the_clock_of_its_data_unless_told(tmp_path: Path) -> None:
    home = ran(tmp_path, 45)
    assert business_now(home, settings_of(home)) == ("received", after(45))
    assert business_now(home, settings_of(home, clock="wall"))[0] == "wall"
