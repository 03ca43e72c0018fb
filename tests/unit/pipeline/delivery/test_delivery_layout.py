# SPDX-License-Identifier: Apache-2.0
"""The file of tags: what an operator may correct, and what is refused."""

import zipfile
from pathlib import Path

import pytest

from koma.errors import DeliveryError
from pipeline.delivery import write_delivery
from pipeline.delivery.layout import TAGS_PATH, read_layout
from tests.unit.pipeline.delivery.rows import Wanted, delivery, point


def corrected(tmp_path: Path, *changes: tuple[str, str]) -> Path:
    text = TAGS_PATH.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "tags.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_operator_can_rename_reorder_add_and_fill_in(tmp_path: Path) -> None:
    energy = '{ tag = "JP06125", value = "energy_kwh", length = 20 }'
    extra = '{ tag = "JP06121", text = "A&B' + "-long" * 20 + '", length = 120 }'
    path = corrected(
        tmp_path,
        ('sender_code = "00000"', 'sender_code = "90003"'),
        ('{ tag = "JPC03", value = "sender_code", length = 12 },', ""),
        (energy, f'{extra}, {{ tag = "JP06123", value = "energy_kwh", length = 20 }}'),
        ('{ tag = "JP06400", value = "point_id", length = 22 },', ""),
        ('{ tag = "JP06122"', '{ tag = "POINT", value = "point_id", length = 22 }, { tag = "JP06122"'),
    )
    rows = [Wanted(point(1), 12_000, "ref"), Wanted(point(2), None)]
    entry = write_delivery(delivery(rows), tmp_path, layout=read_layout(path))
    with zipfile.ZipFile(tmp_path / "12345" / "20260822" / entry.file) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    assert "<JPMGH><JPC06>12345</JPC06>" in text
    assert "<JP06110>90003</JP06110>" in text
    constant = "<JP06121>A&amp;B" + "-long" * 20 + "</JP06121>"
    assert (
        f"<JPMR00010><JP06119>ref</JP06119><POINT>{point(1)}</POINT><JP06122>0</JP06122>{constant}"
        f"<JP06123>1.2</JP06123></JPMR00010>"
        f"<JPMR00010><POINT>{point(2)}</POINT><JP06122>1</JP06122>{constant}</JPMR00010>"
    ) in text


def test_an_empty_sender_leaves_its_elements_out(tmp_path: Path) -> None:
    layout = read_layout(corrected(tmp_path, ('sender_code = "00000"', 'sender_code = ""')))
    opening = layout.opening(delivery([Wanted(point(1))])).decode()
    assert "JPC03" not in opening
    assert "JP06110" not in opening
    assert "<JP06112>12345</JP06112>" in opening


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('tag = "JPTRM"', 'tag = "JP TRM"', "no tag"),
        ('value = "energy_kwh"', 'value = "energy"', "JP06125"),
        ('value = "point_id"', 'value = "date"', "JP06400"),
        ('value = "point_id", ', "", "JP06400"),
        ("length = 22", 'length = "many"', "many"),
        ("[points]", "[rows]", "points"),
        ("[points]", "[points", "tags.toml"),
        ('root = ["SBD-MSG", "JPMGRP"]', "root = 3", "tags.toml"),
    ],
)
def test_a_file_of_tags_that_makes_no_sense_is_refused(old: str, new: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=reason):
        read_layout(corrected(tmp_path, (old, new)))


def test_a_missing_file_of_tags_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"nowhere\.toml"):
        read_layout(tmp_path / "nowhere.toml")


def test_a_value_longer_than_its_element_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="JP06110 holds at most 5"):
        read_layout(corrected(tmp_path, ('sender_code = "00000"', 'sender_code = "1234567890"')))
    with pytest.raises(DeliveryError, match="JP06116 holds at most 6"):
        read_layout(corrected(tmp_path, ('value = "date", length = 8', 'value = "date", length = 6')))


def test_braces_in_a_constant_are_nothing_special(tmp_path: Path) -> None:
    added = '{ tag = "JPC09", text = "{date}", length = 12 }, { tag = "JPC12"'
    layout = read_layout(corrected(tmp_path, ('{ tag = "JPC12"', added)))
    assert b"<JPC09>{date}</JPC09>" in layout.opening(delivery([Wanted(point(1))]))
