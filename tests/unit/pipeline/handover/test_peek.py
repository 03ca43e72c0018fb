# SPDX-License-Identifier: Apache-2.0
"""A look at a hand-over file: cheap, bounded, near enough."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from koma.errors import HandoverError
from pipeline.handover import EXTENSIONS
from pipeline.handover.peek import STAMPS_KEPT, peek
from tests.homes import SLOT_MS, Read, at, drop, hand_over, new_home, reads_of

START = at("2026-10-05T22:30")


def history(meters: int, stamps: int) -> list[Read]:
    return [read for n in range(meters) for read in reads_of(f"M{n}", START, range(1, stamps + 1))]


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_history_is_seen_from_end_to_end(extension: str, tmp_path: Path) -> None:
    seen = peek(hand_over(new_home(tmp_path / "home"), f"a{extension}", history(100, 96)))
    assert (seen.stamps[0], seen.stamps[-1]) == (START, START + 95 * SLOT_MS)
    assert len(seen.stamps) == STAMPS_KEPT
    assert list(seen.stamps) == sorted(seen.stamps)
    packed = extension in {".csv.gz", ".csv.zst"}
    assert seen.rows == pytest.approx(9600, rel=0.9 if packed else 0.05)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_few_late_rows_do_not_hide_what_a_file_is_about(extension: str, tmp_path: Path) -> None:
    now = START + 96 * SLOT_MS
    reads = [*reads_of("M0", START, [1, 2]), *(Read(f"M{n}", now, now + 1000, n) for n in range(98))]
    seen = peek(hand_over(new_home(tmp_path / "home"), f"a{extension}", reads))
    assert sum(stamp == now for stamp in seen.stamps) >= STAMPS_KEPT - 2


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_file_without_rows_has_no_stamps(extension: str, tmp_path: Path) -> None:
    assert peek(hand_over(new_home(tmp_path / "home"), f"a{extension}", [])).stamps == ()


def test_naive_and_encoded_stamps_are_understood(tmp_path: Path) -> None:
    naive = pa.array([START + 9 * 3_600_000, None], pa.timestamp("ms"))
    zoned = pa.array([START * 1000, None], pa.timestamp("us", "UTC")).dictionary_encode()
    for name, read_at in (("naive", naive), ("encoded", zoned)):
        table = pa.table(
            {
                "meter_id": ["M1", "M2"],
                "read_at": read_at,
                "import_register": [1, 2],
                "received_at": pa.array([START, START], pa.timestamp("ms")),
            }
        )
        path = tmp_path / f"{name}.parquet"
        pq.write_table(table, path)
        assert peek(path).stamps == (START,)


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet", "a.csv", "a.csv.gz", "a.csv.zst", "a.txt"])
def test_what_is_no_hand_over_file_is_unreadable(name: str, tmp_path: Path) -> None:
    with pytest.raises(HandoverError):
        peek(drop(new_home(tmp_path / "home"), name, b"\x00nothing of the kind" * 20_000))


def test_what_cannot_be_opened_is_another_case(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        peek(tmp_path / "gone.arrow")
