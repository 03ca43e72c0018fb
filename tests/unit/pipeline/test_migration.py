# SPDX-License-Identifier: Apache-2.0
"""A home says its layout: an older one is brought here on request, a later one refused, and nothing is done twice."""

import json
from pathlib import Path

import pytest

from koma.errors import HomeError
from pipeline.home import HOME_VERSION, MARKER, layout_of, open_home
from pipeline.journal import Journal, read_state
from pipeline.migration import migrate
from tests.crashes import Crashed, crash_before
from tests.homes import at, digests, hand_over, new_home, point, reads_of, run

START = at("2026-10-06T22:30")


def of_layout(root: Path, layout: int) -> None:
    (root / MARKER).write_text(json.dumps({"version": layout}) + "\n")


def test_a_new_home_has_this_komas_layout_and_nothing_to_migrate(tmp_path: Path) -> None:
    open_home(tmp_path / "home")

    assert layout_of(tmp_path / "home") == HOME_VERSION == migrate(tmp_path / "home")
    assert layout_of(tmp_path / "none") is None


def test_a_later_layout_is_refused_by_name(tmp_path: Path) -> None:
    open_home(tmp_path)
    of_layout(tmp_path, HOME_VERSION + 1)

    for act in (open_home, migrate):
        with pytest.raises(HomeError, match=rf"layout {HOME_VERSION + 1} of a newer Koma.*use the Koma that wrote it"):
            act(tmp_path)


def test_an_earlier_layout_is_refused_with_the_command_that_brings_it_here(tmp_path: Path) -> None:
    open_home(tmp_path)
    of_layout(tmp_path, 1)

    with pytest.raises(HomeError, match=r"layout 1 of an older Koma.*koma home migrate"):
        open_home(tmp_path)


def test_no_home_is_made_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="is not a Koma home"):
        migrate(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_was_issued_is_not_issued_again(tmp_path: Path) -> None:
    home = new_home(
        tmp_path / "home",
        points=[{"point_id": point(0)}],
        meters=[{"point_id": point(0), "meter_id": "M0", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(0), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"}],
    )
    hand_over(home, "0.arrow", reads_of("M0", START, range(100, 108)))
    run(home)
    of_layout(home.root, 1)
    delivered, state = digests(home.deliveries), read_state(home.path("journal"))

    assert migrate(home.root) == 1

    assert read_state(home.path("journal")) == state
    assert run(open_home(home.root)).summary()["files"] == 0
    assert digests(home.deliveries) == delivered


def test_a_home_in_the_middle_of_an_issue_or_of_an_older_form_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    cases = {
        "an issue of .* was cut off": {"kind": "intent", "to": 9, "batches": 0, "master": 1, "extra": False},
        "a form that no Koma reads any more": {
            "kind": "intake", "batch": 1, "master": 1, "files": [], "held": [], "clock_ms": 5, "first_slot": 3,
            "segments": [{"shard": 0, "name": "00000001-00000.col", "stamps": [[3, 4]]}],
        },
    }  # fmt: skip
    for number, (said, record) in enumerate(cases.items()):
        home = open_home(tmp_path / str(number))
        journal = Journal(home.path("journal"))
        journal.append(record)
        journal.close()
        of_layout(home.root, 1)
        before = digests(home.path("journal"))

        with pytest.raises(HomeError, match=said):
            migrate(home.root)

        assert digests(home.path("journal")) == before
        assert layout_of(home.root) == 1


def test_a_migration_that_is_cut_off_is_run_again(tmp_path: Path) -> None:
    done, moment = False, -1
    while not done:
        moment += 1
        home = open_home(tmp_path / str(moment))
        journal = Journal(home.path("journal"))
        journal.append({"kind": "start", "first_slot": 7})
        journal.close()
        of_layout(home.root, 1)
        try:
            with crash_before(moment, home.root):
                migrate(home.root)
            done = True
        except Crashed:
            assert moment < 30
        migrate(home.root)
        assert layout_of(home.root) == HOME_VERSION
        assert read_state(home.path("journal")).first_slot == 7
    assert moment > 4
