# SPDX-License-Identifier: Apache-2.0
"""The replay clock: hand-over files go into landing in the order of their names, one half-hour of arrival at a time.

After each the pipeline does what `koma pipeline run --once --clock received` does; its now is the latest arrival it has
seen. It runs in this process, so that Beam and the kernels load once and not at every step.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from koma.settings import Settings
from pipeline.home import Home, open_home
from pipeline.run import run_once


@dataclass(frozen=True, slots=True)
class Step:
    """One half-hour of the replay.

    Attributes:
        handed_over: number of files.
        summary: the run's closing line.
    """

    handed_over: int
    summary: dict[str, Any]

    @property
    def clock(self) -> str:
        """Time of day on the replay clock."""
        return str(self.summary["clock"])[11:16]

    def seconds(self, stage: str) -> float:
        """Return how long a stage of the run took."""
        return float(self.summary["seconds"].get(stage, 0.0))


def hand_overs(landing: Path) -> list[list[Path]]:
    """Return the hand-over files by half-hour of arrival, the first hour in one: no slot has ended before.

    Each ends at :15 or :45, so what comes too late for an issue goes out at the very next instant of the grid, which is
    where a run looks for it.
    """
    groups: list[list[Path]] = [[]]
    for clock, files in groupby(sorted(landing.iterdir()), key=_clock_of):
        groups[-1] += files
        if clock[-2:] in {"15", "45"}:
            groups.append([])
    first, *others = [group for group in groups if group]
    return [first + others[0], *others[1:]] if others else [first]


def _clock_of(file: Path) -> str:
    return file.name.split("-")[1]


def replay(settings: Settings, landing: Path) -> Iterator[Step]:
    """Hand over half-hour after half-hour and yield what each run came to."""
    home = open_home(settings.home)
    for files in hand_overs(landing):
        _hand_over(home, files)
        yield Step(len(files), run_once(home, settings).summary())


def _hand_over(home: Home, files: list[Path]) -> None:
    """Put files into landing as the contract wants it: under a dotted name, then renamed."""
    for file in files:
        dotted = home.landing / f".{file.name}"
        shutil.copyfile(file, dotted)
        dotted.rename(home.landing / file.name)
