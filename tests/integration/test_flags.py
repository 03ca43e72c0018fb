# SPDX-License-Identifier: Apache-2.0
"""The flags of a day, from hand-over files to the command that shows them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.commands.flags import app
from pipeline.daily import daily_steps
from pipeline.home import Home
from pipeline.issuing import issue
from pipeline.journal import Journal
from tests.homes import (
    HOUR_MS,
    MINUTE_MS,
    SLOT_MS,
    Read,
    at,
    digests,
    hand_over,
    new_home,
    point,
    reads_of,
    run,
    settings_of,
)

DAY = at("2026-10-07T00:00")
FIRST = DAY + 30 * HOUR_MS + 15 * MINUTE_MS
USED = [7 * k for k in range(49)]


def town(root: Path) -> Home:
    """Points: 0 as it should be, 1 silent, 2 moved out at noon, 3 back at 02:00, 4 frozen, 5 reverse, 6 exchanged."""
    since = {"removed_at": "", "install_register": "", "removal_register": "", "digits": 6, "unit_exponent": -1}
    meters = [
        {"point_id": point(n), "meter_id": f"M{n}", "installed_at": "2020-01-01T00:00", **since} for n in range(7)
    ]
    meters[6] |= {"removed_at": "2026-10-07T12:07", "removal_register": 180}
    meters.append(meters[6] | {"meter_id": "NEW", "installed_at": "2026-10-07T12:07", "removed_at": "",
                               "removal_register": "", "install_register": 0, "unit_exponent": -2})  # fmt: skip
    supply = [
        {
            "point_id": point(n),
            "retailer_code": "90013",
            "valid_from": "2020-01-01T00:00",
            "valid_to": "2026-10-07T12:00" if n == 2 else "",
        }
        for n in range(7)
    ]
    home = new_home(
        root,
        points=[{"point_id": point(n), "contract_kw": 6} for n in range(7)],
        meters=meters,
        supply=supply,
        retailers=[{"retailer_code": "90013", "name": "A", "area": "03", "operator_code": "9001"}],
    )
    back = [*range(900, 905), *range(44)]
    reads = [
        read for n, values in ((0, USED), (2, USED), (3, back), (4, USED)) for read in reads_of(f"M{n}", DAY, values)
    ]
    odd = [k * k for k in range(49)]
    reads += [Read("M5", each.read_at_ms, each.received_ms, each.value, 4 + (each.read_at_ms > DAY + 9 * HOUR_MS))
              for each in reads_of("M5", DAY, odd)]  # fmt: skip
    reads += reads_of("M6", DAY, USED[:25]) + reads_of("NEW", DAY + 25 * SLOT_MS, USED[25:])
    reads.append(Read("M5", FIRST - 15 * MINUTE_MS, FIRST, odd[-1] + 1))
    hand_over(home, "day.arrow", reads)
    return home


def flags(home: Home, *options: str) -> list[dict[str, object]]:
    found = CliRunner().invoke(app, ["list", "--home", str(home.root), "--json", *options])
    assert found.exit_code == 0, found.output
    return [json.loads(line) for line in found.stdout.splitlines()]


def told(home: Home, *options: str) -> list[tuple[object, ...]]:
    return [(each["point_id"], each["rule"], each["slot_start"], each["amount"]) for each in flags(home, *options)]


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = town(tmp_path_factory.mktemp("flags") / "home")
    run(home)
    return home


def test_a_day_has_its_flags_by_point_with_its_daily_file(issued: Home) -> None:
    assert told(issued) == [
        (point(0), "frozen", None, 48),
        (point(1), "silent", None, 48),
        (point(2), "frozen", None, 48),
        (point(2), "use_inactive", "2026-10-07T12:00:00+09:00", 24 * 7_000),
        (point(3), "backward", "2026-10-07T02:00:00+09:00", 1),
        (point(3), "unregistered_exchange", "2026-10-07T02:00:00+09:00", 43),
        (point(4), "frozen", None, 48),
        (point(5), "reverse", "2026-10-07T00:00:00+09:00", 1),
        (point(6), "exchange", "2026-10-07T12:00:00+09:00", 1),
        (point(6), "unit_change", "2026-10-07T12:00:00+09:00", 100),
    ]


def test_flags_are_shown_by_day_rule_and_point(issued: Home) -> None:
    assert [each[0] for each in told(issued, "--rule", "frozen")] == [point(0), point(2), point(4)]
    assert [each[1] for each in told(issued, "--point", point(3))] == ["backward", "unregistered_exchange"]
    assert told(issued, "--day", "20261006") == []
    assert len(told(issued, "--day", "20261007", "--limit", "3")) == 3
    shown = CliRunner().invoke(app, ["list", "--home", str(issued.root), "--rule", "silent"])
    assert "no register came for the whole day" in " ".join(shown.stderr.split())


def test_an_unknown_rule_is_named_with_those_there_are(issued: Home) -> None:
    found = CliRunner().invoke(app, ["list", "--home", str(issued.root), "--rule", "sielnt"])

    assert found.exit_code == 1
    assert "silent" in found.stderr


def test_a_day_s_counters_tell_of_points_and_of_cells(issued: Home) -> None:
    found = CliRunner().invoke(app, ["counts", "--home", str(issued.root), "--json"])

    (record,) = map(json.loads, found.stdout.splitlines())
    assert record["day"] == "2026-10-07"
    assert record["issued_at"] == "2026-10-08T06:15:00+09:00"
    assert record["points"]["frozen"] == 3
    assert record["cells"] == {"actual": 5 * 48 + 47, "missing": 48, "backward": 1}


def test_flags_of_a_cut_off_daily_issue_are_those_of_a_whole_one(issued: Home, tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    run(home, wall_ms=FIRST - HOUR_MS)
    journal, settings = Journal(home.path("journal")), settings_of(home)
    issue(home, journal, settings, FIRST, extra=False)
    next(daily_steps(home, journal, settings))
    journal.close()
    assert not (home.path("ledger") / "flags").exists()

    run(home)

    assert digests(home.path("ledger") / "flags") == digests(issued.path("ledger") / "flags")


def test_flags_tell_what_was_known_at_their_instant_however_late_they_are_made(issued: Home, tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    late = [Read("M1", DAY + k * SLOT_MS, FIRST + 2 * HOUR_MS, k) for k in (4, 5)]
    late.append(Read("M5", DAY + 30 * SLOT_MS, FIRST + 2 * HOUR_MS, None, 99))
    hand_over(home, "late.arrow", late)

    run(home)

    assert digests(home.path("ledger") / "flags") == digests(issued.path("ledger") / "flags")


def test_a_late_read_leaves_the_flags_of_its_day_as_they_were_told(tmp_path: Path) -> None:
    home = town(tmp_path / "home")
    run(home)
    before = digests(home.path("ledger") / "flags")
    hand_over(home, "late.arrow", [Read("M1", DAY + k * SLOT_MS, FIRST + 2 * HOUR_MS, k) for k in (4, 5)])
    run(home)

    assert digests(home.path("ledger") / "flags") == before
