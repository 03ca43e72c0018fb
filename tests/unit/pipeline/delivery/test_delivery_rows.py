# SPDX-License-Identifier: Apache-2.0
"""What a point looks like in the files."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from koma.energy import format_kwh
from koma.errors import DeliveryError
from pipeline.delivery import write_delivery
from tests.independent_reader import read_parquet, read_zip
from tests.unit.pipeline.delivery.rows import Wanted, delivery, point


def point_rows(text: str) -> str:
    """Cut the rows out of the XML."""
    return text.partition("<JPM00010>")[2].partition("</JPM00010>")[0]


def xml_of(rows: list[Wanted], directory: Path) -> str:
    entry = write_delivery(delivery(rows), directory)
    with zipfile.ZipFile(directory / "12345" / "20260822" / entry.file) as archive:
        return archive.read(archive.namelist()[0]).decode()


def test_whole_xml_of_three_points(tmp_path: Path) -> None:
    rows = [
        Wanted(point(7), 1234, "R&D <7>"),
        Wanted(point(8), None, "", "no_meter"),
        Wanted(point(9), None, "ｶﾅ漢字𠮷"),
    ]
    assert xml_of(rows, tmp_path) == (
        '<?xml version="1.0" encoding="UTF-8"?><SBD-MSG><JPMGRP>'
        "<JPMGH><JPC03>00000</JPC03><JPC06>12345</JPC06><JPC12>1110</JPC12><JPC19>20260822174500</JPC19></JPMGH>"
        "<JPTRM><JP00002>1110</JP00002><JP06110>00000</JP06110><JP06112>12345</JP06112>"
        "<JP06116>20260822</JP06116><JP06219>34</JP06219><JPM00010>"
        "<JPMR00010><JP06400>0300000000000000000007</JP06400><JP06119>R&amp;D &lt;7&gt;</JP06119>"
        "<JP06122>0</JP06122><JP06125>0.1234</JP06125></JPMR00010>"
        "<JPMR00010><JP06400>0300000000000000000008</JP06400><JP06122>1</JP06122></JPMR00010>"
        "<JPMR00010><JP06400>0300000000000000000009</JP06400><JP06119>ｶﾅ漢字𠮷</JP06119><JP06122>1</JP06122></JPMR00010>"
        "</JPM00010></JPTRM></JPMGRP></SBD-MSG>"
    )


@pytest.mark.parametrize(
    ("dwh", "kwh"),
    [
        (0, "0"),
        (1, "0.0001"),
        (10, "0.001"),
        (100, "0.01"),
        (1_000, "0.1"),
        (9_999, "0.9999"),
        (10_000, "1"),
        (10_010, "1.001"),
        (12_000, "1.2"),
        (99_999, "9.9999"),
        (100_000, "10"),
        (123_456_789_012, "12345678.9012"),
        (10**18, "100000000000000"),
        (2**63 - 1, "922337203685477.5807"),
    ],
)
def test_energy_is_the_shortest_exact_decimal(dwh: int, kwh: str, tmp_path: Path) -> None:
    assert f"<JP06125>{kwh}</JP06125>" in xml_of([Wanted(point(1), dwh)], tmp_path)


def test_energy_of_every_length_reads_as_the_vocabulary_prints_it(tmp_path: Path) -> None:
    values = sorted(
        {digit * 10**power + rest for power in range(18) for digit in (1, 5, 9) for rest in (0, 1, 90, 700)}
    )
    text = point_rows(xml_of([Wanted(point(i), value) for i, value in enumerate(values)], tmp_path))
    printed = [each.partition("</JP06125>")[0] for each in text.split("<JP06125>")[1:]]
    assert printed == [format_kwh(value) for value in values]


@pytest.mark.parametrize(
    "ref",
    [
        *(
            b"a\0b",
            b"\t",
            b"line\n",
            b"\x7f",
            b"\x1f",
            "\x85".encode(),
            "\uffff".encode(),
            b"\xed\xa0\x80",
            b"\xc0\xaf",
        ),
        *(b"\xff", b"\xe3\x81", b"\x81", b"x" * 40 + b"\xf8", b"\xf4\x90\x80\x80", b"\xe0\x80\xaf"),
    ],
)
def test_customer_ref_that_xml_cannot_carry_is_refused_with_its_point(ref: bytes, tmp_path: Path) -> None:
    rows = [Wanted(point(1), 5, "ok"), Wanted(point(2), 5, ref), Wanted(point(3), 5, "A" * 64)]
    with pytest.raises(DeliveryError, match="point 0300000000000000000002: its customer_ref is no text"):
        write_delivery(delivery(rows), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_letter_cut_in_two_between_rows_is_refused(tmp_path: Path) -> None:
    letter = "電".encode()
    with pytest.raises(DeliveryError, match="point 0300000000000000000001"):
        write_delivery(delivery([Wanted(point(1), 5, letter[:2]), Wanted(point(2), 5, letter[2:])]), tmp_path)


@pytest.mark.parametrize("length", [1, 21, 31, 32, 33, 63, 64, 65, 3000])
def test_customer_ref_of_any_length_goes_out_as_it_is(length: int, tmp_path: Path) -> None:
    refs = ["x" * length, "<" * length, "é" * length, ("&" + "y" * length)[:length]]
    entry = write_delivery(delivery([Wanted(point(i), 5, ref) for i, ref in enumerate(refs)]), tmp_path)
    file = read_zip(tmp_path / "12345" / "20260822" / entry.file)
    assert [row.customer_ref for row in file.rows] == refs


def test_customer_ref_beyond_the_buffer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="customer_ref is too long"):
        write_delivery(delivery([Wanted(point(1), 5, "z" * 300_000)]), tmp_path)


def test_withdrawn_row_goes_out_as_missing_with_its_reason(tmp_path: Path) -> None:
    entry = write_delivery(delivery([Wanted(point(1), None, "ref", "withdrawn")], revision=3), tmp_path)
    folder = tmp_path / "12345" / "20260822"
    (xml,) = read_zip(folder / entry.file).rows
    (row,) = read_parquet(folder / entry.file.replace(".zip", ".parquet")).rows
    assert (xml.available, xml.energy_dwh, xml.customer_ref) == (False, None, "ref")
    assert (row.available, row.energy_dwh, row.quality) == (False, None, "withdrawn")


def test_negative_energy_is_refused_but_never_looked_at_where_not_available(tmp_path: Path) -> None:
    file = delivery([Wanted(point(1), 5), Wanted(point(2), 6)])
    negative = replace(file, energy_dwh=np.array([5, -6], np.int64))
    with pytest.raises(DeliveryError, match="point 0300000000000000000002: negative energy -6 dWh"):
        write_delivery(negative, tmp_path)
    assert write_delivery(replace(negative, available=np.array([True, False])), tmp_path).available == 1


@pytest.mark.parametrize("ids", [[2, 1], [1, 1], [1, 3, 2], [1, 10**19, 10**18]])
def test_rows_that_do_not_ascend_are_refused(ids: list[int], tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="not above the point id before it"):
        write_delivery(delivery([Wanted(point(number)) for number in ids]), tmp_path)


def test_position_outside_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="row 0"):
        write_delivery(replace(delivery([Wanted(point(1))]), positions=np.array([2], np.uint32)), tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"ref_row": np.array([0, 2], np.uint32)},
        {"ref_row": np.array([0, 0xFFFFFFFE], np.uint32)},
        {"ref_off": np.array([0, 1, 10**9], np.int64)},
        {"ref_off": np.array([5, 1, 2], np.int64)},
        {"ref_off": np.array([-9, 1, 2], np.int64)},
        {"ref_off": np.zeros(0, np.int64)},
    ],
)
def test_customer_ref_outside_its_table_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    file = delivery([Wanted(point(1), 5, "a"), Wanted(point(2), 5, "b")])
    with pytest.raises(DeliveryError, match="customer_ref"):
        write_delivery(replace(file, **change), tmp_path)
