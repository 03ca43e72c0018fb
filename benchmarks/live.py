# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""A watch under continuous load: slots arrive minute by minute on a clock that runs faster, as they would for days.

    ./dev bench live --points 1000000 --slots 48

A head-end in its own process hands over a file a simulated minute; `pipeline run --watch` runs here, by the same clock.
Measured for every read: from the time at which the first instant after its hand-over falls due until the manifests tell
of it, in real seconds (the machine works the faster clock's load, so a real clock's latency is shorter). What comes
before is no work: the wait for the instant, and the watch's own delay after it (KOMA_WATCH_DELAY_S, 60 s).

Every slot is held against what was generated; a wrong number ends the run with status 1.
"""

import argparse
import json
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measuring import machine
from benchmarks.measuring.area import make_area, write_master
from benchmarks.measuring.head_end import ScaledClock, Shift, hand_over, hand_over_start
from benchmarks.measuring.rounds import append, say
from koma.settings import Settings
from koma.slots import MS_PER_MINUTE, MS_PER_SLOT, format_jst, parse_jst, slot_at_ms
from pipeline.home import Home, open_home
from pipeline.instants import CLOSING_MIN, SPLITS_MIN
from pipeline.master import import_master
from pipeline.status import process_facts
from pipeline.status_file import read_status
from pipeline.watch import watch

RESULTS: Final = machine.ROOT / "benchmarks" / "results" / "live.jsonl"
FIRST_SLOT: Final = slot_at_ms(parse_jst("2026-08-22T00:00"))
AHEAD_S: Final = 8.0
"""Until the clock starts: the head-end has to come up."""
NATION_POINTS: Final = 28_400_000
"""One large area."""


@dataclass(slots=True)
class Seen:
    """What was seen of the watch, after each of its turns."""

    visible_ns: dict[int, int] = field(default_factory=dict)  # instant (ms) to when it was out
    memory: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # by slot under way, the most
    handles: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    turns: int = 0
    busy_s: float = 0.0


def main() -> None:
    """Run the watch until the last slot is closed, then judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--slots", type=int, default=48)
    parser.add_argument("--slot-seconds", type=float, default=20.0, help="real seconds a simulated slot takes")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work; removed afterwards")
    parser.add_argument("--results", type=Path, default=RESULTS, help="file of JSON lines to append to")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="koma-live-", dir=options.folder))
    try:
        record, right = _measured(options, folder)
    finally:
        shutil.rmtree(folder)
    append(options.results, record)
    sys.exit(0 if right else 1)


def _measured(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], bool]:
    facts = machine.machine_facts(options.workers)
    say(f"{options.points:,} points, {options.slots} slots of {options.slot_seconds} s: generating area and master")
    area = make_area(options.points, options.seed)
    write_master(folder / "master", area, np.ones(len(area), bool))
    home = open_home(folder / "home")
    import_master(home.root, folder / "master", now_ms=None, first=True, strict=True)
    hand_over_start(home.landing, area, FIRST_SLOT)
    energy = int(area.energy_dwh().sum())
    del area
    factor = MS_PER_SLOT / 1000 / options.slot_seconds
    clock = ScaledClock((FIRST_SLOT + 1) * MS_PER_SLOT, time.monotonic_ns() + int(AHEAD_S * 1e9), factor)
    shift = Shift(
        home.landing, folder / "handed-over.jsonl", options.points, options.seed, FIRST_SLOT, options.slots, clock
    )
    settings = replace(Settings(home=home.root), first_slot=FIRST_SLOT, workers=options.workers)
    head_end = multiprocessing.get_context("spawn").Process(target=hand_over, args=(shift,))
    head_end.start()
    try:
        seen = _watched(home, settings, clock, options.slots)
        head_end.join()
    finally:
        head_end.kill()
    landed = [json.loads(line) for line in shift.log.read_text(encoding="ascii").splitlines()]
    late_ns, wrong = _latencies(home, settings, clock, seen, landed)
    wrong += _wrong_slots(home, options.points, options.slots, energy)
    for each in wrong:
        say(f"wrong: {each}")
    return {
        "bench": "live",
        "at": machine.now(),
        **machine.commit(),
        "points": options.points,
        "slots": options.slots,
        "slot_seconds": options.slot_seconds,
        "times_real_rate": round(factor, 1),
        "times_large_area": round(options.points * factor / NATION_POINTS, 3),
        "watch_delay_s": settings.watch_delay_s,
        **_summed(late_ns),
        "busy_share": round(seen.busy_s / (options.slots * options.slot_seconds), 3),
        "turns": seen.turns,
        "head_end_late_s": round(max(each["landed_ms"] - each["due_ms"] for each in landed) / 1000 / factor, 3),
        "wrong": len(wrong),
        "by_slot": {
            "p99_s": [round(float(_quantile(late_ns[slot], 0.99)), 3) for slot in sorted(late_ns)],
            "memory_mib": [seen.memory[slot] >> 20 for slot in range(options.slots)],
            "open_files": [seen.handles[slot] for slot in range(options.slots)],
        },
        "machine": facts,
        "versions": machine.versions(),
    }, not wrong


