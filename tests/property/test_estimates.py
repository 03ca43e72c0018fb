# SPDX-License-Identifier: Apache-2.0
"""Estimates over random gaps: parts add up exactly, nothing is negative, no order of facts decides anything."""

import random
import tempfile
from datetime import date
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.estimates.like_day_kernels import like_days
from pipeline.estimates.share_kernels import mean, on_line, share, slope
from tests.estimate_homes import FIRST, START, estimate_home, reads, register, rows
from tests.homes import SLOT_MS, digests, point

FEW = settings(max_examples=max(2, settings().max_examples // 30))
ENERGIES = st.integers(0, 1 << 62)
WEIGHTS = st.lists(st.integers(0, 1 << 20), min_size=1, max_size=60)


def shared(total: int, weights: list[int]) -> list[int]:
    parts = np.empty(len(weights), np.int64)
    share(total, np.array(weights, np.int64), parts)
    return [int(each) for each in parts]


def by_largest_remainder(total: int, weights: list[int]) -> list[int]:
    """Share out in exact fractions; a weight of all is 1 where all are 0."""
    weights = weights if any(weights) else [1] * len(weights)
    exact = [Fraction(total * each, sum(weights)) for each in weights]
    parts = [int(each) for each in exact]
    order = sorted(range(len(parts)), key=lambda k: (parts[k] - exact[k], k))
    for k in order[: total - sum(parts)]:
        parts[k] += 1
    return parts


@given(ENERGIES, WEIGHTS)
def test_a_total_is_shared_out_by_largest_remainder(total: int, weights: list[int]) -> None:
    assert shared(total, weights) == by_largest_remainder(total, weights)


@given(ENERGIES, st.lists(ENERGIES, min_size=1, max_size=60))
def test_parts_add_up_exactly_and_none_is_negative_whatever_the_weights(total: int, weights: list[int]) -> None:
    parts = shared(total, weights)
    assert sum(parts) == total
    assert min(parts) >= 0


@given(ENERGIES, WEIGHTS, st.randoms())
def test_the_order_of_parts_decides_only_who_of_equals_comes_first(
    total: int, weights: list[int], chance: random.Random
) -> None:
    order = chance.sample(range(len(weights)), len(weights))
    parts, mixed = shared(total, weights), shared(total, [weights[k] for k in order])
    assert sorted(zip(weights, parts, strict=True)) == sorted(zip([weights[k] for k in order], mixed, strict=True))


@pytest.mark.parametrize(("total", "parts"), [(1, [1, 0, 0]), (2, [1, 1, 0]), (3, [1, 1, 1]), (5, [2, 2, 1])])
def test_of_equal_remainders_the_earlier_part_gets_the_one_that_is_left(total: int, parts: list[int]) -> None:
    assert shared(total, [7, 7, 7]) == shared(total, [0, 0, 0]) == parts


@given(st.integers(-1, 1 << 40), st.integers(-1, 1 << 40), st.integers(1, 400))
def test_a_line_runs_between_its_neighbours_and_is_flat_with_one_of_them(before: int, after: int, count: int) -> None:
    weights = np.empty(count, np.int64)
    slope(before, after, weights)
    if before < 0 or after < 0:
        assert len(set(weights.tolist())) == 1
        return
    exact = [Fraction(before * (count - k) + after * (k + 1), count + 1) for k in range(count)]
    assert weights.tolist() == [each * (count + 1) for each in exact]
    assert [on_line(before, after, k, count) for k in range(count)] == [int(each) for each in exact]


@given(st.lists(st.integers(0, 1 << 50), min_size=1, max_size=14))
def test_a_mean_is_rounded_half_up(energies: list[int]) -> None:
    assert mean(sum(energies), len(energies)) == int(Fraction(sum(energies), len(energies)) + Fraction(1, 2))


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 1)), min_size=2, max_size=40),
    st.integers(1, 30),
    st.integers(0, 30),
    st.integers(1, 5),
)
def test_reference_days_are_the_latest_exact_ones_of_the_kind(
    days: list[tuple[bool, int]], lookback: int, since: int, wanted: int
) -> None:
    exact, kind = np.array([each for each, _ in days]), np.array([each for _, each in days], np.uint8)
    day = len(days) - 1
    chosen = np.empty(wanted, np.int32)
    count = like_days(exact, kind, day, lookback, since, chosen)
    like = [k for k in range(day) if exact[k] and kind[k] == kind[day] and k >= since and k >= day - lookback]
    assert chosen[:count].tolist() == like[::-1][:wanted]


GAPS = st.lists(
    st.lists(st.integers(FIRST - 30, FIRST + 46), unique=True, max_size=70), min_size=20, max_size=20
)  # stamps that are lost, of each meter


@FEW
@given(GAPS)
def test_with_its_estimates_a_point_adds_up_to_its_registers_over_any_days(gaps: list[list[int]]) -> None:
    """Cells between two known registers: those that were measured and those that were estimated make the difference."""
    days = [date(2026, 10, 6), date(2026, 10, 7)]
    with tempfile.TemporaryDirectory() as folder:
        home = estimate_home(Path(folder) / "home", *gaps)
        found = {(row["point_id"], slot_of(row)): row for day in days for row in rows(home, day)}
    for number, lost in enumerate(gaps):
        known = [k for k in range(FIRST - 48, FIRST + 49) if k not in lost]
        for begin, end in pairwise(known):
            if end == begin + 1:
                assert (point(number), begin) not in found
                continue
            mine = [found[point(number), k] for k in range(begin, end)]
            total = (register(end, number) - register(begin, number)) * 1000
            assert sum(row["energy_dwh"] for row in mine) == total
            assert min(row["energy_dwh"] for row in mine) >= 0
            assert {row["gap_dwh"] for row in mine} == {total}
            assert {row["method"] for row in mine} == {method_of(end - begin, total)}


def slot_of(row: dict[str, Any]) -> int:
    return int(row["slot_start"].timestamp() * 1000 - START) // SLOT_MS


def method_of(slots: int, total: int) -> str:
    if slots == 2:
        return "split"
    return "linear" if slots <= 4 or total == 0 else "like_day"  # days of no use have no shape


@FEW
@given(GAPS, st.integers(0, 1000))
def test_the_order_in_which_reads_come_decides_nothing(gaps: list[list[int]], seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    every = [read for k, each in enumerate(gaps) for read in reads(k, each)]
    mixed = chance.sample(every, len(every))
    with tempfile.TemporaryDirectory() as folder:
        trees = []
        for name, order in (("one", every), ("other", mixed)):
            home = estimate_home(Path(folder) / name, *gaps, given=order)
            rows(home)
            trees.append(digests(home.path("estimates")))
    assert trees[0] == trees[1]
