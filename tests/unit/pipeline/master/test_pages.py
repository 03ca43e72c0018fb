# SPDX-License-Identifier: Apache-2.0
"""A large array is the same file, however its pages were made."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.master import pages

SMALL, LARGE = (1 << 10, 4), ((20 << 20) // 32, 4)


@pytest.mark.parametrize("shape", [(0, 4), SMALL, LARGE])
def test_the_file_is_that_of_numpy(tmp_path: Path, shape: tuple[int, int]) -> None:
    array = np.arange(shape[0] * shape[1], dtype=np.uint64).reshape(shape)
    pages.save(tmp_path / "mine.npy", array)
    np.save(tmp_path / "numpy.npy", array)

    assert (tmp_path / "mine.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_a_system_that_does_not_know_the_request_writes_small_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_POPULATE_READ", 9_999)  # EINVAL
    array = np.arange(LARGE[0] * LARGE[1], dtype=np.uint64).reshape(LARGE)
    pages.save(tmp_path / "mine.npy", array)

    assert np.array_equal(np.load(tmp_path / "mine.npy"), array)
