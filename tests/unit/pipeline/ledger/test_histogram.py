# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.ledger.histogram import BUCKETS, Histogram, bucket_numbers, upper_edge_s

LATENCIES = st.lists(st.integers(-200_000, 9_000_000_000), max_size=200)


def test_buckets_are_a_second_wide_and_then_less_than_one_in_128() -> None:
    edges = [upper_edge_s(bucket) for bucket in range(BUCKETS)]
    widths = np.diff([0, *edges])
    assert edges[:256] == list(range(1, 257))
    assert (widths > 0).all()
    assert (widths[256:] * 128 <= np.array(edges[255:-1])).all()
    assert edges[-1] == 1 << 23


@given(LATENCIES, LATENCIES)
def test_merging_is_the_same_as_counting_all_at_once(some: list[int], others: list[int]) -> None:
    assert (Histogram.of(some) + Histogram.of(others)).pairs() == Histogram.of(some + others).pairs()
    stored = Histogram.of(some).pairs()
    assert Histogram.of_pairs(stored).pairs() == stored


@given(LATENCIES.filter(bool), st.integers(1, 100))
def test_a_percentile_is_never_below_the_truth_and_less_than_one_in_128_above(late: list[int], percent: int) -> None:
    seconds = sorted(min(max(0, each // 1000), (1 << 23) - 1) for each in late)
    truth = seconds[max(1, math.ceil(len(late) * percent / 100)) - 1]
    found = Histogram.of(late).percentile_s(percent)
    assert found is not None
    assert truth < found <= truth + 1 + truth / 128


@given(LATENCIES, st.sampled_from([1, 60, 300, 600, 900, 1200, 1800, 3600]))
def test_what_lies_within_a_bound_is_counted_exactly_where_a_bucket_ends(late: list[int], bound: int) -> None:
    assert Histogram.of(late).within(bound) == sum(each < bound * 1000 for each in late)


def test_nothing_has_no_percentile() -> None:
    assert Histogram.empty().percentile_s(99) is None


def test_a_latency_counts_as_often_as_its_weight_says() -> None:
    assert Histogram.of([5_000, 5_999, 70_000], [2, 3, 4]).pairs() == [[5, 5], [70, 4]]
    assert bucket_numbers(np.array([5_000, 70_000])).tolist() == [5, 70]
