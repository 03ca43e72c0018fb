# SPDX-License-Identifier: Apache-2.0
"""The help of a command as plain text, in the width of the terminal and the manner of `koma --help`.

Examples are never cut inside a word: a long one goes on after a backslash, so that it can be copied as it stands.
"""

import re
import shutil
import textwrap
from collections.abc import Iterator
from typing import Any

WIDTH_MIN = 40
WIDTH_MAX = 100
NAMES_MAX = 30
"""Widest column of option names; the words of a longer one start on the next line."""

_PARAGRAPH = re.compile(r"\n\s*\n")
_WORD = re.compile(r"(?:\"[^\"]*\"|'[^']*'|\S)+")
_BRACKETS = re.compile(r"\[[^\]]*\]$")
_TIE = "\0"
"""Stands for a blank at which no line ends."""
_KINDS = {"int": "NUMBER", "float": "NUMBER", "Path": "PATH"}


def speak_plainly(command: Any) -> None:
    """Let a command of typer, and all below it, print this help instead of typer's own."""

    def write(ctx: Any, formatter: Any) -> None:
        formatter.write(help_text(command, ctx.command_path, terminal_width()))

    command.format_help = write
    command.get_usage = lambda ctx: usage(command, ctx.command_path)
    for each in getattr(command, "commands", {}).values():
        speak_plainly(each)


def terminal_width() -> int:
    """Return the columns to fill: those of the terminal (or COLUMNS), within what reads well."""
    return max(WIDTH_MIN, min(WIDTH_MAX, shutil.get_terminal_size().columns))


def help_text(command: Any, path: str, width: int) -> str:
    """Return the help of a command.

    Args:
        command: as typer makes it.
        path: how it is called, such as `koma master import`.
        width: columns that no line exceeds, unless a single word does.

    """
    paragraphs = [
        each for text in (command.help, command.epilog) if text for each in _PARAGRAPH.split(text.strip()) if each
    ]
    examples = [each.removeprefix("Example:").strip() for each in paragraphs if each.startswith("Example:")]
    blocks = [_fill(usage(command, path), width, " " * 7)]
    blocks += [_fill(each, width) for each in paragraphs if not each.startswith("Example:")]
    blocks += [f"{title}:\n{_rows(rows, width)}" for title, rows in _sections(command).items()]
    blocks += [example(each, width) for each in examples]
    return "\n\n".join(blocks) + "\n"


def usage(command: Any, path: str) -> str:
    """Return the line that says how a command is called."""
    arguments = [each for each in command.params if each.param_type_name == "argument" and not each.hidden]
    if getattr(command, "commands", None):
        return f"Usage: {path} COMMAND [ARGS]..."
    words = [name_of(each) if each.required else f"[{name_of(each)}]" for each in arguments]
    return " ".join([f"Usage: {path} [OPTIONS]", *words])


def example(line: str, width: int) -> str:
    """Return an example as it can be copied: on one line, or on several that end in a backslash."""
    whole = f"Example: {' '.join(line.split())}"
    if len(whole) <= width:
        return whole
    lines, current = [], "Example:"
    for unit in _units(line):
        if len(current) + len(unit) + 3 > width and current.strip() not in {"", "Example:"}:
            lines.append(f"{current} \\")
            current = "   "
        current += f" {unit}"
    return "\n".join([*lines, current])


def _units(line: str) -> Iterator[str]:
    """Words of a command line; an option and its value stay together."""
    words = _WORD.findall(line)
    at = 0
    while at < len(words):
        valued = words[at].startswith("--") and at + 1 < len(words) and not words[at + 1].startswith(("-", "|"))
        yield " ".join(words[at : at + 1 + valued])
        at += 1 + valued


def _fill(text: str, width: int, indent: str = "", first: str = "") -> str:
    wrapper = textwrap.TextWrapper(
        width, initial_indent=first, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return (wrapper.fill(" ".join(text.split())) or first).replace(_TIE, " ")


def _sections(command: Any) -> dict[str, list[tuple[str, str]]]:
    """Rows of names and words by section: sub-commands, arguments, options, and the panels of options."""
    sections: dict[str, list[tuple[str, str]]] = {"Commands": [], "Arguments": [], "Options": []}
    for name, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            sections["Commands"].append((name, _PARAGRAPH.split((each.help or "").strip())[0]))
    for each in command.params:
        if each.hidden:
            continue
        row = (name_of(each), _BRACKETS.sub(lambda found: found[0].replace(" ", _TIE), words_of(each)))
        if each.param_type_name == "argument":
            sections["Arguments"].append(row)
        else:
            sections.setdefault(getattr(each, "rich_help_panel", None) or "Options", []).append(row)
    sections["Options"].append(("--help", "Print this text."))
    return {title: rows for title, rows in sections.items() if rows}


def name_of(parameter: Any) -> str:
    """Return the names of an option and what its value is (a switch has none), or what an argument is called."""
    if parameter.param_type_name == "argument":
        name: str = parameter.metavar or parameter.name.upper()
        return name if parameter.nargs == 1 or name.endswith("...") else f"{name}..."
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    if parameter.is_flag:
        return names
    annotation = parameter.type_descriptor.annotation
    return f"{names} {parameter.metavar or _KINDS.get(getattr(annotation, '__name__', ''), 'TEXT')}"


def words_of(parameter: Any) -> str:
    """Return the help of a parameter, with its range, its default and whether it must be given in brackets."""
    notes = []
    lowest, highest = getattr(parameter, "min", None), getattr(parameter, "max", None)
    if lowest is not None and highest is not None:
        notes.append(f"{lowest} to {highest}")
    if parameter.required:
        notes.append("required")
    elif isinstance(parameter.show_default, str):
        notes.append(f"default: {parameter.show_default}")
    elif parameter.secondary_opts:
        notes.append(f"default: {(parameter.opts if parameter.default else parameter.secondary_opts)[0]}")
    elif parameter.default not in (None, "", False) and not callable(parameter.default):
        notes.append(f"default: {parameter.default}")
    text = parameter.help or ""
    return f"{text} [{', '.join(notes)}]" if notes else text


def _rows(rows: list[tuple[str, str]], width: int) -> str:
    names = max((len(name) for name, _ in rows if len(name) <= NAMES_MAX), default=0)
    indent = " " * (names + 4)
    lines = []
    for name, text in rows:
        first = f"  {name:<{names}}  "
        if len(name) > names:
            lines.append(f"  {name}")
            first = indent
        lines.append(_fill(text, max(width, len(indent) + 20), indent, first))
    return "\n".join(line.rstrip() for line in lines)
