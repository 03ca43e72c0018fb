# SPDX-License-Identifier: Apache-2.0
"""What was issued is taken in: all of it, once, and nothing that is still being issued."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from koma.errors import HistoryError
from pipeline.history import catalogue as catalogues
from pipeline.history import store as writing
from pipeline.history import taking
from pipeline.history.catalogue import newest
from pipeline.history.files import Files, store_files
from pipeline.history.proof import verify
from pipeline.history.reading import IntervalStore, Wanted, open_store
from pipeline.history.rebuild import DIFFERENCES, rebuild
from pipeline.history.rows import merged
from pipeline.history.showing import SCHEMA, told_table
from pipeline.home import Home
from tests.homes import HOUR_MS, at, digests, hand_over, learn, new_home, point, reads_of, run, settings_of

START = at("2026-10-06T22:30")
EVERYTHING = Wanted(first_slot=0, end_slot=1 << 30, every_state=True)
ORDER = [("point_id", "ascending"), ("slot_start", "ascending"), ("retailer_code", "ascending"),
         ("recorded_at", "ascending")]  # fmt: skip


def made(root: Path) -> Home:
    """Make a home of three points with two retailers, over midnight; the third point's registers come late."""
    home = new_home(
        root,
        points=[{"point_id": point(n)} for n in range(3)],
        meters=[{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in range(3)],
        supply=[
            {"point_id": point(n), "retailer_code": code, "valid_from": "2020-01-01T00:00"}
            for n, code in enumerate(("11113", "11113", "22223"))
        ],
    )
    for n in range(2):
        hand_over(home, f"{n}.arrow", reads_of(f"M{n}", START, [1, 3, 7, 8, 12, 12]))
    run(home, wall_ms=START + 3 * HOUR_MS)
    return home


def late(home: Home) -> None:
    hand_over(home, "late.arrow", reads_of("M2", START, [5, 6, 8, 9, 9, 30], delay_ms=4 * HOUR_MS))
    run(home, wall_ms=START + 9 * HOUR_MS)


def delivered(home: Home) -> Any:
    tables = []
    for path in sorted(home.deliveries.glob("*/*/W41110*.parquet")):
        table = pq.read_table(path, partitioning=None)
        code = pa.array([path.parent.parent.name] * table.num_rows)
        tables.append(table.append_column("retailer_code", code).select(SCHEMA.names))
    return pa.concat_tables(tables).sort_by(ORDER).to_pylist()


def held(home: Home) -> Any:
    store = open_store(home, settings_of(home))
    return told_table(merged(list(store.scan(EVERYTHING)))).to_pylist()


def test_the_history_is_all_that_was_delivered_revisions_too(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    first = writing.update(home, settings_of(home))
    assert held(home) == delivered(home)

    late(home)
    second = writing.update(home, settings_of(home))

    assert held(home) == delivered(home)
    assert first.rows + second.rows == len(delivered(home))
    assert {row["revision"] for row in held(home)} >= {0, 1}


def test_a_second_update_takes_nothing_and_changes_no_byte(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    writing.update(home, settings_of(home))
    before = digests(home.path("history"))

    again = writing.update(home, settings_of(home))

    assert (again.files, again.rows, again.merges) == (0, 0, 0)
    assert digests(home.path("history")) == before


def test_what_is_still_being_issued_waits(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    journal = home.path("journal") / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    last = max(n for n, line in enumerate(lines) if json.loads(line)["kind"] == "issued")
    whole = journal.read_bytes()
    journal.write_bytes(b"".join(lines[:last]))  # its files and manifests are there, but it is not yet issued

    writing.update(home, settings_of(home))
    assert newest(store_files(home, settings_of(home))).parts == ()

    journal.write_bytes(whole)
    writing.update(home, settings_of(home))
    assert held(home) == delivered(home)


def test_rounds_of_whole_instants_and_batches_of_slots_come_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = made(tmp_path / "home")
    late(home)
    monkeypatch.setattr(taking, "ROUND_ROWS", 5)
    monkeypatch.setattr(taking, "BATCH_ROWS", 2)

    writing.update(home, settings_of(home))

    catalogue = newest(store_files(home, settings_of(home)))
    assert catalogue.number > 4
    assert held(home) == delivered(home)


def test_a_cut_off_update_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = made(tmp_path / "home")
    real = catalogues.reveal

    def cut_off(files: Files, catalogue: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(catalogues, "reveal", cut_off)
    with pytest.raises(KeyboardInterrupt):
        writing.update(home, settings_of(home))
    files = store_files(home, settings_of(home))
    left = files.names("parts")
    assert left
    assert newest(files).parts == ()

    monkeypatch.setattr(catalogues, "reveal", real)
    writing.update(home, settings_of(home))
    assert held(home) == delivered(home)
    assert {each.name for each in newest(files).parts} == set(files.names("parts"))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        ("manifest", "manifest.jsonl is damaged in line 1"),
        ("gone", "is gone, and the history has not taken it yet"),
        ("cut", "cannot be read"),
        ("other", "does not hold the"),
    ],
)
def test_damaged_deliveries_are_named_and_nothing_is_taken(tmp_path: Path, harm: str, words: str) -> None:
    home = made(tmp_path / "home")
    files = sorted(home.deliveries.glob("11113/*/W41110*.parquet"))
    match harm:
        case "manifest":
            path = files[0].parent / "manifest.jsonl"
            path.write_bytes(b"{" + path.read_bytes())
        case "gone":
            files[0].unlink()
        case "cut":
            files[0].write_bytes(files[0].read_bytes()[:-20])
        case "other":
            table = pq.read_table(files[0], partitioning=None)
            pq.write_table(table.slice(0, 0), files[0])

    with pytest.raises(HistoryError, match=words):
        writing.update(home, settings_of(home))

    with pytest.raises(HistoryError, match="holds no history yet"):
        open_store(home, settings_of(home))


def test_a_history_may_lie_on_another_file_system(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    settings = settings_of(home, history=f"memory://koma-{tmp_path.name}")

    writing.update(home, settings)

    rows = merged(list(open_store(home, settings).scan(EVERYTHING)))
    assert told_table(rows).to_pylist() == delivered(home)
    assert not verify(home, settings).findings
    assert not any(home.path("history").iterdir())


def test_an_address_that_nothing_opens_is_refused() -> None:
    with pytest.raises(HistoryError, match="set KOMA_HISTORY"):
        Files("nothing-of-the-kind://bucket/history")


def test_a_sound_history_is_proven(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    late(home)
    writing.update(home, settings_of(home))

    proof = verify(home, settings_of(home))

    assert proof.findings == []
    assert proof.rows == len(delivered(home))
    assert proof.days == 2


def test_a_damaged_history_is_named_by_file(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    writing.update(home, settings_of(home))
    file = next(home.path("history").glob("parts/*/*.parquet"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    assert [each["code"] for each in verify(home, settings_of(home)).findings] == ["damaged"]

    file.unlink()
    assert [each["code"] for each in verify(home, settings_of(home)).findings] == ["gone"]
    (file.parent / "part.json").unlink()
    assert [each["code"] for each in verify(home, settings_of(home)).findings] == ["gone"]


def test_a_delivery_that_the_history_does_not_hold_is_named_by_day(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    writing.update(home, settings_of(home))
    path = min(home.deliveries.glob("11113/20261007/W41110*.parquet"))
    table = pq.read_table(path, partitioning=None)
    energy = table.schema.get_field_index("energy_dwh")
    pq.write_table(table.set_column(energy, "energy_dwh", pa.array([123_456] * table.num_rows)), path)

    findings = verify(home, settings_of(home)).findings

    assert [(each["what"], each["code"]) for each in findings] == [("20261007", "rows")]


def test_hand_over_files_give_the_same_history(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    late(home)
    writing.update(home, settings_of(home))
    before = digests(home.root)

    result = rebuild(home, settings_of(home), [], tmp_path / "anew")

    assert (result.different, result.only_old) == (0, 0)
    assert result.cells == 3 * 16  # points, slots closed by then
    after = digests(home.root)
    assert {name for name in before if before[name] != after.get(name)} == set()
    standing = merged(list(open_store(home, settings_of(home)).scan(Wanted(first_slot=0, end_slot=1 << 30))))
    anew = merged(list(IntervalStore(Files(str(tmp_path / "anew"))).scan(Wanted(first_slot=0, end_slot=1 << 30))))
    assert anew.energy.tolist() == standing.energy.tolist()


def test_what_hand_over_files_do_not_say_is_named_cell_by_cell(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    late(home)
    writing.update(home, settings_of(home))
    sources = [each for each in home.path("taken").rglob("*.arrow") if each.name != "late.arrow"]

    result = rebuild(home, settings_of(home), sources, tmp_path / "anew")

    told = pq.read_table(tmp_path / "anew" / DIFFERENCES).to_pylist()
    assert {(row["point_id"], row["energy_dwh"], row["quality"]) for row in told} == {(point(2), None, "missing")}
    assert [row["standing_energy_dwh"] for row in told] == [1000, 2000, 1000, 0, 21000]
    assert result.different == 5


def test_a_rebuild_needs_a_fresh_folder_and_hand_over_files(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    writing.update(home, settings_of(home))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "empty").mkdir()

    with pytest.raises(HistoryError, match="is not empty"):
        rebuild(home, settings_of(home), [], tmp_path / "full")
    with pytest.raises(HistoryError, match="no hand-over file"):
        rebuild(home, settings_of(home), [tmp_path / "empty"], tmp_path / "anew")
    with pytest.raises(HistoryError, match="is not there"):
        rebuild(home, settings_of(home), [tmp_path / "nowhere"], tmp_path / "anew")


def test_a_cell_that_changes_hands_stands_with_both(tmp_path: Path) -> None:
    home = made(tmp_path / "home")
    learn(
        home,
        supply=[
            {
                "point_id": point(0), "retailer_code": code, "valid_from": begin, "valid_to": end,
                "recorded_at": "2026-10-07T02:00",
            }
            for code, begin, end in (
                ("11113", "2020-01-01T00:00", "2026-10-07T00:00"), ("22223", "2026-10-07T00:00", ""),
            )
        ],
    )  # fmt: skip
    late(home)
    writing.update(home, settings_of(home))
    store = open_store(home, settings_of(home))

    moved = told_table(store.point(point(0), Wanted(first_slot=0, end_slot=1 << 30))).to_pylist()

    midnight = [row for row in moved if row["slot_start"].hour == 0 and row["slot_start"].minute == 0]
    assert [(row["retailer_code"], row["quality"], row["energy_dwh"]) for row in midnight] == [
        ("11113", "withdrawn", None),
        ("22223", "actual", 4000),
    ]
    assert held(home) == delivered(home)
