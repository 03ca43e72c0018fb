# SPDX-License-Identifier: Apache-2.0
"""A home's life of some commands, one of them struck by a fault: what is issued in the end must not show it.

Each command runs as `koma` would, in a process of its own whose file layer can fail. After the fault the command is run
again, then life goes on, and every byte delivered is held against a life without fault.
"""

import csv
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from pipeline import journal
from pipeline.home import Home
from pipeline.simulate import Faults
from tests.crashes import landing_and_taken
from tests.filelayer import KINDS, Fault, FileLayer
from tests.homes import digests, hand_over
from tests.power import Recorder, cut_power
from tests.real_homes import part_of
from tests.towns import FAULTS, FORMATS, Town, build_town, differing

PATIENCE_S = 240.0
"""A first command may have kernels to compile."""
WHATS = ("kill", "power", "full", "once", "readonly", "halt", "clock")
RUN = ("pipeline", "run", "--once")
NO_FAULT = Fault()


def _child(root: str, arguments: list[str], fault: Fault, said: str) -> None:
    """Be `koma ARGUMENTS`, with a file layer that fails; arguments `NAME=value` before it are settings."""
    text = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(text, 1)
    os.dup2(text, 2)
    while "=" in arguments[0]:
        name, _, value = arguments.pop(0).partition("=")
        if name == "CHECKPOINT_BYTES":
            journal.CHECKPOINT_BYTES = int(value)
        else:
            os.environ[name] = value
    sys.argv = ["koma", *arguments, "--home", root]
    layer = FileLayer(root, fault)
    if fault.what == "power":
        layer.synced = Recorder(Path(root), Path(f"{root}.durable")).synced
    layer.install()
    from koma.cli import main  # noqa: PLC0415  what it opens is to be seen

    try:
        main()
    finally:
        if fault.what == "power":
            layer.change("end", root)
        Path(f"{said}.count").write_text(json.dumps(layer.count))


@dataclass(slots=True)
class Command:
    """One `koma` command in a child process."""

    root: Path
    arguments: tuple[str, ...]
    fault: Fault = NO_FAULT
    name: str = "said"
    process: Any = field(init=False)

    def start(self) -> "Command":
        """Start it, from a server that has imported everything and runs nothing."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["tests.faults", "koma.cli", "pipeline.run", "pipeline.master", "pipeline.watch"]
        )
        arguments = (str(self.root), list(self.arguments), self.fault, str(self._said))
        self.process = context.Process(target=_child, args=arguments)
        self.process.start()
        return self

    @property
    def _said(self) -> Path:
        return self.root.with_name(f"{self.root.name}.{self.name}")

    @property
    def said(self) -> str:
        """All it wrote."""
        return self._said.read_text() if self._said.exists() else ""

    def count(self) -> Counter[str]:
        """How many changes of each kind it made."""
        return Counter(json.loads(self._said.with_name(f"{self._said.name}.count").read_text()))

    def advance(self) -> None:
        """Let some time pass."""
        self.process.join(0.05)

    def troubled(self) -> bool:
        """Say whether it met a fault that it waits out."""
        return False

    def wait(self) -> int:
        """Wait for its end; returns its status, negative for a signal."""
        deadline = time.monotonic() + PATIENCE_S
        while self.process.exitcode is None:
            if time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError(f"{self.arguments} hangs with {self.fault}: {self.said}")
            self.advance()
        status: int = self.process.exitcode
        self.process.close()
        return status

    def halted(self) -> bool:
        """Wait until it stands still; False if it ended first."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            stat = Path(f"/proc/{self.process.pid}/stat")
            if self.process.exitcode is not None:
                return False
            if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "T":
                return True
            self.advance()
        raise AssertionError("neither halted nor ended")


@dataclass(frozen=True, slots=True)
class Step:
    """One command of a life.

    Attributes:
        arguments: of `koma`, settings before them.
        forgets: it takes old deliveries away; what a fault leaves of them goes later.
    """

    arguments: tuple[str, ...]
    forgets: bool = False

    def command(self, root: Path, fault: Fault, name: str = "said") -> Command:
        """Make the command."""
        return Command(root, self.arguments, fault, name)


