# SPDX-License-Identifier: Apache-2.0
"""`koma home check` knows the files of estimates: sound ones are passed, damaged and strange ones named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from koma.errors import EstimateError
from pipeline.checking import Finding, check_home
from pipeline.home import Home
from tests.estimate_homes import FIRST, estimate_home, estimated


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = estimate_home(tmp_path_factory.mktemp("made") / "home", [FIRST + 10], range(FIRST + 10, FIRST + 30))
    estimated(home)
    return home


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    return Home(shutil.copytree(made.root, tmp_path / "home"))


def file_of(home: Home) -> Path:
    (path,) = home.path("estimates").glob("*/*.parquet")
    return path


def findings(home: Home, *, deep: bool = False) -> list[Finding]:
    """What is found of estimates; the deliveries of these homes have no zips, which is found too."""
    ours = str(home.path("estimates"))
    return [each for each in check_home(home, deep=deep) if each.path.startswith(ours)]


def test_sound_estimates_are_passed(home: Home) -> None:
    assert findings(home, deep=True) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def strip(path: Path) -> None:
    pq.write_table(pa.table({"other": [1]}), path)


@pytest.mark.parametrize("damage", [cut, strip])
def test_a_file_that_cannot_be_read_is_harm_and_stops_the_next_version(
    home: Home, damage: Callable[[Path], None]
) -> None:
    damage(file_of(home))
    assert [(each.severity, each.path) for each in findings(home)] == [("harm", str(file_of(home)))]
    with pytest.raises(EstimateError, match="cannot be read"):
        estimated(home)


def test_rows_that_are_not_those_that_were_written_are_found_by_a_deep_look(home: Home) -> None:
    table = pq.read_table(file_of(home))
    energy = pa.array([7, *table["energy_dwh"].to_pylist()[1:]])
    pq.write_table(table.set_column(table.schema.get_field_index("energy_dwh"), "energy_dwh", energy), file_of(home))
    assert findings(home) == []
    assert [each.severity for each in findings(home, deep=True)] == ["harm"]


def test_what_is_no_file_of_estimates_is_a_note(home: Home) -> None:
    strange = [home.path("estimates") / "note.txt", file_of(home).with_name("estimates-20261008-00.parquet")]
    for each in strange:
        each.touch()
    assert sorted(each.path for each in findings(home)) == sorted(map(str, strange))
    assert {each.severity for each in findings(home)} == {"note"}


def test_damaged_agreed_values_are_harm(home: Home) -> None:
    (home.path("estimates") / "agreed.jsonl").write_text("{}\n")
    assert [(each.severity, "line 1" in each.what) for each in findings(home)] == [("harm", True)]
