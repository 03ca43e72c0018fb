# SPDX-License-Identifier: Apache-2.0
"""What the pre-filter does with whole columns at once is what it does row by row."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from koma.slots import MS_PER_SLOT
from pipeline.handover.batch import NO_DATA, NO_READ, ReadBatch
from pipeline.prefilter.arrivals import DAY_MS, Arrivals, arrivals_of
from pipeline.prefilter.install_kernels import install_plain
from pipeline.prefilter.kernels import CHAINED, NONE, install_reads
from pipeline.prefilter.route import Found, Routed
from pipeline.prefilter.rules import judge
from pipeline.rules.row_kernels import mark_later, mark_older, snap_near, snap_to_grid
from pipeline.rules.rows import FUTURE_SLACK_MS, Bounds

TIMES = st.sampled_from([0, 1, -FUTURE_SLACK_MS, -FUTURE_SLACK_MS - 1, DAY_MS, 5 * DAY_MS, 5 * DAY_MS + 1])
SLOTS = st.integers(-(2**20), 2**20)
NO_CHAIN = (np.empty(0, np.uint8), np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.uint32))


@given(SLOTS, st.data())
def test_near_times_snap_to_the_grid_as_any_times_do(slot: int, data: st.DataObject) -> None:
    around = [st.just(0), st.integers(-181_000, 181_000), st.integers(0, 2**32 - 2 * MS_PER_SLOT)]
    offsets = data.draw(st.lists(st.tuples(st.integers(0, 2000), st.one_of(around)), min_size=1, max_size=30))
    times = np.array([(slot + slots) * MS_PER_SLOT + each for slots, each in offsets])
    times = times[times - times.min() < 2**32 - MS_PER_SLOT]
    tolerance_ms = data.draw(st.sampled_from([0, 1, 180_000, MS_PER_SLOT // 2]))
    before = np.array([data.draw(st.integers(0, 2)) for _ in times], np.uint8)
    one, other = before.copy(), before.copy()
    stamps, wanted = np.empty(len(times), np.int32), np.empty(len(times), np.int32)

    first_slot = (int(times.min()) + MS_PER_SLOT // 2) // MS_PER_SLOT
    moved = snap_near(times, first_slot, tolerance_ms, one, 7, stamps)

    assert moved == snap_to_grid(times, tolerance_ms, other, 7, wanted)
    assert stamps.tolist() == wanted.tolist()
    assert one.tolist() == other.tolist()


@given(SLOTS, st.lists(st.tuples(st.sampled_from([0, 1, -181_000, 4 * DAY_MS]), TIMES), max_size=10))
def test_the_rules_judge_a_batch_as_their_kernels_judge_each_row(slot: int, rows: list[tuple[int, int]]) -> None:
    read_at = np.array([slot * MS_PER_SLOT + off for off, _ in rows], np.int64)
    received = read_at + np.array([later for _, later in rows], np.int64)
    keys, registers = np.zeros((len(rows), 2), np.uint64), np.zeros(len(rows), np.uint32)
    batch = ReadBatch("a", keys, read_at, received, registers, registers, np.arange(len(rows)))
    verdict, stamp = np.zeros(len(rows), np.uint8), np.empty(len(rows), np.int32)

    judged = judge(batch, Bounds(180_000, 5 * DAY_MS))

    moved = snap_to_grid(batch.read_at_ms, 180_000, verdict, 1, stamp)
    mark_later(batch.read_at_ms, batch.received_ms, FUTURE_SLACK_MS, verdict, 2)
    mark_older(batch.read_at_ms, batch.received_ms, 5 * DAY_MS, verdict, 3)
    assert judged.flagged["moved"] == moved
    assert judged.verdict.tolist() == verdict.tolist()
    assert judged.stamp.tolist() == stamp.tolist()


@given(st.integers(1, 40), st.integers(0, 1), st.integers(0, 5), st.integers(0, 2**32 - 1))
def test_rows_named_together_are_those_named_one_by_one(rows: int, register: int, odd: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    found = np.empty((rows, 4), np.uint32)
    found[:, :2] = random.integers(0, 2**30, (rows, 2))
    found[:, 2:] = np.sort(random.integers(-5, 6, (rows, 2)), axis=1).astype(np.int32).view(np.uint32)
    stamp = found[:, 2].view(np.int32).copy()
    verdict, value = np.zeros(rows, np.uint8), random.integers(0, 10**8, rows).astype(np.uint32)
    for row in random.integers(0, rows, odd).tolist():
        kind = random.integers(0, 6)
        if kind == 0:
            verdict[row] = 1
        elif kind == 1:
            value[row] = random.choice([NO_DATA, NO_READ])
        elif kind == 2:
            found[row] = (CHAINED, 0, 0, 0)
        elif kind == 3:
            found[row, register] = NONE
        else:
            stamp[row] += random.integers(-2, 3)
    words = found.view(np.uint64)
    install, first = np.empty(rows, np.uint32), np.empty(rows, np.uint8)
    source, held, named = np.empty(rows, np.uint32), np.zeros(rows, np.uint8), np.empty(rows, np.uint32)

    count, further, reads, lost = install_reads(
        words, verdict, stamp, value, register, *NO_CHAIN, install, source, first, held
    )
    plain = install_plain(found, verdict, stamp, value, register, named)

    assert plain == (count == rows)
    if plain:
        assert (further, reads, lost) == (0, rows, 0)
        assert named.tolist() == install.tolist()
        assert source.tolist() == list(range(rows))


@given(st.lists(st.tuples(st.integers(0, 3 * DAY_MS), st.booleans()), min_size=1, max_size=20), st.booleans())
def test_arrivals_are_the_least_and_greatest_of_each_day(rows: list[tuple[int, bool]], one_day: bool) -> None:  # noqa: FBT001
    received = np.array([at // (4 if one_day else 1) for at, _ in rows])
    taken = np.array([row for row, (_, some) in enumerate(rows) if some], np.uint32)
    count = len(rows)
    batch = ReadBatch(
        "a",
        np.zeros((count, 2), np.uint64),
        received,
        received,
        np.zeros(count, np.uint32),
        np.zeros(count, np.uint32),
        np.arange(100, 100 + count),
    )
    none = np.zeros(count, np.uint8)
    piece = Found(taken, taken, np.zeros(count, np.int32), batch.import_register, batch.received_ms, 0, counted=True)

    found = arrivals_of(batch, Routed((piece,) if len(taken) else (), (), none, none, len(taken), 0))

    days = sorted({int(received[row]) // DAY_MS for row in taken})
    of_day = [[(int(received[row]), row) for row in taken.tolist() if received[row] // DAY_MS == day] for day in days]
    assert found == [
        Arrivals("a", day, min(times)[0], max(times)[0], 100 + min(times)[1])
        for day, times in zip(days, of_day, strict=True)
    ]
