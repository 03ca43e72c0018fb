# SPDX-License-Identifier: Apache-2.0
"""What the kernels gather of a day is what had arrived by the instant."""

import numpy as np
import pytest

from koma.limits import REGISTER_BITS
from pipeline.register_kernels import ABSENT
from pipeline.rules.fact_kernels import unmoved
from pipeline.shard_cells import dated
from tests.small_masters import Meter, Point, master

DAY_MS = 86_400_000
INSTANT = 10 * DAY_MS


def word(register: int, arrival_ms: int) -> np.uint64:
    return np.uint64(arrival_ms << REGISTER_BITS | register)


@pytest.mark.parametrize(
    ("before", "start", "end", "told"),
    [
        (word(6, 0), word(7, 0), word(7, 0), True),
        (word(7, 0), word(7, 0), word(7, 0), False),
        (word(7, INSTANT), word(7, 0), word(7, 0), False),
        (word(7, INSTANT + 1), word(7, 0), word(7, 0), True),
        (ABSENT, word(7, 0), word(7, 0), True),
        (ABSENT, word(7, INSTANT), word(7, INSTANT), True),
        (ABSENT, word(7, INSTANT + 1), word(7, 0), False),
        (ABSENT, word(7, 0), word(7, INSTANT + 1), False),
        (ABSENT, ABSENT, ABSENT, False),
        (ABSENT, word(7, 0), word(8, 0), False),
    ],
)
def test_a_register_stands_still_as_far_as_its_reads_had_arrived(
    before: np.uint64, start: np.uint64, end: np.uint64, *, told: bool
) -> None:
    columns = dated(master([Point((Meter(),))]))
    first, second, third = (np.array([each], np.uint64) for each in (before, start, end))
    found = np.empty(1, np.bool_)

    unmoved(columns, 0, (first, second, third), (0, 0, 0), DAY_MS, 8 * DAY_MS, INSTANT, found)

    assert found.tolist() == [told]
