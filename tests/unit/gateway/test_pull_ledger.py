# SPDX-License-Identifier: Apache-2.0
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import PullMismatchError, PullStateError
from gateway.pull_ledger import Ledger, merge
from gateway.pull_read import Rows

SLOT = 1_000_000


def piece(values: dict[int, int | None], revision: int = 0) -> Rows:
    ids = np.array([f"03{point:020d}".encode() for point in values], "S22")
    available = np.array([value is not None for value in values.values()], bool)
    energy = np.array([value or 0 for value in values.values()], np.int64)
    return Rows(ids, energy, available, pa.nulls(len(values), pa.string()), revision)


def content(root: Path) -> dict[str, tuple[int | None, int]]:
    (file,) = root.rglob("*.parquet")
    table = pq.read_table(file, partitioning=None).to_pydict()
    values = zip(table["energy_dwh"], table["revision"], strict=True)
    return dict(zip(table["point_id"], values, strict=True))


def test_in_whatever_order_deliveries_come_the_ledger_is_the_same(tmp_path: Path) -> None:
    pieces = [piece({1: 5, 2: None}), piece({3: 7}), piece({2: 9, 1: None}, 1), piece({2: 8}, 2)]
    files = set()
    for number, order in enumerate(permutations(pieces)):
        ledger = Ledger(tmp_path / str(number))
        for each in order:
            ledger.apply("10013", SLOT, [each])
        sums = ledger.slot_sums("10013", SLOT)
        assert (sums.cells, sums.available, sums.sum_dwh) == (3, 2, 15)
        (file,) = (tmp_path / str(number)).rglob("*.parquet")
        files.add(file.read_bytes())
    assert len(files) == 1
    assert content(tmp_path / "0") == {
        f"03{1:020d}": (None, 1),
        f"03{2:020d}": (8, 2),
        f"03{3:020d}": (7, 0),
    }


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.none() | st.integers(0, 10**15)), max_size=40))
def test_the_highest_revision_of_each_point_wins(cells: list[tuple[int, int, int | None]]) -> None:
    """Against a plain dictionary; one value for each point and revision, as deliveries have it."""
    known: dict[tuple[int, int], int | None] = {}
    for point, revision, value in cells:
        known.setdefault((point, revision), value)
    parts = [piece({point: value}, revision) for (point, revision), value in known.items()] or [piece({})]
    merged, revisions = merge([(each, np.full(len(each), each.revision)) for each in parts + parts])
    expected = {point: (known[point, top], top) for point, top in _tops(known).items()}
    found = {
        int(point): (int(energy) if available else None, int(revision))
        for point, energy, available, revision in zip(
            (each.decode()[2:] for each in merged.point_id),
            merged.energy_dwh,
            merged.available,
            revisions,
            strict=True,
        )
    }
    assert found == expected
    assert merged.point_id.tolist() == sorted(merged.point_id.tolist())


def _tops(known: dict[tuple[int, int], int | None]) -> dict[int, int]:
    tops: dict[int, int] = {}
    for point, revision in known:
        tops[point] = max(tops.get(point, 0), revision)
    return tops


def test_one_revision_with_two_values_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.apply("10013", SLOT, [piece({1: 5})])
    before = content(tmp_path)
    for wrong in (piece({1: 6}), piece({1: None})):
        with pytest.raises(PullMismatchError, match=f"03{1:020d}"):
            ledger.apply("10013", SLOT, [wrong])
    assert content(tmp_path) == before


def test_sums_come_from_the_files_and_are_exact(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.apply("10013", SLOT, [piece({1: 2**61, 2: 1})])
    ledger.apply("10013", SLOT + 1, [piece({1: 3, 2: None})])
    held = ledger.sums("10013")
    assert held.as_dict() == {"slots": 2, "cells": 4, "available": 3, "missing": 1, "sum_dwh": 2**61 + 4}
    assert ledger.sums("10021").cells == 0
    assert ledger.slot_sums("10013", SLOT + 2).cells == 0
    (tmp_path / "10013" / "20270101").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "10013" / "20270101" / "0000.parquet")
    with pytest.raises(PullStateError):
        ledger.sums("10013")
