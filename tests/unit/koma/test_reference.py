# SPDX-License-Identifier: Apache-2.0
import pytest

from koma import reference
from koma.settings import setting_fields, variable


def test_the_reference_pages_say_what_the_code_says() -> None:
    for file, text in reference.pages().items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name} is out of date: ./dev docs"


def test_every_setting_is_named_in_the_reference() -> None:
    page = (reference.FOLDER / "settings.md").read_text(encoding="utf-8")
    assert [each.name for each in setting_fields() if f"`{variable(each.name)}`" not in page] == []


def test_every_command_is_named_in_the_reference() -> None:
    page = (reference.FOLDER / "commands.md").read_text(encoding="utf-8")
    assert [each.path for each in reference.command_pages() if f"## {each.path}\n" not in page] == []


def test_every_command_has_an_example_in_its_help() -> None:
    assert [each.path for each in reference.command_pages() if not each.examples] == []


def test_every_command_takes_json() -> None:
    lacking = [
        each.path for each in reference.command_pages() if not any("--json" in name for name, _ in each.parameters)
    ]
    assert lacking == []


def test_every_option_says_what_it_does() -> None:
    silent = [
        (each.path, name)
        for each in reference.command_pages()
        for name, text in each.parameters
        if text[:1] in {"", "["}
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Do it.\n\nExample: koma try it --once", ("koma try it --once",)),
        ("Do it.\n\n$ koma try it\n$ cat f | koma try it -", ("koma try it", "cat f | koma try it -")),
        ("Example: KOMA_HOME=/x koma try it", ("KOMA_HOME=/x koma try it",)),
        ("Example: echo 00 | koma try it --hex", ("echo 00 | koma try it --hex",)),
        ("Do it with koma try it.", ()),
        ("Example: koma try item", ()),
    ],
)
def test_examples_are_found_in_a_help_text(text: str, found: tuple[str, ...]) -> None:
    assert reference._examples("koma try it", text) == found
