# SPDX-License-Identifier: Apache-2.0
import pytest

from gateway.names import PLAIN_PATH, parse_object, parse_slot
from koma.slots import slot_code

NAME = "W41110202608221630000001.zip"


def test_a_name_is_taken_apart_and_put_together_again() -> None:
    named = parse_object("10013", NAME)
    assert named is not None
    assert (named.day, named.revision, named.split, named.suffix) == ("20260822", 0, 1, "zip")
    assert slot_code(named.slot_id) == 34
    assert named.name == NAME
    assert named.place == f"10013/20260822/{NAME}"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("10013", NAME + "\n"),
        ("10013", NAME.lower()),
        ("10013", "/" + NAME),
        ("10013", "../" + NAME),
        ("10013", NAME.replace("1630", "1615")),
        ("10013", NAME.replace("1630", "2430")),
        ("10013", NAME.replace("20260822", "20260231")),
        ("10013", NAME.replace("0001.", "0000.")),
        ("10013", NAME.replace("zip", "exe")),
        ("10013", NAME.replace("2026", "２０２６")),
        ("10013", "manifest.jsonl"),
        ("1001", NAME),
        ("..", NAME),
        ("１００１３", NAME),
    ],
)
def test_what_no_delivery_could_be_called_is_no_name(code: str, name: str) -> None:
    assert parse_object(code, name) is None


@pytest.mark.parametrize(
    ("day", "code"), [("20260822", "00"), ("20260822", "49"), ("20260822", "1"), ("20261301", "01")]
)
def test_slots_that_are_none(day: str, code: str) -> None:
    assert parse_slot(day, code) is None


@pytest.mark.parametrize("path", [b"/", b"/v1/files/10013/" + NAME.encode(), b"/a/"])
def test_plain_paths(path: bytes) -> None:
    assert PLAIN_PATH.fullmatch(path)


@pytest.mark.parametrize(
    "path", [b"", b"//", b"/a//b", b"/a%2e", b"/a;b", b"/a\\b", b"/a\x00", b"/\xe3\x81", b"a", b"/a b"]
)
def test_paths_that_are_not_plain(path: bytes) -> None:
    assert not PLAIN_PATH.fullmatch(path)


@pytest.mark.parametrize(
    ("name", "product", "split"),
    [
        ("W41120202608220000010002.zip", "W41120", 2),
        ("W41120202608220000990001.parquet", "W41120", 1),
        ("W51220202608220112345.zip", "W51220", 12_345),
    ],
)
def test_names_of_days_and_months_are_taken_apart_and_put_together_again(name: str, product: str, split: int) -> None:
    named = parse_object("10013", name)
    assert named is not None
    assert (named.product.name, named.day, named.split) == (product, "20260822", split)
    assert slot_code(named.slot_id) == 1
    assert (named.name, named.place) == (name, f"10013/20260822/{name}")


@pytest.mark.parametrize(
    "name",
    [
        "W41120202608220030000001.zip",
        "W41120202608220000000000.zip",
        "W411202026082200000000001.zip",
        "W4112020260822000000001.zip",
        "W41120202602310000000001.zip",
        "W5122020260822000001.zip",
        "W512202026082200000001.zip",
        "W51220202608220000000.zip",
        "W51320202608220000001.zip",
        "W41110202608220000000001",
        "W41121202608220000000001.zip",
        "w41120202608220000000001.zip",
        "manifest-W41120.jsonl",
        "W41120",
        "",
    ],
)
def test_what_no_day_or_month_could_be_called_is_no_name(name: str) -> None:
    assert parse_object("10013", name) is None
