# SPDX-License-Identifier: Apache-2.0
"""What the script `dev` and the test run itself promise."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
DEV = ROOT / "dev"
MINIMAL = {"PATH": "/usr/bin:/bin", "LANG": "C"}

in_its_environment = pytest.mark.skipif(
    Path(sys.prefix).resolve() != (ROOT / ".venv").resolve(), reason="runs in the environment that ./dev makes"
)


def run(*arguments: str, cwd: Path, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEV, *arguments],
        cwd=cwd,
        input=stdin,
        env={**MINIMAL, "HOME": str(cwd), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("script", "shell"), [("dev", "sh"), ("dev", "dash"), ("dev", "bash"), (".ci/run", "bash")])
def test_a_script_parses_under_its_shells(script: str, shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    subprocess.run([found, "-n", ROOT / script], check=True)


def test_alone_it_lists_its_commands_and_does_nothing(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr == ""
    for command in ("test", "check", "docs", "ci", "koma", "python"):
        assert f"\n  {command} " in done.stdout


def test_an_unknown_command_is_a_usage_error_with_nothing_on_standard_output(tmp_path: Path) -> None:
    done = run("no-such-command", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no-such-command" in done.stderr


@in_its_environment
def test_python_keeps_stdin_folder_environment_and_exit_status(tmp_path: Path) -> None:
    script = "import os, sys; print(os.getcwd(), sys.stdin.read(), os.environ['A'], *sys.argv[1:]); sys.exit(7)"
    done = run("python", "-c", script, "x y", "*", cwd=tmp_path, stdin="over the pipe", A="b c")
    assert done.stdout == f"{tmp_path.resolve()} over the pipe b c x y *\n"
    assert done.returncode == 7


@in_its_environment
def test_koma_answers_on_standard_output_alone(tmp_path: Path) -> None:
    done = run("koma", "--version", cwd=tmp_path)
    assert done.stdout.startswith("koma ")
    assert done.stdout.count("\n") == 1
    assert run("koma", "no-such-command", cwd=tmp_path).returncode == 2


TESTS = """
def test_needs_a_program(program):
    program("no-such-program", "no-such-package")

def test_settings_of_the_shell_are_gone():
    import os
    assert "KOMA_WORKERS" not in os.environ
"""


def pytest_of(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the tests above with the project's own rules."""
    (folder / "test_planted.py").write_text(TESTS)
    rules = ["-c", str(ROOT / "pyproject.toml"), "-p", "tests.conftest"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *rules, str(folder / "test_planted.py")],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_ends_with_the_programs_that_were_missing_and_how_to_get_them(tmp_path: Path) -> None:
    done = pytest_of(tmp_path, KOMA_WORKERS="7")
    assert done.returncode == 0, done.stdout
    assert "1 skipped: needs the program no-such-program: apt-get install no-such-package" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def test_in_continuous_integration_a_missing_program_is_a_failure(tmp_path: Path) -> None:
    done = pytest_of(tmp_path, KOMA_CI="1")
    assert done.returncode == 1
    assert "1 error" in done.stdout or "1 failed" in done.stdout
    assert "needs the program no-such-program" in done.stdout
