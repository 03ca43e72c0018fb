# SPDX-License-Identifier: Apache-2.0
"""`koma home check` finds what is lost, names what is left over, and is silent about a sound home."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from koma.errors import HomeError
from pipeline.checking import check_home
from pipeline.commands.home import app
from pipeline.home import Home, open_home
from pipeline.journal import Journal, read_state
from pipeline.repair import entries
from pipeline.status_file import read_status
from tests.homes import at, hand_over, new_home, point, reads_of, run

START = at("2026-10-06T22:30")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = new_home(
        tmp_path_factory.mktemp("sound") / "home",
        points=[{"point_id": point(0)}],
        meters=[{"point_id": point(0), "meter_id": "M0", "digits": 6, "unit_exponent": -1}],
        supply=[{"point_id": point(0), "retailer_code": "11113", "valid_from": "2020-01-01T00:00"}],
    )
    hand_over(home, "0.arrow", reads_of("M0", START, range(100, 108)))
    hand_over(home, "unknown.csv", reads_of("M9", START, [1, 2]))
    run(home)
    journal = Journal(home.path("journal"))
    journal.checkpoint()
    journal.checkpoint()
    journal.close()
    return home


@pytest.fixture
def home(sound: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(sound.root, tmp_path / "home"))


def first(folder: Path, pattern: str) -> Path:
    return min(folder.glob(pattern))


def test_a_sound_home_has_nothing_to_say(home: Home) -> None:
    assert check_home(home, deep=True) == []


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


LOST: list[tuple[str, str, Callable[[Path], object], str]] = [
    ("registers", "*.col", Path.unlink, "it is gone"),
    ("registers", "*.col", lambda path: path.write_bytes(path.read_bytes()[:-100]), "it cannot be read"),
    ("registers", "*.col", lambda path: path.write_bytes(b""), "it cannot be read"),
    ("held", "*.col", Path.unlink, "it is gone"),
    ("deliveries", "*/*/*.zip", Path.unlink, "it cannot be read"),
    ("deliveries", "*/*/*.zip", cut, "its manifest says"),
    ("deliveries", "*/*/*.zip", spoil, "its content is not what its manifest says"),
    ("deliveries", "*/*/manifest.jsonl", lambda path: path.write_bytes(b'{"file"\n'), "line 1 is damaged"),
    ("master", "v*/install_of.npy", lambda path: path.write_bytes(b""), "the current version cannot be opened"),
]


@pytest.mark.parametrize(("folder", "pattern", "harm", "said"), LOST)
def test_what_is_lost_is_named_with_what_to_do(
    home: Home, folder: str, pattern: str, harm: Callable[[Path], object], said: str
) -> None:
    harm(first(home.path(folder), pattern))

    found = [each for each in check_home(home, deep=True) if each.severity == "harm"]

    assert len(found) == 1
    assert said in found[0].what
    assert "restore it from a copy" in found[0].do


def test_a_journal_that_cannot_be_read_is_named(home: Home) -> None:
    for path in home.path("journal").glob("checkpoint*"):
        path.unlink()
    shutil.rmtree(home.path("journal") / "history")

    (found,) = check_home(home)

    assert (found.severity, found.path) == ("harm", str(home.path("journal")))


def test_what_is_left_over_is_a_note(home: Home) -> None:
    leftovers = [
        home.path("registers") / "99999999-000000.col",
        home.path("held") / "99999999-000000.col",
        first(home.deliveries, "*/*") / "nobody.zip",
    ]
    for path in leftovers:
        path.touch()
    spoil(home.path("journal") / "checkpoint.json")

    found = check_home(home)

    assert {each.severity for each in found} == {"note"}
    assert {each.path for each in found} == {*map(str, leftovers), str(home.path("journal"))}


def test_history_that_is_gone_is_a_note(home: Home) -> None:
    shutil.rmtree(home.path("journal") / "history")

    (found,) = check_home(home)

    assert (found.severity, "does not hold the journal's records from offset 0" in found.what) == ("note", True)


def test_the_command_ends_with_status_1_where_something_is_lost(home: Home) -> None:
    runner = CliRunner()
    good = runner.invoke(app, ["check", "--json", "--home", str(home.root)])
    name = next(iter(read_state(home.path("journal")).index.uses))
    (home.path("registers") / name).unlink()

    bad = runner.invoke(app, ["check", "--json", "--home", str(home.root)])

    assert (good.exit_code, json.loads(good.stdout)["harm"]) == (0, 0)
    assert bad.exit_code == 1
    lines = [json.loads(line) for line in bad.stdout.splitlines()]
    assert lines[0]["path"].endswith(name)
    assert lines[1]["harm"] == 1


def lost_manifest(home: Home) -> Path:
    return first(home.deliveries, "*/*/manifest.jsonl")


def lost_parquet(home: Home) -> Path:
    return first(home.deliveries, "*/*/W41110*.parquet")


@pytest.mark.parametrize("lost", [lost_manifest, lost_parquet])
def test_what_a_folder_of_deliveries_has_lost_is_harm(home: Home, lost: Callable[[Home], Path]) -> None:
    path = lost(home)
    path.unlink()

    assert [(each.severity, each.path) for each in check_home(home)] == [("harm", str(path))]


def test_a_parquet_file_that_is_cut_short_is_harm(home: Home) -> None:
    cut(lost_parquet(home))

    assert [(each.severity, each.what) for each in check_home(home)] == [("harm", "it is no whole Parquet file")]


def test_a_folder_that_is_gone_is_missed_by_the_ledger(home: Home) -> None:
    days = sorted(home.deliveries.glob("*/*"))
    shutil.rmtree(days[-1])

    found = check_home(home)

    assert {each.severity for each in found} == {"harm"}
    assert all("were issued, manifests name 0" in each.what for each in found)


def test_a_home_whose_marker_is_gone_is_not_made_anew(home: Home) -> None:
    (home.root / "home.json").unlink()

    with pytest.raises(HomeError, match=r"has a journal and no home\.json"):
        open_home(home.root)
    assert not (home.root / "home.json").exists()


def test_a_quarantine_file_that_cannot_be_read_is_harm_and_named_by_the_list(home: Home) -> None:
    hand_over(home, "conflict.csv", reads_of("M0", START, [7], delay_ms=300_000))
    run(home)
    cut(first(home.path("quarantine"), "*.parquet"))

    assert [each.severity for each in check_home(home)] == ["harm"]
    with pytest.raises(HomeError, match=r"quarantine/0.*parquet cannot be read"):
        list(entries(home))


def test_a_damaged_status_is_named(home: Home) -> None:
    (home.path("run") / "status.json").write_text('{"phase"')

    with pytest.raises(HomeError, match=r"status\.json cannot be read"):
        read_status(home)