@dataclass(frozen=True, slots=True)
class Life:
    """What happens to a home: a first master, hand-overs, a run; what the master learns, more hand-overs, a run.

    Attributes:
        STRIKES: steps at which faults strike, as often as they stand here.
        HALTS: steps that hold the home's lock.
        FAULTS: of the town's reads.
    """

    STRIKES: ClassVar[tuple[int, ...]] = (0, 1, 1, 1, 2, 3, 3, 3)
    HALTS: ClassVar[tuple[int, ...]] = (1, 3)
    FAULTS: ClassVar[Faults] = FAULTS

    folder: Path
    town: Town

    @classmethod
    def made(cls, folder: Path, *, points: int = 12, slots: int = 3) -> Self:
        """Simulate a town, and let its master learn of switches that happened."""
        town = build_town(folder / "town", points=points, slots=slots, faults=cls.FAULTS)
        learned = folder / "learned"
        learned.mkdir()
        with (folder / "town" / "master" / "supply.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        codes = sorted({row["retailer_code"] for row in rows})
        with (learned / "supply.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            for row in rows[:4]:
                code = codes[(codes.index(row["retailer_code"]) + 1) % len(codes)]
                writer.writerow(row | {"retailer_code": code, "recorded_at": ""})
        return cls(folder, town)

    def _before(self, step: int) -> Path:
        return self.folder / f"before{step}"

    def resumed(self, home: Home, step: int) -> Iterator[Step]:
        """Make the home as it was before a command of the undisturbed life; yield that command and all after it."""
        if step:
            shutil.copytree(self._before(step), home.root)
        for number, each in enumerate(self.steps(home, step)):
            if number >= step:
                yield each

    def steps(self, home: Home, begun: int = -1) -> Iterator[Step]:
        """Yield the commands in order; before a run its hand-over files land, unless it has `begun`."""
        reads = self.town.reads
        order = np.argsort(reads.received_ms, kind="stable")
        for number, (master, part) in enumerate(
            zip((self.town.master, self.folder / "learned"), np.array_split(order, [len(order) * 2 // 3]), strict=True)
        ):
            yield Step(("master", "import", str(master)))
            if 2 * number + 1 <= begun:
                yield Step(RUN)
                continue
            mixed = np.random.default_rng(number).permutation(part)
            for index, some in enumerate(np.array_split(mixed, 4)):
                hand_over(home, f"{number}{index}{FORMATS[(4 * number + index) % len(FORMATS)]}", part_of(reads, some))
            yield Step(RUN)

    def undisturbed(self, root: Path) -> "Undisturbed":
        """Live without fault; the home as it was before each command is kept, for other lives to begin with."""
        home = Home(root)
        counts: list[Counter[str]] = []
        after: list[dict[str, str]] = []
        for step in self.steps(home):
            if counts:
                shutil.copytree(root, self._before(len(counts)), dirs_exist_ok=True)
            command = step.command(root, NO_FAULT).start()
            assert command.wait() == 0, command.said
            counts.append(command.count())
            after.append(delivered(home))
        return Undisturbed(tuple(after), landing_and_taken(home), tuple(counts))


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a life without fault has delivered after each command, and how many changes of each kind each made."""

    after: tuple[dict[str, str], ...]
    hand_overs: list[str]
    counts: tuple[Counter[str], ...]


@dataclass(slots=True)
class Outcome:
    """A disturbed life: what struck, whether it did, what was said, and what is wrong with the end."""

    step: int
    fault: Fault
    names: str = ""
    struck: bool = False
    said: str = ""
    wrong: list[str] = field(default_factory=list)


def drawn(chance: random.Random, life: Life, undisturbed: Undisturbed, what: str) -> tuple[int, Fault]:
    """Draw a step and a fault: kinds of change alike, so that the few renames count as much as the many writes."""
    step = chance.choice(life.HALTS if what == "halt" else life.STRIKES)
    counts = undisturbed.counts[step]
    step_ms = chance.choice((-1, 1)) * chance.choice((5, 180, 3 * 1440, 20 * 365 * 1440)) * 60_000
    kind = chance.choice([each for each in KINDS if counts[each]] + (["end"] if what == "power" else []))
    return step, Fault(what, kind, chance.randrange(counts[kind] or 1), step_ms)


def disturbed(
    life: Life,
    root: Path,
    undisturbed: Undisturbed,
    chance: random.Random,
    what: str,
    *,
    chosen: tuple[int, Fault, str] | None = None,
) -> Outcome:
    """Live with one fault, drawn or `chosen` (step, fault, names that a power cut leaves), and look at everything."""
    step, fault = drawn(chance, life, undisturbed, what)
    names = chance.choice(("all", "none", "some", "some")) if what == "power" else ""
    outcome = Outcome(*(chosen or (step, fault, names)))
    home = Home(root)
    for number, each in enumerate(life.resumed(home, outcome.step), outcome.step):
        seen: dict[str, list[str]] = {}
        if number == outcome.step:
            seen = _struck(home, each, outcome, chance, undisturbed)
        command = each.command(root, NO_FAULT).start()
        if command.wait() != 0:
            outcome.wrong.append(f"{each.arguments} failed after the fault: {command.said}")
            return outcome
        outcome.wrong += unkept(seen, visible(home), _gone(each, undisturbed.after[number]))
        if not each.forgets and (differ := differing(undisturbed.after[number], delivered(home))):
            outcome.wrong.append(f"after step {number} {len(differ)} files differ: {differ[:4]}")
            return outcome
    if landing_and_taken(home) != undisturbed.hand_overs or any(home.landing.iterdir()):
        outcome.wrong.append(f"hand-over files at the end: {landing_and_taken(home)}")
    return outcome


def _struck(
    home: Home, step: Step, outcome: Outcome, chance: random.Random, undisturbed: Undisturbed
) -> dict[str, list[str]]:
    """Let the fault strike, and look at what it leaves; returns what is visible then."""
    lay, lines = landing_and_taken(home) if home.landing.exists() else [], visible(home)
    _strike(home, step, outcome, chance)
    if lay and landing_and_taken(home) != lay:
        outcome.wrong.append(f"hand-over files {lay} became {landing_and_taken(home)}")
    seen = visible(home)
    outcome.wrong += unkept(lines, seen, _gone(step, undisturbed.after[outcome.step])) + unfounded(home)
    return seen


def _gone(step: Step, after: dict[str, str]) -> Callable[[str], bool]:
    """Tell which manifests a step may take away."""
    return lambda manifest: step.forgets and f"deliveries/{manifest}" not in after


def delivered(home: Home) -> dict[str, str]:
    """Digests of deliveries and ledger."""
    return {
        f"{folder.name}/{name}": digest
        for folder in (home.deliveries, home.path("ledger"))
        for name, digest in digests(folder).items()
    }


def _strike(home: Home, step: Step, outcome: Outcome, chance: random.Random) -> None:
    """Run a command into its fault, and make of the home what the fault leaves."""
    what = outcome.fault.what
    command = step.command(home.root, outcome.fault).start()
    if what == "halt" and command.halted():
        outcome.struck = _second(home, step, outcome, command.process.pid)
        os.kill(command.process.pid, signal.SIGCONT)
    status = command.wait()
    outcome.said = command.said
    if what in ("kill", "power"):
        outcome.struck = status == -signal.SIGKILL
        if what == "power" and outcome.struck:
            cut_power(home.root, home.root.with_name(f"{home.root.name}.durable"), chance, names=outcome.names)
        elif status not in (0, -signal.SIGKILL):
            outcome.wrong.append(f"status {status} without a fault: {outcome.said}")
    elif what in ("clock", "halt"):
        outcome.struck |= what == "clock"
        if status != 0:
            outcome.wrong.append(f"status {status} after a {what}: {outcome.said}")
    else:
        outcome.struck = status != 0 or command.troubled()
        if outcome.struck and not (status == (0 if command.troubled() else 1) and _clear(outcome.said)):
            outcome.wrong.append(f"status {status} and unclear: {outcome.said}")


def _clear(said: str) -> bool:
    """Say whether a message names the fault and says what to do about it."""
    full, readonly = "No space left" in said and "room" in said, "Read-only" in said and "writ" in said
    return "Traceback" not in said and "koma: " in said and (full or readonly)


def _second(home: Home, step: Step, outcome: Outcome, holder: int) -> bool:
    """Start the same command beside one that stands still: it is refused by name, changes nothing."""
    lock = home.path("run") / "writer.lock"
    holds = lock.exists() and f"(process {holder})" in lock.read_text()
    if not holds:
        return False
    before = digests(home.root)
    second = step.command(home.root, NO_FAULT, "second").start()
    status = second.wait()
    if status != 1 or f"(process {holder})" not in second.said or "try again" not in second.said:
        outcome.wrong.append(f"a second instance ended with {status}: {second.said}")
    if differ := differing(before, digests(home.root)):
        outcome.wrong.append(f"a second instance changed {differ}")
    return True


def visible(home: Home) -> dict[str, list[str]]:
    """What retailers can see: the lines of all manifests."""
    return {
        path.relative_to(home.deliveries).as_posix(): path.read_text().splitlines()
        for path in sorted(home.deliveries.glob("*/*/manifest*.jsonl"))
    }


def unkept(
    before: dict[str, list[str]], after: dict[str, list[str]], gone: Callable[[str], bool] = lambda _: False
) -> list[str]:
    """Name the manifest lines that changed or went away, but for manifests that may be `gone`."""
    return [
        f"{name}: {line}"
        for name, lines in before.items()
        if not (name not in after and gone(name))
        for line in lines
        if line not in set(after.get(name, ()))
    ]


def unfounded(home: Home) -> list[str]:
    """Name the files that a manifest tells of and that are not what it says."""
    wrong = []
    for name, lines in visible(home).items():
        for line in map(json.loads, lines):
            if "file" not in line:
                continue
            path = (home.deliveries / name).with_name(line["file"])
            if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != line["sha256"]:
                wrong.append(f"{path.name} is not what its manifest says")
    return wrong


def forget(root: Path) -> None:
    """Remove a home and what lies beside it."""
    for each in root.parent.glob(f"{root.name}*"):
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink()
