# SPDX-License-Identifier: Apache-2.0
"""What a home keeps for a time goes when it is old enough, not before, and takes nothing with it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from koma.settings import Settings
from koma.slots import MS_PER_DAY, MS_PER_SLOT, format_jst, parse_jst, slot_at_ms
from pipeline.home import Home, open_home
from pipeline.instants import closing_ms
from pipeline.journal import NEVER, Journal, read_state
from pipeline.retention import (
    LEFTOVER_S,
    forget,
    forget_between_runs,
    forget_deliveries,
    forget_estimates,
    forget_handovers,
    forget_registers,
)
from tests.crashes import Crashed, crash_before

NOW_MS = parse_jst("2026-10-07T00:10:00")
NOW = slot_at_ms(NOW_MS)
DAYS = 100
LIMIT = slot_at_ms(NOW_MS - DAYS * MS_PER_DAY)


def delivered(home: Home, day: str, *ages_days: int) -> Path:
    folder = home.deliveries / "90013" / day
    folder.mkdir(parents=True)
    lines = [json.dumps({"issued_at": format_jst(NOW_MS - age * MS_PER_DAY)}) for age in ages_days]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def taken_in(home: Home, first: int, **files: list[int]) -> Journal:
    """A journal that knows files of registers, by name without ending, each with its stamps; they exist."""
    segments: list[dict[str, Any]] = [
        {"name": f"{name}.col", "stamps": [[stamp, stamp * MS_PER_SLOT] for stamp in stamps]}
        for name, stamps in files.items()
    ]
    for each in segments:
        (home.path("registers") / each["name"]).write_bytes(b"registers")
    journal = Journal(home.path("journal"))
    journal.append(
        {"kind": "intake", "batch": 1, "master": 1, "files": [], "segments": segments, "held": None, "clock_ms": NEVER,
         "first_slot": first}
    )  # fmt: skip
    return journal


def registers(home: Home) -> list[str]:
    return sorted(path.stem for path in home.path("registers").iterdir())


def test_a_folder_goes_when_all_its_files_are_old_enough(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    old = delivered(home, "20260801", 60, 50)
    revised = delivered(home, "20260802", 60, 3)
    recent = delivered(home, "20261001", 6)
    daily = delivered(home, "20260803", 60) / "manifest-W41120.jsonl"
    daily.write_text((revised / "manifest.jsonl").read_text())

    assert [old] == forget_deliveries(home, NOW_MS, 45)
    assert daily.exists()
    assert (old.exists(), revised.exists(), recent.exists()) == (False, True, True)


def test_an_old_folder_that_lost_its_manifests_in_a_crash_goes_too(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    old, recent = delivered(home, "20260801", 60), delivered(home, "20261006", 1)
    for folder in (old, recent):
        (folder / "W41110.zip").touch()
        (folder / "manifest.jsonl").unlink()

    assert [old] == forget_deliveries(home, NOW_MS, 45)
    assert (old.exists(), recent.exists()) == (False, True)


def test_deliveries_stay_while_an_issue_is_announced(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    old = delivered(home, "20260801", 60)
    journal = taken_in(home, LIMIT, young=[LIMIT])
    journal.append({"kind": "intent", "to": NOW_MS, "batches": 1, "master": 1, "extra": False})
    assert forget(home, journal, Settings(home=tmp_path), NOW_MS).deliveries == []

    journal.append({"kind": "issued", "to": NOW_MS, "extra": False})
    assert forget(home, journal, Settings(home=tmp_path), NOW_MS).deliveries == [old]


def test_hand_over_files_go_by_the_day_they_were_taken_in(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    for name in ("20260922", "20260923", "20261007", "mine"):
        (home.path("taken") / name).mkdir()

    assert [path.name for path in forget_handovers(home, NOW_MS, 14)] == ["20260922"]
    assert forget_handovers(home, NOW_MS, 14) == []


def test_a_file_of_registers_goes_with_the_last_stamp_that_needs_it(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    journal = taken_in(
        home, LIMIT - 9, old=[LIMIT - 2, LIMIT - 1], across=[LIMIT - 1, LIMIT], recent=[NOW], edge=[LIMIT]
    )

    gone = forget_registers(home, journal, NOW_MS, DAYS)

    assert [path.stem for path in gone] == ["old"]
    assert registers(home) == ["across", "edge", "recent"]
    assert journal.state.index.names.keys() == {LIMIT, NOW}
    assert journal.state.first_slot == LIMIT - 9, "what was the first slot never moves"
    assert journal.state.first_slot_kept == LIMIT
    assert read_state(home.path("journal")) == journal.state
    assert forget_registers(home, journal, NOW_MS, DAYS) == []


def test_instants_and_decisions_that_only_forgotten_slots_had_go_with_them(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    journal = taken_in(home, LIMIT - 9, old=[LIMIT - 2])
    for to_ms in (closing_ms(LIMIT) - 1, closing_ms(LIMIT), NOW_MS):
        journal.append({"kind": "issued", "to": to_ms, "extra": True})
    for stamp in (LIMIT - 1, LIMIT):
        journal.append({"kind": "supersede", "shard": 0, "local": 0, "stamp": stamp, "value": 1, "from_ms": 1})

    forget_registers(home, journal, NOW_MS, DAYS)

    assert journal.state.extras == [closing_ms(LIMIT), NOW_MS]
    assert [each.stamp for each in journal.state.supersessions] == [LIMIT]


def test_registers_stay_while_an_issue_is_announced_and_while_all_are_young(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    journal = taken_in(home, LIMIT, young=[LIMIT])
    assert forget_registers(home, journal, NOW_MS, DAYS) == []
    assert journal.state.index.kept_from < 0

    journal.append({"kind": "intent", "to": NOW_MS, "batches": 1, "master": 1, "extra": False})
    assert forget_registers(home, journal, NOW_MS + MS_PER_DAY, DAYS) == []


def test_reads_of_forgotten_stamps_that_come_all_the_same_are_not_kept(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    journal = taken_in(home, LIMIT - 9, old=[LIMIT - 2])
    forget_registers(home, journal, NOW_MS, DAYS)
    journal.close()

    again = taken_in(home, LIMIT - 9, straggler=[LIMIT - 2])

    assert again.state.index.names == {}
    old = home.path("registers") / "straggler.col"
    os.utime(old, (0, 0))
    assert forget(home, again, Settings(home=tmp_path, keep_registers_days=DAYS), NOW_MS).leftovers == [old]


@pytest.mark.parametrize("folder", ["registers", "held"])
def test_what_a_crash_left_goes_after_a_while(tmp_path: Path, folder: str) -> None:
    home = open_home(tmp_path)
    journal = taken_in(home, NOW, known=[NOW])
    young, old = home.path(folder) / "young.col", home.path(folder) / "old.col"
    for path in (young, old):
        path.touch()
    made = old.stat().st_mtime - LEFTOVER_S - 60
    os.utime(old, (made, made))

    assert forget(home, journal, Settings(home=tmp_path), NOW_MS).leftovers == [old]
    assert young.exists()
    assert "known" in registers(home)


def test_a_crash_in_the_middle_forgets_no_more_than_it_says(tmp_path: Path) -> None:
    done, moment = False, -1
    while not done:
        moment += 1
        home = open_home(tmp_path / str(moment))
        journal = taken_in(home, LIMIT - 9, old=[LIMIT - 2], other=[LIMIT - 3], recent=[NOW])
        try:
            with crash_before(moment, home.root):
                forget_registers(home, journal, NOW_MS, DAYS)
            done = True
        except Crashed:
            assert moment < 10
        journal.close()
        state = read_state(home.path("journal"))
        assert {f"{name}.col" for name in registers(home)} >= state.index.uses.keys()
        assert "recent" in registers(home)
    assert moment >= 2


def test_retention_waits_for_nobody(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    taken_in(home, LIMIT - 9, old=[LIMIT - 2]).close()
    settings = Settings(home=tmp_path, keep_registers_days=DAYS)
    with home.sole_writer("somebody else"):
        assert forget_between_runs(home, settings, NOW_MS) is None

    done = forget_between_runs(home, settings, NOW_MS)

    assert done is not None
    assert [path.stem for path in done.registers] == ["old"]


def test_estimates_go_with_the_registers_of_their_day_and_agreed_values_stay(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    for day in ("20260628", "20260629", "20261006"):
        (home.path("estimates") / day).mkdir()
    agreed = home.path("estimates") / "agreed.jsonl"
    agreed.touch()

    assert [path.name for path in forget_estimates(home, NOW_MS, DAYS)] == ["20260628"]
    assert sorted(path.name for path in home.path("estimates").iterdir()) == ["20260629", "20261006", agreed.name]


def test_a_home_that_forgets_forgets_estimates_with_registers(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    (home.path("estimates") / "20200101").mkdir()
    journal = taken_in(home, NOW - 100)
    gone = forget(home, journal, Settings(home=home.root), NOW_MS)
    journal.close()
    assert [path.name for path in gone.estimates] == ["20200101"]
