# SPDX-License-Identifier: Apache-2.0
"""What the pre-filter finds in the look-up is what stands in it, to the last bit."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.master.lookup import build_table, find
from pipeline.prefilter.install_kernels import find_installs


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_each_meter_gets_the_words_of_its_own_row_and_an_unknown_one_gets_none(
    known: int, unknown: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    keys = np.unique(random.integers(1, 2**62, (known + unknown, 2), np.uint64), axis=0)
    random.shuffle(keys)
    inside = keys[:known]
    bounds = random.integers(-(2**31), 2**31 - 1, (2, len(inside)), np.int32, endpoint=True)
    lookup = build_table(
        inside[:, 0].copy(),
        inside[:, 1].copy(),
        random.integers(0, 2, len(inside)).astype(np.uint8),
        random.integers(0, 2**30, len(inside), np.uint32),
        bounds.min(axis=0),
        bounds.max(axis=0),
    )
    random.shuffle(keys)
    keys.flags.writeable = False
    lookup.table.flags.writeable = False
    found = np.empty((len(keys), 2), np.uint64)

    find_installs(lookup.table, keys, found, np.empty(len(keys), np.uint32))

    rows = [find(lookup.table, len(lookup.table) - 1, *key) for key in keys]
    nothing = (2**64 - 1, 0)
    assert [nothing if row < 0 else tuple(lookup.table[row, 2:].tolist()) for row in rows] == [
        tuple(words) for words in found.tolist()
    ]
