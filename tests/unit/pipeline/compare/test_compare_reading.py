# SPDX-License-Identifier: Apache-2.0
"""An incumbent's zip, as others write it and as nobody should: read to the cell, or refused by name."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koma.errors import CompareError
from pipeline.compare.cells import point_ids
from pipeline.compare.reading import Name, read_cells, read_receiver
from pipeline.compare.side import their_side

STEM = "W41110202610071000000001"
NAME = Name.of(f"{STEM}.zip") or Name(0, 0, 0)
POINT = "0399999999999999999917"
ROW = f"<JPMR00010><JP06400>{POINT}</JP06400><JP06122>0</JP06122><JP06125>1.25</JP06125></JPMR00010>"
HEAD = "<SBD-MSG><JPMGRP><JPTRM><JP06112>90013</JP06112><JP06116>20261007</JP06116><JP06219>21</JP06219><JPM00010>"
FOOT = "</JPM00010></JPTRM></JPMGRP></SBD-MSG>"


def zipped(folder: Path, text: str | bytes, *, members: int = 1, stem: str = STEM) -> Path:
    path = folder / f"{stem}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{stem}{number or ''}.xml", text)
    return path


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        ROW.replace("><", ">\r\n  <"),
        ROW.replace("1.25", " 1.2500 ").replace(POINT, f"\n{POINT}\n"),
        ROW.replace("<JP", "<x:JP").replace("</JP", "</x:JP"),
        ROW.replace("<JPMR00010>", '<JPMR00010 no="1">').replace("<JP06122>", "<JP06120>名</JP06120><JP06122>"),
        ROW.replace("<JP06122>", "<JP06121/><JP06119 /><JP06122>"),
    ],
    ids=["plain", "white space", "padded", "prefixes", "more elements", "empty elements"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_what_others_write_is_read(tmp_path: Path, row: str, encoding: str) -> None:
    missing = ROW.replace(POINT, POINT[:-2] + "25").replace("<JP06122>0", "<JP06122>1")
    path = zipped(tmp_path, (HEAD + row + missing + FOOT).encode(encoding))

    cells = read_cells(path, NAME)

    assert read_receiver(path, NAME) == "90013"
    assert point_ids(cells).to_pylist() == [POINT, POINT[:-2] + "25"]
    assert cells.energy.tolist() == [12_500, 0]
    assert cells.available.tolist() == [True, False]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (ROW.replace(POINT, "12345"), "22 digits"),
        (ROW.replace(POINT, "０" * 22), "22 digits"),
        (ROW.replace(f"<JP06400>{POINT}</JP06400>", ""), "exactly one id"),
        (ROW.replace("<JP06122>0</JP06122>", "<JP06122>2</JP06122>"), "availability"),
        (ROW.replace("<JP06122>0</JP06122>", ""), "availability"),
        (ROW.replace("1.25", "1,25"), "energy"),
        (ROW.replace("1.25", "1.25001"), "energy"),
        (ROW.replace("1.25", "1e3"), "energy"),
        (ROW.replace("1.25", "9" * 19), "energy"),
        (ROW.replace("<JP06125>1.25</JP06125>", ""), "energy"),
        (ROW.replace("<JP06125>1.25</JP06125>", "<JP06125>1</JP06125>" * 2), "energy"),
        (ROW.replace("</JPMR00010>", ""), "closed"),
        (f"<JPMR00010>{ROW}</JPMR00010>", "closed"),
        ("<!-- none -->", "hide"),
        ("<JPMR00010", "does not end"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(tmp_path: Path, row: str, said: str) -> None:
    path = zipped(tmp_path, HEAD + ROW + row + (FOOT if row != "<JPMR00010" else ""))

    with pytest.raises(CompareError, match=said) as caught:
        read_cells(path, NAME)
    assert str(path) in caught.value.message


def two_members(folder: Path) -> Path:
    return zipped(folder, HEAD + ROW + FOOT, members=2)


def no_zip(folder: Path) -> Path:
    path = folder / f"{STEM}.zip"
    path.write_bytes(b"PK no zip")
    return path


def torn(folder: Path) -> Path:
    path = zipped(folder, HEAD + ROW * 5_000 + FOOT)
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes(100) + data[300:])
    return path


def of_another_slot(folder: Path) -> Path:
    return zipped(folder, (HEAD + ROW + FOOT).replace("<JP06219>21", "<JP06219>22"))


def for_nobody(folder: Path) -> Path:
    return zipped(folder, (HEAD + ROW + FOOT).replace("90013", "nobody"))


@pytest.mark.parametrize("made", [two_members, no_zip, torn, of_another_slot, for_nobody])
def test_a_file_that_cannot_be_trusted_is_left_out_and_named(tmp_path: Path, made: Callable[[Path], Path]) -> None:
    bad = made(tmp_path)
    zipped(tmp_path, HEAD + ROW + FOOT, stem=STEM[:-1] + "2")

    side = their_side(tmp_path)
    cells = side.cells("90013", NAME.slot)

    assert list(side.refused) == [bad]
    assert len(cells) == 1


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_text_gives_cells_or_an_error(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    text = bytearray((HEAD + ROW * 3 + FOOT).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text) - 1))
        piece = data.draw(st.sampled_from([b"", b"<", b">", b"/", b"\0", b"<JPMR00010>", b"</JPMR00010>", b"9", b"."]))
        text[at : at + data.draw(st.integers(0, 30))] = piece
    path = zipped(tmp_path_factory.mktemp("damaged"), bytes(text))

    refused = ""
    try:
        rows = len(read_cells(path, NAME))
    except CompareError as error:
        rows, refused = 0, error.message

    assert rows <= text.count(b"JPMR00010")
    assert not refused or refused.startswith(str(path))
