# SPDX-License-Identifier: Apache-2.0
import io
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from gateway.errors import PullFormatError, PullMismatchError
from gateway.names import ObjectName, parse_object
from gateway.pull import parse_list
from gateway.pull_read import read_delivery, whole_dwh
from koma.energy import parse_kwh
from koma.errors import PullError
from tests.gateway_deliveries import Deliveries, points, slot_start, xml_of

NAME = "W41110202608221630000001.zip"
GOOD = xml_of(slot_start(), "10013", [(points(1)[0], 12)]).decode()


def named(name: str = NAME) -> ObjectName:
    found = parse_object("10013", name)
    assert found is not None
    return found


def write(folder: Path, xml: str, member: str = NAME.replace(".zip", ".xml")) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, xml)
    file = folder / NAME
    file.write_bytes(buffer.getvalue())
    return file


@pytest.mark.parametrize("suffix", ["zip", "parquet"])
def test_both_forms_of_a_file_hold_the_same(tmp_path: Path, suffix: str) -> None:
    rows = [(point, None if index % 5 == 0 else index * 37) for index, point in enumerate(points(200))]
    Deliveries(tmp_path).issue("10013", slot_start(), rows)
    one = named(NAME.replace("zip", suffix))
    found = read_delivery(tmp_path / one.place, one)
    assert [each.decode() for each in found.point_id] == [point for point, _ in rows]
    assert found.available.tolist() == [value is not None for _, value in rows]
    assert found.energy_dwh.tolist() == [value or 0 for _, value in rows]


def test_a_file_without_rows_is_read(tmp_path: Path) -> None:
    assert len(read_delivery(write(tmp_path, xml_of(slot_start(), "10013", []).decode()), named())) == 0


@pytest.mark.parametrize("text", ["0", "0.0001", "12", "12.3400", "-3.0405", "123456789012345678", "0000.1"])
def test_decimal_texts_become_whole_dwh_exactly(text: str) -> None:
    """As koma.energy reads them, wherever both fit."""
    try:
        expected = parse_kwh(text)
    except Exception:  # noqa: BLE001  beyond 64 bits for both
        with pytest.raises(PullError):
            whole_dwh(pa.array([text]))
        return
    assert whole_dwh(pa.array([text])).tolist() == [expected]


def test_sliced_texts_are_read_where_they_stand() -> None:
    assert whole_dwh(pa.array(["1", "2", "3", "4"])[1:3]).tolist() == [20_000, 30_000]
    assert whole_dwh(pa.array([], pa.string())).dtype == np.int64


POINT = "<JP06400>0300000000000000000000</JP06400>"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("</SBD-MSG>", ""),
        ("<SBD-MSG>", "<!DOCTYPE x [<!ENTITY a 'b'>]><SBD-MSG>"),
        ("<JP06400>03", "<JP06400>3"),
        ("<JP06400>03", "<JP06400>０3"),
        (POINT, ""),
        (POINT, POINT + POINT),
        ("<JP06122>0</JP06122>", "<JP06122>2</JP06122>"),
        ("<JP06122>0</JP06122>", "<JP06122>1</JP06122>"),
        ("<JP06122>0</JP06122>", "<JP06122/>"),
        ("<JP06122>0</JP06122>", ""),
        ("<JP06125>0.0012</JP06125>", ""),
        ("<JP06125>0.0012</JP06125>", "<JP06125>0.00123</JP06125>"),
        ("<JP06125>0.0012</JP06125>", "<JP06125>1e3</JP06125>"),
        ("<JP06125>0.0012</JP06125>", "<JP06125>1</JP06125><JP06125>1</JP06125>"),
        ("<JP06116>20260822", "<JP06116>20260823"),
        ("<JP06219>34", "<JP06219>35"),
        ("JPTRM", "JPXXX"),
    ],
)
def test_xml_that_is_not_as_it_must_be_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(PullError):
        read_delivery(write(tmp_path, GOOD.replace(old, new)), named())


def test_a_point_that_stands_twice_is_refused(tmp_path: Path) -> None:
    xml = xml_of(slot_start(), "10013", [(points(1)[0], 1), (points(1)[0], 1)]).decode()
    with pytest.raises(PullMismatchError, match="twice"):
        read_delivery(write(tmp_path, xml), named())


def test_a_zip_that_is_none_or_holds_another_member_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PullMismatchError):
        read_delivery(write(tmp_path, GOOD, "other.xml"), named())
    (tmp_path / NAME).write_bytes(b"no zip")
    with pytest.raises(PullFormatError):
        read_delivery(tmp_path / NAME, named())


def test_a_parquet_of_another_slot_or_revision_is_refused(tmp_path: Path) -> None:
    Deliveries(tmp_path).issue("10013", slot_start(), [(points(1)[0], 1)])
    file = tmp_path / named(NAME.replace("zip", "parquet")).place
    for other in ("W41110202608221700000001.parquet", "W41110202608221630010001.parquet"):
        with pytest.raises(PullMismatchError):
            read_delivery(file, named(other))
    file.write_bytes(b"no parquet")
    with pytest.raises(PullFormatError):
        read_delivery(file, named(NAME.replace("zip", "parquet")))


@pytest.mark.parametrize(
    "page", ['rfilename1:"a",rfilesize1:"1",rfilename3:"b",rfilesize3:"2"', 'rfilename2:"a",rfilesize2:"1"']
)
def test_a_list_with_gaps_is_refused(page: str) -> None:
    with pytest.raises(PullMismatchError):
        parse_list(page)
