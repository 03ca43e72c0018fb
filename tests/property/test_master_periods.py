# SPDX-License-Identifier: Apache-2.0
"""Whatever the master learns of reading days, and when: the periods of a point neither overlap nor leave a gap."""

from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from koma.periods import MeteringPeriod, closes_on, hold_together
from koma.slots import first_slot_of_day, slot_start_ms
from pipeline.home import open_home
from pipeline.master import import_master, open_master
from pipeline.month_plan import members
from tests.homes import point, write_master

BEGIN = date(2026, 9, 28)
FIRST_SLOT = first_slot_of_day(BEGIN) + 17
DAYS, POINTS = 150, 3
DAY = timedelta(days=1)
FEW = settings(max_examples=settings().max_examples // 4)
learned = st.lists(
    st.tuples(st.integers(1, DAYS), st.integers(0, POINTS - 1), st.sampled_from([0, 1, 5, 10, 17, 28, 30, 31])),
    max_size=6,
).map(sorted)


@FEW
@given(st.lists(st.sampled_from([0, 3, 10, 31]), min_size=POINTS, max_size=POINTS), learned)
def test_periods_of_a_point_never_overlap_and_never_leave_a_gap(
    at_first: list[int], later: list[tuple[int, int, int]]
) -> None:
    imports = [(0, list(enumerate(at_first))), *((day, [(number, value)]) for day, number, value in later)]
    with TemporaryDirectory() as folder:
        home = open_home(Path(folder) / "home")
        for number, (day, facts) in enumerate(imports):
            rows = [{"point_id": point(each), "meter_read_day": value or ""} for each, value in facts]
            source = write_master(Path(folder) / str(number), points=rows)
            now_ms = slot_start_ms(first_slot_of_day(BEGIN + day * DAY)) + number
            import_master(home.root, source, now_ms=now_ms, first=number == 0, strict=True)
        view = open_master(home.root)
        periods: dict[int, list[MeteringPeriod]] = defaultdict(list)
        for day in range(1, DAYS):
            reading = first_slot_of_day(BEGIN + day * DAY)
            found = members(view, np.arange(POINTS, dtype=np.uint32), reading, FIRST_SLOT, slot_start_ms(1 << 30))
            for position, start in zip(found.position.tolist(), found.start.tolist(), strict=True):
                periods[position].append(MeteringPeriod(start, reading))
        for mine in periods.values():
            assert mine[0].start == FIRST_SLOT
            hold_together(mine)
        for number, value in enumerate(at_first):
            if value and not any(number == each for _, each, _ in later):
                closed = [BEGIN + day * DAY for day in range(1, DAYS) if closes_on(value, BEGIN + day * DAY)]
                assert [each.days[1] for each in periods[number]] == closed
