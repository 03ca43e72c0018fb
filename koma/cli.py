# SPDX-License-Identifier: Apache-2.0
"""The `koma` command.

It knows no command itself: each package announces its own under the entry-point group `koma.commands`, and a module is
loaded only when its command is called, so that `koma --help` answers at once. Exit status: 0 ok, 1 failed, 2 usage.
"""

import ast
import errno
import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from pathlib import Path

from koma.errors import KomaError
from koma.output import fail, note

GROUP = "koma.commands"
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
SHUT_TO_OTHERS = 0o027
"""File mode bits that no command grants: what a home holds is customers' energy; group members may read, nobody else.
A stricter umask of the caller stays as it is."""

_OPERATORS = {
    errno.EACCES: "Look at its owner and rights: run as the user the home belongs to, or as a member of its group",
    errno.EPERM: "Look at its owner and rights: run as the user the home belongs to, or as a member of its group",
    errno.EROFS: "Nothing is lost: mount it for writing again (look at the disk first, a system makes a failing one "
    "read-only), or set KOMA_HOME to a folder that can be written; then run it again",
    errno.ENOSPC: "Nothing is lost: make room on its disk, then run it again",
    errno.EDQUOT: "Nothing is lost: raise the quota of its disk or make room, then run it again",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f), then run it again",
    errno.EIO: "Look at the disk, then run it again",
    errno.ENOENT: "Look at the name; of a file in the home: koma home check says what is gone, and what to do",
    errno.ENOTDIR: "Look at the name: a file stands where a folder should",
    errno.EISDIR: "Look at the name: a folder stands where a file should",
    errno.ENAMETOOLONG: "Give a shorter name",
    errno.ELOOP: "Look at the links on the way to it",
}
"""Failures of the system that an operator can mend, and how; all others keep their trace."""

_HEAD = """\
Usage: koma COMMAND [ARGS]...

Smart-meter registers in, 30-minute energy out to every retailer within the
hour.

Commands:
"""
_FOOT = """
Options:
  --version  Print the version.
  --help     Print this text, or that of a command.

Example: koma pipeline run --help
"""


def commands() -> dict[str, EntryPoint]:
    """Entry points by command name, in alphabetical order, of those whose module is there."""
    found = {each.name: each for each in entry_points(group=GROUP)}
    return {name: found[name] for name in sorted(found) if _source(found[name]) is not None}


def summary(command: EntryPoint) -> str:
    """First line of the docstring of a command's module, read without importing the module."""
    source = _source(command)
    if source is None:
        return ""
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0].rstrip(".")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit status."""
    os.umask(os.umask(SHUT_TO_OTHERS) | SHUT_TO_OTHERS)
    given = list(sys.argv[1:] if arguments is None else arguments)
    first = given[0] if given else ""
    if first in {"-h", "--help"}:
        sys.stdout.write(_help())
        raise SystemExit(0)
    if first == "--version":
        sys.stdout.write(f"koma {version('koma')}\n")
        raise SystemExit(0)
    known = commands()
    if first not in known:
        _refuse(first, known)
    _run(known[first], given[1:])


def _source(command: EntryPoint) -> Path | None:
    """File of a command's module; looking for it imports the packages around it, which hold a docstring only."""
    try:
        spec = find_spec(command.module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _help() -> str:
    known = commands()
    width = max((len(name) for name in known), default=0)
    lines = [f"  {name:<{width}}  {summary(command)}\n" for name, command in known.items()]
    return _HEAD + "".join(lines) + _FOOT


def _refuse(first: str, known: dict[str, EntryPoint]) -> None:
    if not first:
        sys.stderr.write(_help())
    else:
        near = get_close_matches(first, known, n=1)
        note(f"koma: no such command: {first}" + (f". Did you mean {near[0]}?" if near else ""))
        note("Try 'koma --help'.")
    raise SystemExit(EXIT_USAGE)


def _run(command: EntryPoint, arguments: list[str]) -> None:
    """Hand over to the command; its known errors become words and a status, unknown ones keep their trace."""
    from typer.main import get_command  # noqa: PLC0415  `koma --help` has no need of it

    from koma.help import speak_plainly  # noqa: PLC0415
    from koma.settings import unknown_variables  # noqa: PLC0415

    for name, near in unknown_variables().items():
        if not near:
            note(f"koma: {name} is no setting and changes nothing")
    try:
        loaded = get_command(command.load())
        speak_plainly(loaded)
        loaded.main(args=arguments, prog_name=f"koma {command.name}")
    except KomaError as error:
        fail(error, as_json="--json" in arguments)
    except OSError as error:
        if error.errno not in _OPERATORS:
            raise
        known = KomaError(f"{error.filename or 'a file'}: {error.strerror}", hint=_OPERATORS[error.errno])
        fail(known, as_json="--json" in arguments)
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
