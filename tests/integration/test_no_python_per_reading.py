# SPDX-License-Identifier: Apache-2.0
"""No Python-level loop over readings: lines of ours that Python executes, divided by readings, stay next to nothing."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import koma
import pipeline
from pipeline.estimates.day_run import estimate_day
from pipeline.handover import ReadBatch
from pipeline.home import Home, open_home
from pipeline.ledger.reading import read_model
from pipeline.master import import_master
from pipeline.totals.asking import question, sums_of
from tests.homes import MINUTE_MS, NO_READ, SLOT_MS, at, hand_over, run, settings_of
from tests.real_homes import part_of

OURS = tuple(str(Path(str(package.__file__)).parent) for package in (koma, pipeline))
START = at("2026-10-06T22:30")
BOUND = 0.01
SMALL, LARGE = 500_000, 1_500_000
FORMATS = (".arrow", ".parquet", ".csv", ".echonet")


class Lines:
    """Counts executed lines of our modules, in this thread and in all threads that begin meanwhile."""

    def __init__(self, files: tuple[str, ...] = OURS) -> None:
        self.files = files
        self.count = 0

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        del event
        return self.line if frame.f_code.co_filename.startswith(self.files) else None

    def line(self, _: FrameType, event: str, __: Any) -> Any:
        if event == "line":
            self.count += 1  # threads may lose a few to each other; a loop over readings makes hundred thousands
        return self.line


@contextmanager
def counted(files: tuple[str, ...] = OURS) -> Iterator[Lines]:
    lines, before = Lines(files), sys.gettrace()
    threading.settrace(lines.trace)
    sys.settrace(lines.trace)
    try:
        yield lines
    finally:
        sys.settrace(before)
        threading.settrace(before)


def city(root: Path, meters: int) -> tuple[Home, ReadBatch]:
    """A home of many meters of three retailers, and two stamps of each, one in twenty twice."""
    home = open_home(root)
    folder = root / "import"
    folder.mkdir()
    points = [f"03{n:020d}" for n in range(meters)]
    (folder / "points.csv").write_text("point_id\n" + "".join(f"{each}\n" for each in points))
    rows = "".join(f"{each},M{n:09d},6,-1\n" for n, each in enumerate(points))
    (folder / "meters.csv").write_text(f"point_id,meter_id,digits,unit_exponent\n{rows}")
    rows = "".join(f"{each},1000{1 + n % 3},2020-01-01\n" for n, each in enumerate(points))
    (folder / "supply.csv").write_text(f"point_id,retailer_code,valid_from\n{rows}")
    import_master(home.root, folder, now_ms=None, first=True, strict=True)
    chance = np.random.default_rng(meters)
    both = np.concatenate([np.arange(2 * meters), chance.integers(0, 2 * meters, meters // 10)])
    order = chance.permutation(both)
    meter, stamp = order // 2, order % 2
    ids = np.char.add("M", np.char.zfill(np.arange(meters).astype("U9"), 9)).astype("S16")
    read_at = START + stamp * SLOT_MS
    batch = ReadBatch(
        "city",
        ids[meter].view(np.uint64).reshape(len(order), 2),
        read_at,
        read_at + 1000 + order % (19 * MINUTE_MS),
        (meter % 900_000 + stamp * 5).astype(np.uint32),
        np.full(len(order), NO_READ, np.uint32),
        np.arange(len(order)),
    )
    return home, batch


def lines_a_reading(root: Path, readings: int) -> float:
    """Run the whole line over about so many readings, one file of each format; lines of ours by reading."""
    home, batch = city(root, readings * 10 // 21)
    for number, form in enumerate(FORMATS):
        hand_over(home, f"{number}{form}", part_of(batch, slice(number, None, len(FORMATS))))
    with counted() as lines:
        facts = run(home, wall_ms=START + SLOT_MS + 50 * MINUTE_MS).summary()
    assert facts["received"] == facts["accepted"] + facts["duplicate"] == len(batch)
    assert facts["rows"] == facts["accepted"] // 2
    return lines.count / len(batch)


def test_lines_by_reading_are_next_to_nothing_and_do_not_grow(tmp_path: Path) -> None:
    lines_a_reading(tmp_path / "warm", 1_000)  # what is loaded and planned once is no cost of a reading
    small = lines_a_reading(tmp_path / "small", SMALL)
    large = lines_a_reading(tmp_path / "large", LARGE)

    assert small < BOUND
    assert large < BOUND
    assert large <= small


def lines_of_estimates(root: Path, meters: int) -> int:
    """Estimate a day of which nothing came; lines of ours for `meters` points of 48 missing cells."""
    home, batch = city(root, meters)
    hand_over(home, "all.arrow", batch)
    run(home, wall_ms=START + 60 * SLOT_MS, xml=False)
    with counted() as lines:
        done = estimate_day(home, settings_of(home), date(2026, 10, 7))
    assert done.methods["missing"] == meters * 48
    return lines.count


def test_estimates_take_no_more_lines_for_more_gaps(tmp_path: Path) -> None:
    lines_of_estimates(tmp_path / "warm", 10)
    small = lines_of_estimates(tmp_path / "small", 1_000)
    large = lines_of_estimates(tmp_path / "large", 3_000)

    assert (large - small) / (2_000 * 48) < BOUND / 10


def lines_of_totals(root: Path, meters: int) -> int:
    """Add up two slots of so many points; lines of ours."""
    home, batch = city(root, meters)
    hand_over(home, "all.arrow", batch)
    run(home, wall_ms=START + 5 * SLOT_MS, xml=False)
    first = START // SLOT_MS
    with counted() as lines:
        sums = list(sums_of(question(home, 2), first, first + 2))
    assert [each.points[:2] for each in sums] == [(meters, meters), (meters, 0)]
    return lines.count


def test_totals_take_no_more_lines_for_more_points(tmp_path: Path) -> None:
    lines_of_totals(tmp_path / "warm", 10)
    small = lines_of_totals(tmp_path / "small", 1_000)
    large = lines_of_totals(tmp_path / "large", 3_000)

    assert (large - small) / (2_000 * 2) < BOUND / 10


def lines_of_survey(root: Path, meters: int) -> int:
    """Survey a slot of which half came, and put the read model together; lines of ours."""
    home, batch = city(root, meters)
    half = slice(0, len(batch) // 2)
    part = ReadBatch(
        "half",
        batch.keys[half],
        batch.read_at_ms[half],
        batch.received_ms[half],
        batch.import_register[half],
        batch.export_register[half],
        batch.place[half],
    )
    hand_over(home, "half.arrow", part)
    run(home, wall_ms=START + SLOT_MS + 45 * MINUTE_MS, xml=False)
    with counted() as lines:
        model = read_model(home, START + SLOT_MS + 46 * MINUTE_MS)
    assert model.stagnation.points > meters // 3
    return lines.count


def test_surveys_take_no_more_lines_for_more_points(tmp_path: Path) -> None:
    lines_of_survey(tmp_path / "warm", 10)
    small = lines_of_survey(tmp_path / "small", 20_000)
    large = lines_of_survey(tmp_path / "large", 60_000)

    assert (large - small) / 40_000 < BOUND


def a_row_at_a_time(registers: np.ndarray[Any, Any]) -> int:
    total = 0
    for each in registers:
        total += int(each)
    return total


def in_a_comprehension(registers: np.ndarray[Any, Any]) -> int:
    return sum([int(each) for each in registers])


@pytest.mark.parametrize("planted", [a_row_at_a_time, in_a_comprehension])
def test_a_planted_loop_over_rows_is_found(planted: Callable[[np.ndarray[Any, Any]], int]) -> None:
    registers = np.arange(10_000)
    with counted((*OURS, __file__)) as lines:
        thread = threading.Thread(target=planted, args=(registers,))
        thread.start()
        thread.join()

    assert lines.count / len(registers) > 100 * BOUND / 2


def test_what_is_done_in_whole_columns_is_let_pass() -> None:
    registers = np.arange(10_000)
    with counted((*OURS, __file__)) as lines:
        total = int(np.sum(registers))

    assert total > 0
    assert lines.count / len(registers) < BOUND
