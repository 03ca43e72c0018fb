# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/reference, made from the code: `python -m koma.reference` writes them, a test compares them."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from koma.cli import commands
from koma.help import name_of, words_of
from koma.settings import FILE_NAME, setting_fields, variable

FOLDER = Path(__file__).parent.parent / "docs" / "reference"
_MADE = "<!-- Made from the code by `./dev docs`; edit the code instead. -->\n"
_COMMANDS_HEAD = """\
Every command takes `--help` and `--json`. Results go to standard output, tables, notes and progress to standard error.
Exit status: 0 ok, 1 failed, 2 usage.
"""
_SETTINGS_HEAD = f"""\
Each setting is an environment variable, or the same name in small letters and without `KOMA_` in `{FILE_NAME}` in the
working directory; the variable wins, and a command's own option wins over both. A value out of range stops the command
with `setting.invalid`. So does a misspelt name: one in `{FILE_NAME}` that is no setting, or a variable `KOMA_...` that
is nearly one. A variable `KOMA_...` that is like no setting is named on standard error and changes nothing.
"""
_PARAGRAPH = re.compile(r"\n\s*\n")


@dataclass(frozen=True, slots=True)
class CommandPage:
    """One command that does something, as its `--help` tells it."""

    path: str
    text: str
    examples: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]


def command_pages() -> list[CommandPage]:
    """Every command of the `koma` command, loaded, in the order of its names."""
    from typer.main import get_command  # noqa: PLC0415  settings need no command line

    return [page for name, command in commands().items() for page in _walk(f"koma {name}", get_command(command.load()))]


def _walk(path: str, command: Any) -> Iterator[CommandPage]:
    children: dict[str, Any] = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        text = inspect.cleandoc("\n\n".join(part for part in (command.help, command.epilog) if part)).replace(
            "\b\n", ""
        )
        yield CommandPage(path, text, _examples(path, text), tuple(_parameters(command)))
    for name in sorted(children):
        if not children[name].hidden:
            yield from _walk(f"{path} {name}", children[name])


def _examples(path: str, text: str) -> tuple[str, ...]:
    """Lines that call the command at `path`, after a prompt or `Example:`, with all that is piped into it."""
    line = rf"(?:Example:|\$|^)[ \t]*((?:\w+=\S+ |\S.*\| )*{re.escape(path)}\b.*)$"
    return tuple(re.findall(line, text, re.MULTILINE))


def _parameters(command: Any) -> Iterator[tuple[str, str]]:
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        yield name_of(parameter), words_of(parameter)


def commands_page() -> str:
    """Return the text of docs/reference/commands.md."""
    parts = [
        _MADE,
        "# Commands\n",
        _COMMANDS_HEAD,
    ]
    for page in command_pages():
        parts.append(f"## {page.path}\n")
        parts.extend(
            f"{' '.join(part.split())}\n" for part in _PARAGRAPH.split(_without_examples(page)) if part.strip()
        )
        if page.examples:
            parts.append("```console\n" + "".join(f"$ {example}\n" for example in page.examples) + "```\n")
        if page.parameters:
            parts.append("".join(f"- `{name}`: {' '.join(text.split())}\n" for name, text in page.parameters))
    return "\n".join(parts)


def _without_examples(page: CommandPage) -> str:
    text = page.text
    for example in page.examples:
        text = re.sub(rf"(?:Examples?:\s*)?\$?\s*{re.escape(example)}", "", text)
    return text


def settings_page() -> str:
    """Return the text of docs/reference/settings.md."""
    lines = [
        _MADE,
        "# Settings\n",
        _SETTINGS_HEAD,
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for each in setting_fields():
        default = str(each.default or "")
        shown = f"`{default}`" if default else "empty"
        lines.append(f"| `{variable(each.name)}` | {shown} | {each.metadata['help']} |")
    return "\n".join(lines) + "\n"


def pages() -> dict[Path, str]:
    """Every page made from the code, by its file: our own, and those that packages announce under `koma.reference`."""
    made = {FOLDER / "settings.md": settings_page(), FOLDER / "commands.md": commands_page()}
    return made | {FOLDER / f"{each.name}.md": each.load()() for each in entry_points(group="koma.reference")}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, text in pages().items():
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
