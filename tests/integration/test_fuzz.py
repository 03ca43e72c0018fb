# SPDX-License-Identifier: Apache-2.0
"""Damaged hand-over files of every format: no crash, no hang, no record unaccounted for; more by `./dev bench fuzz`."""

from pathlib import Path

import pytest
from hypothesis import settings

from pipeline.handover import EXTENSIONS
from tests.fuzzing import Fuzzed, fuzz, judged, seeds

DEEP = settings().max_examples >= 1000
INPUTS = 20_000 if DEEP else 600


@pytest.mark.timeout(3600 if DEEP else 300)
@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_decoder_survives_damaged_files(tmp_path: Path, extension: str) -> None:
    result = Fuzzed()

    fuzz(tmp_path, extension, 0, INPUTS, result)

    assert result.bad == []
    assert sum(result.counts.values()) == INPUTS
    assert result.counts["decoded"] > INPUTS // 20, "hardly any input gets past the format's own checks"


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_what_is_damaged_was_sound_before(tmp_path: Path, extension: str) -> None:
    for data in seeds(tmp_path)[extension]:
        path = tmp_path / f"sound{extension}"
        path.write_bytes(data)
        found = judged(path)
        assert (found.outcome, found.wrong) == ("decoded", [])
