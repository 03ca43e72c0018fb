# SPDX-License-Identifier: Apache-2.0
"""A watch that lives for days: a simulated head-end, the manual clock, and every cell held against the truth.

The watch is a process of its own, `koma pipeline run --watch`, as an operator would start it. The clock is moved turn
by turn with `pipeline.manual.set_clock`, what `koma clock set` calls; before each turn the hand-over files land that
had been cut by then. A day is looked at when the next one is over: its last late read has come, nothing of it changes
any more. It is forgotten soon afterwards, so that a home in balance stays as large as it is. Everything is counted by
columns, a slot at a time.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from koma.settings import Settings, variable
from koma.slots import parse_jst
from pipeline.home import Home, open_home
from pipeline.manual import manual_clock, set_clock
from pipeline.master import import_master
from pipeline.simulate import Options, simulate
from tests.homes import HOUR_MS, MINUTE_MS, SLOT_MS, iso
from tests.soaked import Area, MonthlyFiles, looked_at

START_MS: Final = parse_jst("2026-10-19T00:00")
"""A Monday: meters read on Tuesday have their monthly file on the fourth business day after, in the tail of a week."""
DAY_MS: Final = 24 * HOUR_MS
TAIL_MS: Final = 9 * HOUR_MS
"""After the last day: its late reads arrive for six hours, its daily file comes at 06:15, its revisions until 08:45."""
PATIENCE_S: Final = 1800.0
KEEP: Final = {"keep_handovers_days": "1", "deliveries_days": "2"}
"""Short, so that the home has forgotten something before the soak is over."""
WARM_DAYS: Final = 1
"""Not counted when growth is judged: modules, kernels and the first files of everything."""
MEMORY_SHARE, MEMORY_BYTES = 0.02, 4 << 20
"""Growth a day that is still flat: this share of the memory, or so many bytes."""
HANDLES: Final = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how many, how often."""

    days: int = 7
    points: int = 100_000
    turn_minutes: int = 5
    seed: int = 1
    workers: int = 2

    def options(self) -> Options:
        """Return the simulation: losses, late reads, duplicates, exchanges and switches as they come."""
        return Options(
            points=self.points,
            slots=48 * self.days,
            seed=self.seed,
            start_ms=START_MS,
            retailers=min(530, 5 + self.points // 20_000),
            truth="cells",
            master_format="parquet",
            names=False,
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """The watch and its home at the end of a simulated day."""

    memory_bytes: int
    anonymous_bytes: int
    open_files: int
    home_bytes: int
    home_files: int
    journal_bytes: int
    register_files: int


@dataclass(slots=True)
class Soak:
    """What was seen, day by day, and what is wrong."""

    plan: Plan
    home: Home
    area: Area
    days: list[Sample] = field(default_factory=list)
    turns_s: dict[int, list[float]] = field(default_factory=dict)  # by slot since the start
    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def slot_s(self, day: int) -> list[float]:
        """Return how long the turns of each slot of a day took, from setting the clock until all was done."""
        return [sum(self.turns_s[slot]) for slot in range(48 * day, 48 * day + 48) if slot in self.turns_s]

    def memory_slope(self) -> float:
        """Return by how many bytes a day the watch's own memory grows, by least squares, after `WARM_DAYS`."""
        values = [each.anonymous_bytes for each in self.days[WARM_DAYS:]]
        return float(np.polyfit(np.arange(len(values)), values, 1)[0]) if len(values) > 1 else 0.0

    def growth(self) -> list[str]:
        """Say what of the watch grows."""
        settled, wrong = self.days[WARM_DAYS:], []
        if len(settled) < 2:
            return []
        allowed = max(MEMORY_BYTES, MEMORY_SHARE * settled[0].anonymous_bytes)
        if self.memory_slope() > allowed:
            wrong.append(f"memory grows by {self.memory_slope() / 2**20:.1f} MiB a day")
        if settled[-1].open_files > settled[0].open_files + HANDLES:
            wrong.append(f"open files grew from {settled[0].open_files} to {settled[-1].open_files}")
        return wrong


class Watching:
    """A `koma pipeline run --watch` under the manual clock, from start to orderly end."""

    def __init__(self, home: Home, settings: dict[str, str]) -> None:
        """Note what is to run, and what it is told."""
        self._said = home.root.with_name(f"{home.root.name}.said")
        self._home = home
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("KOMA_")},
            "KOMA_CLOCK": "manual",
            **{variable(name): value for name, value in settings.items()},
        }

    def __enter__(self) -> Self:
        """Start it; the clock it waits for is set already."""
        command = [str(Path(sys.executable).with_name("koma")), "pipeline", "run", "--watch"]
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [*command, "--home", str(self._home.root)], stdout=said, stderr=said, env=self._environment
            )
        lock, deadline = self._home.path("run") / "writer.lock", time.monotonic() + PATIENCE_S
        while not (lock.exists() and f"(process {self.process.pid})" in lock.read_text()):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, "the watch does not begin"
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind."""
        self.process.kill()
        self.process.wait()

    def end(self) -> list[str]:
        """Ask it to end; says what is wrong with that."""
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(PATIENCE_S)
        return [] if status == 0 else [f"the watch ended with status {status}: {self.said()}"]

    def said(self) -> str:
        """Return the end of what it wrote."""
        return self._said.read_text(encoding="utf-8")[-2000:]

    def complaints(self) -> list[str]:
        """Return what it wrote beside its JSON lines."""
        return [line for line in self._said.read_text(encoding="utf-8").splitlines() if not line.startswith("{")]

    def move(self, settings: Settings, to_ms: int) -> float:
        """Set the clock and wait until all that fell due is done; returns the seconds that took."""
        started = time.perf_counter()
        done = set_clock(self._home, settings, to_ms)
        assert done is None, f"the watch is gone: {self.said()}"
        return time.perf_counter() - started

    def rest(self) -> None:
        """Wait until it has joined the files of registers that it wants to join; nights are longer than that."""
        folder, deadline = self._home.path("registers"), time.monotonic() + PATIENCE_S
        known, since = -1, time.monotonic()
        while time.monotonic() - since < 1.0:
            count = len(os.listdir(folder))  # noqa: PTH208  names are enough
            if count != known:
                known, since = count, time.monotonic()
            assert time.monotonic() < deadline, "the watch does not come to rest"
            time.sleep(0.1)

    def sample(self) -> Sample:
        """Look at the process and its home."""
        facts = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii").splitlines()
        sizes = {name: int(value.split()[0]) << 10 for name, _, value in (line.partition(":") for line in facts)
                 if name in {"VmRSS", "RssAnon"}}  # fmt: skip
        files = [path.stat().st_size for path in _files(self._home.root)]
        return Sample(
            memory_bytes=sizes["VmRSS"],
            anonymous_bytes=sizes["RssAnon"],
            open_files=len(os.listdir(f"/proc/{self.process.pid}/fd")),  # noqa: PTH208
            home_bytes=sum(files),
            home_files=len(files),
            journal_bytes=sum(path.stat().st_size for path in _files(self._home.path("journal"))),
            register_files=len(os.listdir(self._home.path("registers"))),  # noqa: PTH208
        )


def _files(folder: Path) -> Iterator[Path]:
    for at, _, names in os.walk(folder):
        yield from (Path(at, name) for name in names)


def soak(plan: Plan, folder: Path, say: Callable[[str], object] = lambda _: None) -> Soak:
    """Let a watch live through the days, and look at each of them; the result says what is wrong."""
    options = plan.options()
    say(f"{plan.points:,} points, {plan.days} days: simulating the head-end")
    simulated = simulate(options, folder / "area").as_dict()
    home = open_home(folder / "home")
    import_master(home.root, folder / "area" / "master", now_ms=None, first=True, strict=True)
    manual_clock(home).set(START_MS)
    seen = Soak(plan, home, Area.of(folder / "area" / "truth.parquet", options))
    seen.counts.update(
        {name: simulated[name] for name in ("reads", "late", "lost", "repeated", "exchanges", "switches")}
    )
    settings = {**KEEP, "workers": str(plan.workers)}
    with Watching(home, settings) as watching:
        for day in range(plan.days + 1):
            _live(seen, watching, day)
            if day < plan.days:
                watching.rest()
                seen.days.append(watching.sample())
                say(f"day {day + 1}: {_day_line(seen, day)}")
            if day > 0:
                _look(seen, day - 1, folder / "days")
        seen.wrong += watching.end()
        seen.wrong += [f"the watch said: {line}" for line in watching.complaints()][:5]
    seen.wrong += MonthlyFiles(home, folder / "days", seen.area).wrong(seen.counts)
    seen.wrong += seen.growth()
    return seen


def _live(seen: Soak, watching: Watching, day: int) -> None:
    """Let a day pass turn by turn; the one after the last is only the tail."""
    plan, landing = seen.plan, seen.area.folder / "landing"
    begin_ms = START_MS + day * DAY_MS
    end_ms = begin_ms + (DAY_MS if day < plan.days else TAIL_MS)
    files = sorted(landing.iterdir(), key=lambda path: path.name[4:17])
    settings = Settings(home=seen.home.root, clock="manual")
    for now_ms in [*range(begin_ms, end_ms, plan.turn_minutes * MINUTE_MS)[1:], end_ms]:
        clock = iso(now_ms)[:16].replace("-", "").replace(":", "")
        while files and files[0].name[4:17] <= clock:
            path = files.pop(0)
            path.rename(seen.home.landing / path.name)
        seconds = watching.move(settings, now_ms)
        seen.turns_s.setdefault((now_ms - 1 - START_MS) // SLOT_MS, []).append(seconds)


def _look(seen: Soak, day: int, kept: Path) -> None:
    """Hold a day that nothing changes any more against the truth."""
    found = looked_at(seen.home, seen.area, day)
    seen.counts.update(found.counts)
    seen.wrong += found.wrong[:10]
    kept.mkdir(exist_ok=True)
    found.grid.save(kept / f"{day:03d}.npz")


def _day_line(seen: Soak, day: int) -> str:
    each, slots = seen.days[day], seen.slot_s(day)
    return (
        f"{each.memory_bytes >> 20} MiB ({each.anonymous_bytes >> 20} its own), {each.open_files} open files, home "
        f"{each.home_bytes >> 20} MiB in {each.home_files:,} files, {each.register_files} of registers, journal "
        f"{each.journal_bytes >> 10} KiB; a slot {np.median(slots):.2f} s, at most {max(slots):.2f} s"
    )


def record(seen: Soak) -> dict[str, Any]:
    """Return what is worth keeping of a soak."""
    first, last = (seen.slot_s(day) for day in (0, seen.plan.days - 1))
    return {
        "days": seen.plan.days,
        "slots": 48 * seen.plan.days,
        "points": seen.plan.points,
        "turn_minutes": seen.plan.turn_minutes,
        "accounted": dict(seen.counts),
        "memory_slope_mib_a_day": round(seen.memory_slope() / 2**20, 3),
        "slot_s": {
            name: {"p50": round(float(np.median(some)), 3), "max": round(max(some), 3)}
            for name, some in (("first_day", first), ("last_day", last))
        },
        "by_day": {name: [getattr(each, name) for each in seen.days] for name in Sample.__slots__},
        "wrong": seen.wrong,
    }
