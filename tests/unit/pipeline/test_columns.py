# SPDX-License-Identifier: Apache-2.0
"""Files of named columns come back as they were written, and damage is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from koma.errors import HomeError
from pipeline.columns import MAGIC, read_columns, replace_file, write_columns

KINDS = ("<u4", "<i8", "<i4", "|u1", "<u8", "<u2")


@st.composite
def columns(draw: st.DrawFn) -> dict[str, NDArray[Any]]:
    names = draw(st.lists(st.sampled_from("abcdef"), unique=True, max_size=6))
    return {
        name: np.array(draw(st.lists(st.integers(0, 255), max_size=20)), np.dtype(draw(st.sampled_from(KINDS))))
        for name in names
    }


@given(columns(), st.dictionaries(st.sampled_from("xyz"), st.integers() | st.text(max_size=5)))
def test_columns_and_facts_come_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, given_columns: dict[str, NDArray[Any]], meta: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("columns") / "a.col"

    size = write_columns(path, given_columns, meta)
    found, facts = read_columns(path)

    assert path.stat().st_size == size
    assert facts == meta
    assert list(found) == list(given_columns)
    for name, column in given_columns.items():
        assert found[name].dtype == column.dtype
        assert found[name].tolist() == column.tolist()


def test_the_same_columns_are_the_same_bytes_and_nothing_is_copied(tmp_path: Path) -> None:
    made: dict[str, NDArray[Any]] = {"a": np.arange(1000, dtype=np.int64), "b": np.arange(3, dtype=np.uint8)}
    for name in ("one", "two"):
        write_columns(tmp_path / name, made)

    found, _ = read_columns(tmp_path / "one")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert not found["a"].flags.owndata
    assert not found["a"].flags.writeable
    assert found["b"].__array_interface__["data"][0] % 64 == 0


def test_a_file_that_is_cut_short_is_refused_by_column(tmp_path: Path) -> None:
    path = tmp_path / "a.col"
    write_columns(path, {"first": np.arange(1000, dtype=np.int64), "second": np.arange(1000, dtype=np.int64)})
    path.write_bytes(path.read_bytes()[:-100])

    with pytest.raises(HomeError, match="cut short in column second"):
        read_columns(path)


@pytest.mark.parametrize("content", [b"", b"KOMA", b"PAR1" + bytes(60)])
def test_what_is_no_column_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.col"
    path.write_bytes(content)

    assert not content.startswith(MAGIC)
    with pytest.raises(HomeError, match=r"a\.col"):
        read_columns(path)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "current"
    replace_file(path, b"1")
    replace_file(path, b"22")

    assert path.read_bytes() == b"22"
    assert [each.name for each in tmp_path.iterdir()] == ["current"]
