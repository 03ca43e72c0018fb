# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from lxml import etree

from koma.errors import FormatError
from pipeline.formats import csv_read, espi_read, espi_write
from pipeline.formats.losses import Losses
from pipeline.formats.refusals import Refusals
from pipeline.formats.series import sort
from pipeline.formats.words import of_espi
from tests.format_tables import espi_tables

NAMES = {"e": "http://naesb.org/espi", "a": "http://www.w3.org/2005/Atom"}
CSV = "point_id,slot_start,energy_kwh,quality\n"


def read(data: bytes) -> tuple[Any, Refusals]:
    refusals = Refusals()
    return espi_read.read(data, "a.xml", refusals), refusals


def feed(tmp_path: Path, rows: str = "P1,2026-10-07T00:00,1.5,actual\nP1,2026-10-07T00:30,2,valid\n") -> str:
    table = csv_read.read((CSV + rows).encode(), "a.csv", Refusals())
    espi_write.write(table, tmp_path / "a.xml", Losses())
    return (tmp_path / "a.xml").read_text()


def independent(data: bytes) -> dict[int, tuple[int, str]]:
    """Values of a feed of one channel by start, read with another parser."""
    tree = etree.fromstring(data)
    power = int(tree.findtext(".//e:ReadingType/e:powerOfTenMultiplier", namespaces=NAMES))
    found = {}
    for each in tree.iterfind(".//e:IntervalReading", NAMES):
        code = each.findtext("e:ReadingQuality/e:quality", namespaces=NAMES)
        value = int(each.findtext("e:value", namespaces=NAMES)) * 10 ** (power + 4) // 1000
        start = int(each.findtext("e:timePeriod/e:start", namespaces=NAMES))
        found[start] = (value, "unstated" if code is None else str(of_espi(int(code))))
    return found


def test_real_feeds_are_read_to_their_values(real_data: Path) -> None:
    files = [*sorted((real_data / "greenbutton").glob("openespi_test_usage*.xml")), real_data / "greenbutton" /
             "eddie_Batch.xml"]  # fmt: skip
    assert len(files) > 15
    for file in files:
        data = file.read_bytes()
        table, refusals = read(data)
        assert [each for each in refusals.told if each.code != "repeated"] == [], file.name
        assert table.num_rows + refusals.count == len(etree.fromstring(data).findall(".//e:IntervalReading", NAMES))
        wanted = independent(data)
        for row in table.to_pylist():
            start = int(row["slot_start"].timestamp())
            if not refusals.count:
                assert (row["energy_dwh"], row["quality"]) == wanted[start], file.name
        assert set(table["point_id"].to_pylist()) <= {"5446AF3F", "1669851"}
        assert set(table["register"].to_pylist()) == ({"export"} if "eddie" in file.name else {"import"})


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("InvalidIntervalBlock", "an entry of IntervalBlock with no content"),
        ("InvalidSelfLink", "the block's self link"),
        ("WrongContentForIntervalBlock", "an entry of IntervalBlock with ReadingType content"),
        ("outContentForIntervalBlock", "an entry of IntervalBlock with no content"),
        ("outIntervalBlock", "a MeterReading without IntervalBlock"),
        ("outSelfLink", "the block's self link ''"),
    ],
)
def test_real_broken_feeds_are_refused_with_their_place(real_data: Path, name: str, reason: str) -> None:
    data = (real_data / "greenbutton" / f"eddie_BatchWith{name}.xml").read_bytes()
    table, refusals = read(data)
    assert table.num_rows == 0
    assert refusals.told[0].reason.startswith(reason)
    assert data.decode().split("\n")[refusals.told[0].line - 1].strip().startswith("<entry")


@given(espi_tables())
def test_green_button_brings_back_the_table(tmp_path_factory: pytest.TempPathFactory, table: Any) -> None:
    file = tmp_path_factory.mktemp("out") / "a.xml"
    espi_write.write(table, file, Losses())
    back, refusals = read(file.read_bytes())
    assert refusals.told == []
    assert sort(back).equals(sort(table))


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE f [<!ENTITY a "b">]><f>&a;</f>',
        '<!DOCTYPE f SYSTEM "file:///etc/passwd"><f/>',
        "<f>" * 40 + "</f>" * 40,
        "<f>" + "x" * 5000 + "</f>",
        "<f>",
        "",
        "\0",
        "<feed xmlns='http://www.w3.org/2005/Atom'/>",
    ],
)
def test_xml_that_is_no_feed_or_an_attack_is_refused_whole(text: str) -> None:
    with pytest.raises(FormatError, match=r"a\.xml"):
        read(text.encode())


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("<value>15000</value>", "<value>1.5</value>", "energy"),
        ("<value>15000</value>", "", "energy"),
        ("<quality>17</quality>", "<quality>99</quality>", "quality"),
        ("<quality>17</quality>", "<quality>17</quality><quality>8</quality>", "quality"),
        ("<duration>1800</duration><start>1791298800", "<duration>900</duration><start>1791298800", "interval"),
        ("<start>1791298800</start>", "<start>soon</start>", "time"),
        ("<start>1791298800</start>", "<start>1791298801</start>", "time"),
        ("<start>1791298800</start>", "<start>1791300600</start>", "repeated"),
    ],
)
def test_a_bad_reading_is_refused_and_the_other_stays(tmp_path: Path, old: str, new: str, code: str) -> None:
    text = feed(tmp_path)
    assert old in text
    table, refusals = read(text.replace(old, new, 1).encode())
    assert (table.num_rows, [each.code for each in refusals.told]) == (1, [code])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<flowDirection>1<", "<flowDirection>4<"),
        ("<intervalLength>1800<", "<intervalLength>7<"),
        ("<powerOfTenMultiplier>-1<", "<powerOfTenMultiplier>99<"),
    ],
)
def test_a_reading_type_no_table_can_hold_is_refused(tmp_path: Path, old: str, new: str) -> None:
    table, refusals = read(feed(tmp_path).replace(old, new).encode())
    assert (table.num_rows, [each.code for each in refusals.told]) == (0, ["type"])


@pytest.mark.parametrize(
    ("old", "new"), [("<uom>72<", "<uom>38<"), ("<accumulationBehaviour>4<", "<accumulationBehaviour>3<")]
)
def test_blocks_of_something_else_are_passed_over_and_counted(tmp_path: Path, old: str, new: str) -> None:
    table, refusals = read(feed(tmp_path).replace(old, new).encode())
    assert (table.num_rows, refusals.count, sum(refusals.passed_over.values())) == (0, 0, 1)


@pytest.mark.parametrize("word", ["rollover", "spike", "split", "substitute", "missing"])
def test_what_green_button_cannot_carry_is_refused_by_name(tmp_path: Path, word: str) -> None:
    energy = "" if word == "missing" else "1"
    with pytest.raises(FormatError, match=word):
        feed(tmp_path, f"P1,2026-10-07T00:00,{energy},{word}\n")
