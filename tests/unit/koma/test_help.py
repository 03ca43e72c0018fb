# SPDX-License-Identifier: Apache-2.0
"""Help reads well at any width: no type names of the language, nothing cut, examples that can be copied."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.main import get_command

from koma.cli import commands
from koma.help import example, help_text, usage

KOMA = Path(sys.executable).with_name("koma")

app = typer.Typer(add_completion=False)


@app.command(epilog='Example: koma try out --by "duty desk" --why "put right"')
def attempt(
    out: Path,
    *,
    count: Annotated[int, typer.Option(min=1, max=9, help="How many.")] = 3,
    names: Annotated[list[str], typer.Option("--name", metavar="NAME", help="Who.")],
    shuffle: Annotated[bool, typer.Option(help="In random order.")] = True,
    share: Annotated[float, typer.Option(help="How much.", rich_help_panel="What goes wrong")] = 0.5,
    hushed: Annotated[bool, typer.Option("--hushed", hidden=True)] = False,
) -> None:
    """Try it.

    Text of a second
    paragraph.
    """


TEXT = """\
Usage: koma try [OPTIONS] OUT

Try it.

Text of a second paragraph.

Arguments:
  OUT  [required]

Options:
  --count NUMBER           How many. [1 to 9, default: 3]
  --name NAME              Who. [required]
  --shuffle, --no-shuffle  In random order. [default: --shuffle]
  --help                   Print this text.

What goes wrong:
  --share NUMBER  How much. [default: 0.5]

Example: koma try out --by "duty desk" --why "put right"
"""


def all_commands() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []

    def walk(path: str, command: Any) -> None:
        found.append((path, command))
        for name, each in getattr(command, "commands", {}).items():
            walk(f"{path} {name}", each)

    for name, entry in commands().items():
        walk(f"koma {name}", get_command(entry.load()))
    return found


def test_a_help_says_what_each_parameter_takes_and_what_holds_without_it() -> None:
    assert help_text(get_command(app), "koma try", 80) == TEXT


def test_a_command_is_called_with_what_must_be_given_first() -> None:
    assert usage(get_command(app), "koma try") == "Usage: koma try [OPTIONS] OUT"


@pytest.mark.parametrize("width", [60, 80])
def test_the_help_of_every_command_fits_and_names_no_type_of_the_language(width: int) -> None:
    for path, command in all_commands():
        text = help_text(command, path, width)
        assert "<" not in text, path
        assert [line for line in text.splitlines() if len(line) > width] == [], path


@pytest.mark.parametrize("width", [40, 60])
def test_a_long_example_is_the_same_command_when_copied(width: int) -> None:
    line = "koma try out --by 'duty desk' --why 'the clock was put right' --shuffle | koma decode --hex"
    shown = example(line, width)
    assert max(len(each) for each in shown.splitlines()) <= width
    assert shlex.split(shown.removeprefix("Example:").replace("\\\n", " ")) == shlex.split(line)


def test_help_and_usage_errors_of_the_installed_command_are_plain() -> None:
    environment = {**os.environ, "COLUMNS": "60"}
    asked: list[list[str | Path]] = [[KOMA, "pipeline", "run", "--help"], [KOMA, "master", "import"]]
    shown, wrong = (
        subprocess.run(each, env=environment, capture_output=True, text=True, check=False) for each in asked
    )
    assert (shown.returncode, wrong.returncode) == (0, 2)
    assert shown.stdout.startswith("Usage: koma pipeline run [OPTIONS]\n")
    assert "Usage: koma master import [OPTIONS] DIR" in wrong.stderr


def test_the_list_of_commands_fits_80_columns() -> None:
    done = subprocess.run([KOMA, "--help"], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