def _watched(home: Home, settings: Settings, clock: ScaledClock, slots: int) -> Seen:
    """Run the watch until the last slot is closed."""
    seen = Seen()
    last_ms = (FIRST_SLOT + slots) * MS_PER_SLOT + CLOSING_MIN * MS_PER_MINUTE
    watching = watch(home, settings, clock, pause=lambda seconds: time.sleep(max(0.002, seconds / clock.factor)))
    for run in watching:
        now_ns = time.monotonic_ns()
        seen.turns += 1
        seen.busy_s += sum(run.seconds.values())
        facts = process_facts()
        slot = min(max(0, slot_at_ms(clock.now_ms()) - FIRST_SLOT - 1), slots - 1)
        seen.memory[slot] = max(seen.memory[slot], facts["memory_bytes"] or 0)
        seen.handles[slot] = max(seen.handles[slot], facts["open_files"] or 0)
        if "issue" not in run.seconds:
            continue
        status = read_status(home)
        assert status is not None
        to_ms = parse_jst(status["last_issue"]["instant"])
        seen.visible_ns[to_ms] = now_ns
        if to_ms >= last_ms:
            break
    watching.close()
    return seen


def _latencies(
    home: Home, settings: Settings, clock: ScaledClock, seen: Seen, landed: list[dict[str, int]]
) -> tuple[dict[int, list[tuple[float, int]]], list[str]]:
    """Return, by slot, (seconds after its instant was due, points) of every file handed over; and what never came."""
    available: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))  # slot to instant to points
    for line in _manifest_lines(home):
        if "file" in line:
            slot = slot_at_ms(parse_jst(line["slot_start"])) - FIRST_SLOT
            available[slot][parse_jst(line["issued_at"])] += line["available"]
    late: dict[int, list[tuple[float, int]]] = defaultdict(list)
    missing = []
    through: dict[int, int] = defaultdict(int)
    for each in landed:
        slot = each["slot"]
        through[slot] += each["points"]
        out_ms, sum_out = None, 0
        for instant_ms in sorted(available[slot]):
            sum_out += available[slot][instant_ms]
            if sum_out >= through[slot]:
                out_ms = instant_ms
                break
        if out_ms is None:
            missing.append(f"slot {slot}: {through[slot]} points were handed over, {sum_out} came out")
            continue
        end_ms = (FIRST_SLOT + slot + 1) * MS_PER_SLOT
        instants = [end_ms + minutes * MS_PER_MINUTE for minutes in (*SPLITS_MIN, CLOSING_MIN)]
        due_ms = next(instant for instant in instants if instant >= each["landed_ms"] or instant == instants[-1])
        visible_ns = min(ns for to_ms, ns in seen.visible_ns.items() if to_ms >= out_ms)
        waited_ns = visible_ns - clock.real_ns(due_ms + settings.watch_delay_s * 1000)
        late[slot].append((max(0.0, waited_ns / 1e9), each["points"]))
    return late, missing


def _manifest_lines(home: Home) -> list[dict[str, Any]]:
    paths = sorted(home.deliveries.glob("*/*/manifest.jsonl"))
    return [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]


def _wrong_slots(home: Home, points: int, slots: int, energy: int) -> list[str]:
    """Hold the ledger's last line of each slot against what was generated."""
    known: dict[str, dict[str, Any]] = {}
    for path in sorted(home.path("ledger").glob("slots-*.jsonl")):
        known |= {line["slot_start"]: line for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    wrong = []
    for slot in range(slots):
        line = known.get(format_jst((FIRST_SLOT + slot) * MS_PER_SLOT), {})
        found = line.get("expected"), line.get("available"), line.get("energy_dwh")
        if found != (points, points, energy):
            wrong.append(f"slot {slot}: expected, available, dWh are {found}, not {(points, points, energy)}")
    return wrong


def _summed(late: dict[int, list[tuple[float, int]]]) -> dict[str, Any]:
    """Return latencies over all reads, and those of the first and the last quarter of the slots."""
    slots = sorted(late)
    quarter = max(1, len(slots) // 4)
    parts = {"": slots, "_first_quarter": slots[:quarter], "_last_quarter": slots[-quarter:]}
    return {
        f"beyond_s{name}": {
            "p50": round(_quantile(pairs, 0.5), 3),
            "p99": round(_quantile(pairs, 0.99), 3),
            "max": round(_quantile(pairs, 1.0), 3),
        }
        for name, some in parts.items()
        if (pairs := [pair for slot in some for pair in late[slot]])
    }


def _quantile(pairs: list[tuple[float, int]], share: float) -> float:
    """Return the quantile of seconds, each weighted by its points."""
    ordered = sorted(pairs)
    weights = np.cumsum([points for _, points in ordered])
    at = int(np.searchsorted(weights, share * weights[-1], side="left"))
    return ordered[min(at, len(ordered) - 1)][0]


if __name__ == "__main__":
    main()
