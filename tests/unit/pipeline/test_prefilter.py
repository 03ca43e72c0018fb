# SPDX-License-Identifier: Apache-2.0
"""What the pre-filter sorts out: stamps off the grid, arrivals that cannot be, meters nobody knows."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.home import Home
from pipeline.master import open_master
from pipeline.prefilter import RULES, Bounds, judge, route
from pipeline.prefilter.arrivals import arrivals_of
from pipeline.prefilter.cut import cut
from pipeline.register_files import RegisterFile
from tests.homes import HOUR_MS, MINUTE_MS, NO_DATA, SLOT_MS, Read, at, batch_of, new_home, point

STAMP = at("2026-10-06T12:00")
DAY_MS = 24 * HOUR_MS
BOUNDS = Bounds(180_000, 45 * DAY_MS)


def verdicts(*reads: tuple[int, int]) -> list[str]:
    """Code of the rule that refuses each (read_at, received), "" for none."""
    judged = judge(batch_of([Read("M", read_at, received, 1) for read_at, received in reads]), BOUNDS)
    return ["" if verdict == 0 else RULES[verdict - 1].code for verdict in judged.verdict.tolist()]


@pytest.mark.parametrize(
    ("read_at", "received", "code"),
    [
        (STAMP, STAMP, ""),
        (STAMP + 180_000, STAMP + 180_000, ""),
        (STAMP - 180_000, STAMP, ""),
        (STAMP + 180_001, STAMP + 200_000, "off_grid"),
        (STAMP - 180_001, STAMP, "off_grid"),
        (STAMP + 15 * MINUTE_MS, STAMP + HOUR_MS, "off_grid"),
        (STAMP, STAMP - 180_000, ""),
        (STAMP, STAMP - 180_001, "future"),
        (STAMP, STAMP + 45 * DAY_MS, ""),
        (STAMP, STAMP + 45 * DAY_MS + 1, "too_old"),
        (STAMP + 180_001, STAMP - DAY_MS, "off_grid"),  # the first rule that refuses names the reason
    ],
)
def test_a_stamp_is_judged_to_the_millisecond(read_at: int, received: int, code: str) -> None:
    assert verdicts((read_at, received)) == [code]


def test_a_stamp_beside_the_boundary_counts_as_the_boundary_and_is_flagged() -> None:
    near = [STAMP, STAMP + 1, STAMP - 180_000, STAMP + 179_999]

    judged = judge(batch_of([Read("M", each, STAMP + DAY_MS, 1) for each in near]), BOUNDS)

    assert judged.stamp.tolist() == [STAMP // SLOT_MS] * 4
    assert judged.flagged["moved"] == 3


def test_bounds_are_settings() -> None:
    strict = judge(batch_of([Read("M", STAMP + 1, STAMP + 1, 1)]), Bounds(0, DAY_MS))

    assert RULES[strict.verdict[0] - 1].code == "off_grid"


def known(root: Path) -> Home:
    """A home with a plain meter, one that was re-installed, one with two registers, one not installed yet."""
    rows = [
        (0, "PLAIN", "import", "", ""),
        (1, "AGAIN", "import", "2020-01-01T00:00", "2026-10-06T12:00"),
        (2, "AGAIN", "import", "2026-10-06T12:00", ""),
        (3, "SOLAR", "import", "", ""),
        (4, "SOLAR", "export", "", ""),
        (5, "LATER", "import", "2026-10-06T12:00", ""),
    ]
    meters = [
        {
            "point_id": point(n),
            "meter_id": meter,
            "register": register,
            "installed_at": start,
            "removed_at": end,
            "digits": 6,
            "unit_exponent": -1,
        }
        for n, meter, register, start, end in rows
    ]
    return new_home(root, points=[{"point_id": point(n)} for n in range(6)], meters=meters)


def routed(home: Home, reads: Sequence[Read]) -> tuple[list[tuple[int, bool, int, int]], int, int]:
    """(point, counted, stamp, value) of every read that found its installation, reads in all, reads held."""
    view = open_master(home.root)
    batch = batch_of(reads)
    found = route(batch, judge(batch, BOUNDS), view)
    points = {int(view.install_local[row]): p for p in range(view.n_points) for row in
              range(int(view.install_of[p]), int(view.install_of[p + 1]))}  # fmt: skip
    columns = cut(found.found, found.shared, view.n_shards, 0)
    file = RegisterFile(columns) if columns else None
    parts = [
        (points[int(local)], part.counted, stamp, int(value))
        for shard in range(view.n_shards)
        for stamp in (file.stamps(shard) if file else ())
        for part in (file.reads(*file.sections(stamp, shard)) if file else ())
        for local, value in zip(part.local, part.value, strict=True)
    ]
    return sorted(parts), found.reads, found.held


def test_reads_find_the_installation_of_their_time(tmp_path: Path) -> None:
    home, stamp = known(tmp_path / "home"), STAMP // SLOT_MS
    reads = [
        Read("PLAIN", STAMP, STAMP, 1),
        Read("AGAIN", STAMP - SLOT_MS, STAMP, 2),
        Read("AGAIN", STAMP + SLOT_MS, STAMP + SLOT_MS, 3),
        Read("SOLAR", STAMP, STAMP, 4, 5),
        Read("LATER", STAMP, STAMP, 6),  # the first stamp of its time
    ]

    found, count, held = routed(home, reads)

    assert found == [(0, True, stamp, 1), (1, True, stamp - 1, 2), (2, True, stamp + 1, 3), (3, True, stamp, 4),
                     (4, True, stamp, 5), (5, True, stamp, 6)]  # fmt: skip
    assert (count, held) == (6, 0)


def test_a_read_on_the_boundary_of_two_installations_feeds_both_and_counts_once(tmp_path: Path) -> None:
    home, stamp = known(tmp_path / "home"), STAMP // SLOT_MS

    found, count, held = routed(home, [Read("AGAIN", STAMP, STAMP, 9)])

    assert sorted(found) == [(1, True, stamp, 9), (2, False, stamp, 9)]
    assert (count, held) == (1, 0)


def test_what_no_installation_takes_is_held(tmp_path: Path) -> None:
    home = known(tmp_path / "home")
    reads = [
        Read("NOBODY", STAMP, STAMP, 1),
        Read("PLAIN", STAMP, STAMP, None, 2),  # a register that feeds no point
        Read("LATER", STAMP - SLOT_MS, STAMP, 3),  # before it was installed
        Read("NOBODYS-METER-16", STAMP, STAMP, 4, 5),
    ]

    assert routed(home, reads) == ([], 5, 5)


def test_null_and_no_data_are_no_reads(tmp_path: Path) -> None:
    home = known(tmp_path / "home")

    assert routed(home, [Read("PLAIN", STAMP, STAMP), Read("PLAIN", STAMP, STAMP, NO_DATA)]) == ([], 0, 0)


def test_refused_rows_are_not_looked_up(tmp_path: Path) -> None:
    home = known(tmp_path / "home")

    assert routed(home, [Read("PLAIN", STAMP + 200_000, STAMP + DAY_MS, 1)]) == ([], 0, 0)


def test_arrivals_are_told_by_day_with_the_row_of_the_first(tmp_path: Path) -> None:
    home = known(tmp_path / "home")
    batch = batch_of(
        [
            Read("PLAIN", STAMP, STAMP + 3 * DAY_MS, 1),
            Read("PLAIN", STAMP, STAMP + 2, 1),
            Read("NOBODY", STAMP, STAMP + 1, 1),
            Read("PLAIN", STAMP, STAMP + 9, 1),
        ],
        "file.arrow",
    )

    found = arrivals_of(batch, route(batch, judge(batch, BOUNDS), open_master(home.root)))

    assert [(each.source, each.first_ms - STAMP, each.last_ms - STAMP, each.place) for each in found] == [
        ("file.arrow", 2, 9, 1),
        ("file.arrow", 3 * DAY_MS, 3 * DAY_MS, 0),
    ]
