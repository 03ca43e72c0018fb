# SPDX-License-Identifier: Apache-2.0
"""What all hand-over files share: extensions, errors, the batch that comes out, the writers."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from koma.errors import HandoverError
from koma.limits import NO_DATA
from pipeline.handover import EXTENSIONS, ReadBatch, decode_chunk, empty_batch, plan_chunks
from pipeline.handover.reasons import ROW_REASONS
from pipeline.handover.write import blocks, write_arrow, write_csv, write_echonet, write_parquet
from tests.hand_over import LATER_MS, MS, Read, batch_of, outcome_of, reads_of

READS = [Read(f"M{index}", MS + index * 1000, index, None if index % 2 else index, LATER_MS) for index in range(20)]


def write(path: Path, batch: ReadBatch) -> Path:
    name = path.name.lower()
    if name.endswith(".arrow"):
        write_arrow(path, batch)
    elif name.endswith(".parquet"):
        write_parquet(path, batch)
    elif name.endswith(".echonet"):
        write_echonet(path, batch)
    else:
        write_csv(path, batch, "gz" if name.endswith(".gz") else "zst" if name.endswith(".zst") else "")
    return path


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("stem", ["reads", "v1.2_reads", "READS"])
def test_each_extension_has_its_format_in_any_case(tmp_path: Path, extension: str, stem: str) -> None:
    ending = extension.upper() if stem.isupper() else extension
    path = tmp_path / (stem + extension)
    write(path, batch_of(READS))
    path = path.rename(tmp_path / (stem + ending))
    assert outcome_of(path).reads == READS


@pytest.mark.parametrize("name", ["reads.txt", "reads", "reads.gz", "reads.arrow.gz", ".arrows", "reads.xlsx"])
def test_an_unknown_extension_is_an_error_that_lists_the_known(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.touch()
    with pytest.raises(HandoverError, match=r"\.arrow, \.parquet, \.csv, \.csv\.gz, \.csv\.zst, \.echonet"):
        plan_chunks(path, 100)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_file_that_is_not_there_or_is_a_folder_is_an_error(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"reads{extension}"
    with pytest.raises(HandoverError, match=r"reads\."):
        plan_chunks(path, 100)
    path.mkdir()
    with pytest.raises(HandoverError, match=r"reads\."):
        plan_chunks(path, 100)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_file_that_went_away_since_it_was_planned_is_an_error(tmp_path: Path, extension: str) -> None:
    path = write(tmp_path / f"reads{extension}", batch_of(READS))
    chunks = plan_chunks(path, 7)
    path.unlink()
    with pytest.raises(HandoverError, match=r"reads\."):
        decode_chunk(chunks[1])


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_chunks_and_what_they_bring_cross_process_borders(tmp_path: Path, extension: str) -> None:
    for chunk in plan_chunks(write(tmp_path / f"reads{extension}", batch_of(READS)), 7):
        decoded = decode_chunk(pickle.loads(pickle.dumps(chunk)))  # noqa: S301  our own bytes
        again = pickle.loads(pickle.dumps(decoded))  # noqa: S301
        assert reads_of(again.batch) == reads_of(decoded.batch)
        for batch in (decoded.batch, again.batch):
            for name in ("keys", "read_at_ms", "received_ms", "import_register", "export_register", "place"):
                column = getattr(batch, name)
                assert not column.flags.writeable
                assert column.flags.c_contiguous
                assert column.flags.aligned


def test_a_batch_refuses_columns_of_another_type_or_length() -> None:
    batch = batch_of(READS)
    wrong: dict[str, Any] = {
        "keys": batch.keys[:, 0],
        "read_at_ms": batch.read_at_ms.astype(np.int32),
        "import_register": batch.import_register[1:],
    }
    for name, column in wrong.items():
        with pytest.raises(TypeError, match=f"{name} must be"):
            replace(batch, **{name: column})


def test_a_batch_leaves_the_arrays_of_its_maker_writeable() -> None:
    batch = batch_of(READS)
    stamps = np.array(batch.read_at_ms)
    made = ReadBatch(
        "x", batch.keys, stamps, batch.received_ms, batch.import_register, batch.export_register, batch.place
    )
    assert stamps.flags.writeable
    assert not made.read_at_ms.flags.writeable
    assert len(made) == 20
    assert len(empty_batch("x")) == 0


def test_blocks_are_parts_in_order() -> None:
    batch = batch_of(READS)
    assert [len(each) for each in blocks(batch, 8)] == [8, 8, 4]
    assert [read for each in blocks(batch, 8) for read in reads_of(each)] == READS


def test_a_telegram_needs_a_register(tmp_path: Path) -> None:
    reads = [Read("M1", MS, None, None), Read("M2", MS + 999, NO_DATA, None), Read("M3", MS, None, 3)]
    path = tmp_path / "reads.echonet"
    assert write_echonet(path, batch_of(reads), announce=True) == 2
    found = outcome_of(path)
    assert found.reads == [Read("M2", MS, NO_DATA, None), Read("M3", MS, None, 3)]
    assert found.no_data == 1


def test_each_reason_has_one_code_and_its_own_words() -> None:
    assert len({words for _, words in ROW_REASONS.values()}) == len(ROW_REASONS)
