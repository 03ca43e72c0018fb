# SPDX-License-Identifier: Apache-2.0
"""Switching one guard off: a scenario that does not notice shows nothing.

A story plays a scenario in a folder and gives, line by line, what is wrong; an empty text is right. A guard names the
function that keeps a line true and what stands in its place when it is off.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

Story = Callable[[Path], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Guard:
    """A function by its dotted name, what it does when it is off, and the line of the story that it keeps true."""

    function: str
    off: Callable[..., Any]
    keeps: str


def hold(story: Story, folder: Path) -> None:
    """Play a story: every line has to be right."""
    found = story(folder)
    assert found == dict.fromkeys(found, "")


def break_without(guard: Guard, story: Story, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Play a story without one of its guards: the guard's line has to be wrong."""
    monkeypatch.setattr(guard.function, guard.off)
    found = story(folder)
    assert found[guard.keeps], f"without {guard.function}, {guard.keeps!r} still holds"


def differing(found: object, wanted: object) -> str:
    """Say how two things differ, or nothing."""
    return "" if found == wanted else f"{found}, not {wanted}"
