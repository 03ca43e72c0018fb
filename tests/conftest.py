# SPDX-License-Identifier: Apache-2.0
"""What every test may lean on: a clean environment, real data if there is any, system programs, search depth.

Nothing stands in for a real part: a test that needs a program the machine lacks is skipped with the way to get it, and
under `KOMA_CI` fails instead.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from koma.settings import setting_fields, variable

NEEDS_PROGRAM = "needs the program "
DEEP = os.environ.get("KOMA_DEEP") == "1"
CI = os.environ.get("KOMA_CI") == "1"

settings.register_profile(
    "koma",
    deadline=None,  # the machine may be busy: time is no property
    max_examples=1000 if DEEP else 60,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("koma")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the caller's shell decide nothing in a test."""
    for each in setting_fields():
        monkeypatch.delenv(variable(each.name), raising=False)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data, named by `KOMA_REAL_DATA`; the test is skipped without."""
    folder = os.environ.get("KOMA_REAL_DATA", "")
    if not folder:
        pytest.skip("needs real data: set KOMA_REAL_DATA to its folder")
    if not Path(folder).is_dir():
        pytest.fail(f"KOMA_REAL_DATA={folder} is no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """Return the finder of system programs: `program("nginx")` is its path, or the test is skipped."""

    def find(name: str, package: str = "") -> Path:
        found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if found is None:
            (pytest.fail if CI else pytest.skip)(f"{NEEDS_PROGRAM}{name}: apt-get install {package or name}")
        return Path(found)

    return find


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave what takes minutes to `./dev test --deep`."""
    if DEEP:
        return
    skip = pytest.mark.skip(reason="takes minutes: ./dev test --deep")
    for item in items:
        if item.get_closest_marker("deep"):
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the programs whose absence cost tests, and how to get them."""
    lost: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if NEEDS_PROGRAM in reason:
            need = reason[reason.index(NEEDS_PROGRAM) :]
            lost[need] = lost.get(need, 0) + 1
    if lost:
        terminalreporter.section("skipped for a missing program")
        for need, count in sorted(lost.items()):
            terminalreporter.line(f"{count} skipped: {need}")
