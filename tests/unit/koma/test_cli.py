# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

import pytest

from koma import cli

KOMA = Path(sys.executable).with_name("koma")
HEAVY = {"apache_beam", "fastapi", "holidays", "numba", "numpy", "pyarrow", "rich", "typer"}

APP = '''# SPDX-License-Identifier: Apache-2.0
"""Stand in for a command."""

import errno

import typer

from koma.errors import HomeError

app = typer.Typer()


@app.command()
def run(json: bool = typer.Option(False, "--json"), what: str = "fail") -> None:
    """Fail as told."""
    if what == "fail":
        raise HomeError("no home", hint="make one")
    if what == "break":
        raise KeyboardInterrupt
    if what == "bug":
        raise ZeroDivisionError
    if what == "shut":
        raise PermissionError(errno.EACCES, "Permission denied", "/srv/koma/home.json")
    if what == "gone":
        raise OSError(errno.ENOTTY, "Not a typewriter", "/srv/koma/gone")
    typer.echo("done")
'''


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EntryPoint:
    """Return a command of a module that was not there before, and let `koma` know it as `try`."""
    name = f"commands_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(APP)
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("try", f"{name}:app", cli.GROUP)
    monkeypatch.setattr(cli, "entry_points", lambda **_: [entry])
    return entry


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    return int(left.value.code or 0)


def test_help_lists_every_announced_command_with_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    text = capsys.readouterr().out
    for name, command in cli.commands().items():
        summary = cli.summary(command)
        assert summary, name
        assert f"  {name}" in text
        assert summary in text
    assert "Example:" in text


def test_every_announced_command_has_a_module() -> None:
    assert set(cli.commands()) == {each.name for each in entry_points(group=cli.GROUP)}


def test_help_loads_no_library_that_computes_or_draws() -> None:
    script = (
        "import sys\nfrom koma.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert HEAVY & set(done.stderr.split()) == set()
    assert "argparse" not in done.stderr.split()


def test_the_installed_command_runs_in_an_empty_environment() -> None:
    done = subprocess.run([KOMA, "--version"], env={}, capture_output=True, text=True, check=True)
    assert done.stdout == f"koma {version('koma')}\n"
    assert done.stderr == ""


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "POSIX"])
def test_help_prints_under_any_locale(locale: str) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": locale}
    done = subprocess.run([KOMA, "--help"], env=environment, capture_output=True, check=True)
    assert b"Usage: koma" in done.stdout


def test_without_a_command_help_goes_to_standard_error_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Usage: koma" in captured.err


def test_a_misspelt_command_is_answered_with_the_near_one(
    command: EntryPoint, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tyr") == 2
    assert f"Did you mean {command.name}?" in capsys.readouterr().err


def test_listing_commands_does_not_load_them(command: EntryPoint, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "Stand in for a command" in capsys.readouterr().out
    assert command.module not in sys.modules


def test_a_command_whose_module_is_missing_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = [EntryPoint("a", "no_such_package.no:app", cli.GROUP), EntryPoint("b", "koma.no_such:app", cli.GROUP)]
    monkeypatch.setattr(cli, "entry_points", lambda **_: gone)
    assert cli.commands() == {}


@pytest.mark.usefixtures("command")
def test_a_known_error_becomes_words_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("try") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "koma: home.invalid: no home\n  make one\n"


@pytest.mark.usefixtures("command")
def test_a_known_error_under_json_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("try", "--json") == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"error": {"code": "home.invalid", "message": "no home", "hint": "make one"}}


@pytest.mark.usefixtures("command")
def test_usage_errors_have_status_2_and_success_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("try", "--no-such-option") == 2
    assert run("try", "--what", "work") == 0
    assert capsys.readouterr().out == "done\n"


@pytest.mark.usefixtures("command")
def test_an_interrupt_ends_quietly_and_a_fault_of_ours_keeps_its_trace() -> None:
    assert run("try", "--what", "break") == 130
    with pytest.raises(ZeroDivisionError):
        cli.main(["try", "--what", "bug"])


@pytest.mark.parametrize(("given", "held"), [(0o022, 0o027), (0o077, 0o077), (0o000, 0o027)])
def test_what_a_command_writes_is_shut_to_all_but_owner_and_group(given: int, held: int) -> None:
    script = (
        "import os\nfrom koma.cli import main\ntry: main(['--version'])\nexcept SystemExit: print(oct(os.umask(0)))"
    )
    done = subprocess.run([sys.executable, "-c", script], umask=given, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == oct(held)


@pytest.mark.usefixtures("command")
def test_a_variable_that_is_no_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOMA_COFFEE", "strong")
    run("try", "--what", "work")
    assert capsys.readouterr().err == "koma: KOMA_COFFEE is no setting and changes nothing\n"


@pytest.mark.usefixtures("command")
def test_a_file_that_is_shut_to_the_user_is_named_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("try", "--what", "shut") == 1
    said = capsys.readouterr().err
    assert said.startswith("koma: koma.failed: /srv/koma/home.json: Permission denied\n  Look at its owner and rights")
    with pytest.raises(OSError, match="typewriter"):
        cli.main(["try", "--what", "gone"])
