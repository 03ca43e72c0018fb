# SPDX-License-Identifier: Apache-2.0
import pytest

from tests.conftest import DEEP
from tests.format_fuzzing import KINDS, clean, damaged, fuzz, judge

INPUTS = 5_000 if DEEP else 150


@pytest.mark.parametrize("kind", KINDS)
def test_no_damage_makes_a_reader_fail_or_hand_out_what_does_not_hold(kind: str) -> None:
    counts, bad = fuzz(kind, 0, INPUTS)
    assert bad == []
    assert counts["whole"] > 0
    assert counts["refused"] + counts["parts"] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_without_damage_is_read_whole_and_a_number_makes_its_input_again(kind: str) -> None:
    source = clean(kind)
    assert judge(kind, damaged(kind, 0, source)) == "whole"
    assert damaged(kind, 7, source) == damaged(kind, 7, clean(kind)) != source
