# SPDX-License-Identifier: Apache-2.0
"""Produced files against our schema, with other people's parsers."""

import random
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path
from xml.parsers import expat

import pytest
import xmlschema
from lxml import etree

from koma.slots import first_slot_of_day, slot_date
from pipeline.delivery import write_delivery
from pipeline.delivery.layout import SCHEMA_PATH
from pipeline.quality import QUALITIES
from tests.unit.pipeline.delivery.rows import SLOT, Wanted, delivery, point


def produced(tmp_path: Path, count: int = 300) -> list[bytes]:
    """Produce XML of a day's first, middle and last slot with rows of every kind."""
    chance = random.Random(20260822)  # noqa: S311  rows for a test
    refs = ["", "C-001", "a & b < c > d \"'", "需要者１２３", "x" * 30, "]]>"]
    first = first_slot_of_day(slot_date(SLOT))
    texts = []
    for slot in (first, SLOT, first + 47):
        rows = [
            Wanted(
                point(number),
                chance.choice([None, 0, 1, 12_000, chance.randrange(10**9)]),
                chance.choice(refs),
                chance.choice(QUALITIES),
            )
            for number in sorted(chance.sample(range(10**9), count))
        ]
        entry = write_delivery(delivery(rows, slot_id=slot), tmp_path)
        with zipfile.ZipFile(tmp_path / "12345" / entry.file[6:14] / entry.file) as archive:
            texts.append(archive.read(archive.namelist()[0]))
    return texts


def test_files_validate_with_xmlschema(tmp_path: Path) -> None:
    schema = xmlschema.XMLSchema10(SCHEMA_PATH)
    for text in produced(tmp_path):
        schema.validate(text.decode())


def test_files_validate_with_libxml2(tmp_path: Path) -> None:
    schema = etree.XMLSchema(etree.parse(SCHEMA_PATH))
    for text in produced(tmp_path):
        schema.assertValid(etree.fromstring(text))


def test_parsers_agree_on_every_row(tmp_path: Path) -> None:
    for text in produced(tmp_path):
        plain = [[(e.tag, e.text) for e in row] for row in ET.fromstring(text).iter("JPMR00010")]  # noqa: S314
        other = [[(e.tag, e.text) for e in row] for row in etree.fromstring(text).iter("JPMR00010")]
        assert plain == other
        seen: list[str] = []
        parser = expat.ParserCreate()
        parser.StartElementHandler = lambda tag, _attributes, seen=seen: seen.append(tag)
        parser.Parse(text, True)  # noqa: FBT003  the parser's own signature
        assert seen.count("JPMR00010") == len(plain) == 300


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<JP06116>20260822", b"<JP06116>20261322"),
        (b"<JP06219>34", b"<JP06219>49"),
        (b"<JP00002>1110", b"<JP00002>1120"),
        (b"<JP06122>0</JP06122>", b"<JP06122>2</JP06122>"),
        (b"<JP06125>1.2<", b"<JP06125>1.20<"),
        (b"<JP06125>1.2<", b"<JP06125>.2<"),
        (b"<JP06125>1.2<", b"<JP06125>1e2<"),
        (b"<JP06400>03", b"<JP06400>3"),
        (b"<JPMR00010>", b'<JPMR00010 xmlns="urn:x">'),
    ],
)
def test_schema_refuses_what_is_wrong(old: bytes, new: bytes, tmp_path: Path) -> None:
    schema = etree.XMLSchema(etree.parse(SCHEMA_PATH))
    text = produced(tmp_path)[1]
    assert old in text
    assert not schema.validate(etree.fromstring(text.replace(old, new, 1)))
