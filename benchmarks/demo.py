# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""From a simulated head-end to the retailers' sums, on a replay clock, in under two minutes.

A head-end is simulated around a midnight: 100,000 points, six slots, retailers that change, meters that are exchanged,
reads that are late, lost, repeated. The pipeline takes in half-hour after half-hour and issues delivery files. One
retailer fetches them through the gateway over OAuth, one over mutual TLS; the others are looked up in the delivery
tree. Exit status 0 only if every retailer's sum of every slot equals the truth to the dWh.

Example: ./dev demo
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.demonstration.gateway import (
    DemoError,
    Gateway,
    Keys,
    pull_by_certificate,
    pull_by_key,
    register,
    running_gateway,
)
from benchmarks.demonstration.replay import Step, hand_overs, replay
from benchmarks.demonstration.report import Retailer, Stage, retailers_table, show, slots_table, stages_table
from benchmarks.demonstration.slots import slot_facts
from benchmarks.demonstration.sums import By, compared, from_parquet, from_zips, slot_of, truth_totals
from koma.errors import KomaError
from koma.output import emit, note, progress
from koma.settings import load_settings
from koma.slots import format_jst, parse_jst
from pipeline.simulate import Faults, Options, describe, simulate, steps
from pipeline.simulate.options import FORMATS

MARKER = ".koma-demo"
PROMISED_S = 60.0
"""What has been issued is fetchable by then."""
RETAILERS = 6
FAULTS = Faults(
    late_hours=1,
    exchanges=0.005,
    losses=0.002,
    switches=0.02,
    conflicts=0.0003,
    off_grid=0.0003,
    outage_minutes=40,
    outage_share=0.05,
)


@dataclass(slots=True)
class Demo:
    """What the demonstration does, and what it finds."""

    folder: Path
    options: Options
    steps: list[Step] = field(default_factory=list)
    oauth: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    certificate: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    retailers: list[Retailer] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """The home of the pipeline and the gateway."""
        return self.folder / "home"

    @property
    def simulation(self) -> Path:
        """What the head-end wrote."""
        return self.folder / "simulation"

    def run(self) -> None:
        """Do everything."""
        with _timed("simulated head-end"), progress("simulating a head-end", steps(self.options)) as advance:
            summary = simulate(self.options, self.simulation, advance)
        record = {"options": describe(self.options), "summary": asdict(summary)}
        (self.simulation / "simulation.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        note(
            f"  {summary.points:,} points ({summary.generation:,} generate), {summary.stamps} stamps, "
            f"{summary.reads:,} reads in {summary.files} files; {summary.switches:,} retailer changes, "
            f"{summary.exchanges} meter exchanges, {summary.rollovers} roll-overs; "
            f"{summary.late:,} reads late, {summary.lost:,} lost, {summary.repeated:,} repeated"
        )
        self.home.mkdir()
        with running_gateway(self.home) as gateway:
            with _timed("gateway: nginx, Redis, token service and guard; two retailers registered under four eyes"):
                keys = register(gateway, "by-key", self.codes[0], self.folder / "retailers" / self.codes[0] / "keys")
                pair = register(gateway, "by-cert", self.codes[1], self.folder / "retailers" / self.codes[1] / "keys")
            with _timed("master imported"):
                gateway.koma("master", "import", str(self.simulation / "master"), "--strict", "--json")
            self._replay(gateway, keys, pair)
            self._must_be_refused(gateway, pair)
        with _timed("sums compared with the truth"):
            self._compare()

    @property
    def codes(self) -> list[str]:
        """Retailer codes, the largest first."""
        true = truth_totals(self.simulation / "truth_totals.csv")
        return sorted({code for code, _ in true})

    def _replay(self, gateway: Gateway, keys: Keys, pair: Keys) -> None:
        """Hand over half-hour after half-hour; after each the pipeline runs, and both retailers pull side by side."""
        settings = load_settings({}, self.folder, home=self.home)
        landing = self.simulation / "landing"
        first, second = self.codes[:2]
        count = len(hand_overs(landing))
        note(f"replay clock: {count} times, `koma pipeline run --once` and two `koma pull`")
        going = replay(settings, landing)

        def by_key() -> dict[str, Any]:
            return pull_by_key(gateway, "by-key", keys, self.folder / "retailers" / first / "pulled")

        def by_certificate() -> dict[str, Any]:
            return pull_by_certificate(gateway, second, pair, self.folder / "retailers" / second / "pulled")

        with ThreadPoolExecutor(2) as pulling:
            for number in range(1, count + 1):
                with progress(f"half-hour {number} of {count}", None):
                    self.steps.append(next(going))
                    jobs = [pulling.submit(_took, pull) for pull in (by_key, by_certificate)]
                    self.oauth.append(jobs[0].result())
                    self.certificate.append(jobs[1].result())
                self._tell()
            self._pull_the_rest(by_key, by_certificate)

    def _pull_the_rest(self, *pulls: Callable[[], dict[str, Any]]) -> None:
        """Ask again for what the last half-hour brought: the gateway promises it within a minute, not at once."""
        ends = time.monotonic() + PROMISED_S
        for code, told, pull in zip(self.codes, (self.oauth, self.certificate), pulls, strict=False):
            manifests = (self.home / "deliveries" / code).glob("*/manifest.jsonl")
            issued = sum('"file"' in line for path in manifests for line in path.read_text("utf-8").splitlines())
            while sum(each["files"] for _, each in told) < issued:
                if time.monotonic() > ends:
                    raise DemoError(f"{code} could not fetch all {issued} files within {PROMISED_S:.0f} s")
                told.append(_took(pull))
                note(f"  {code} asked again: {told[-1][1]['files']} more files")

    def _tell(self) -> None:
        """Say what the latest half-hour came to."""
        step, (key_s, by_key), (pair_s, by_certificate) = self.steps[-1], self.oauth[-1], self.certificate[-1]
        note(
            f"  {step.clock}  {step.summary['received']:>7,} reads in {step.seconds('intake'):4.1f} s, "
            f"{step.summary['files']:>3} files out in {step.seconds('issue'):4.1f} s; "
            f"fetched {by_key['files']:>2} by OAuth in {key_s:3.1f} s, "
            f"{by_certificate['files']:>2} by mutual TLS in {pair_s:3.1f} s"
        )

    def _must_be_refused(self, gateway: Gateway, pair: Keys) -> None:
        """Let one retailer ask for another's files, which must end as if there were none."""
        try:
            pull_by_certificate(gateway, self.codes[0], pair, self.folder / "retailers" / "refused")
        except DemoError as error:
            if "not_found" in str(error):
                note(f"{self.codes[1]} asked for the files of {self.codes[0]}: not found, as it must be")
                return
            raise
        raise DemoError(f"{self.codes[1]} could read the files of {self.codes[0]}")

    def _compare(self) -> None:
        true = truth_totals(self.simulation / "truth_totals.csv")
        slots = {slot for _, slot in true}
        for place, code in enumerate(self.codes):
            pulled = self.folder / "retailers" / code / "pulled"
            held: By
            if place == 0:
                door, files = "OAuth", sum(told["files"] for _, told in self.oauth)
                held = from_parquet(code, (pulled / "ledger").rglob("*.parquet"))
            else:
                root = pulled / "files" if place == 1 else self.home / "deliveries" / code
                zips = list(root.rglob("*.zip"))
                door, files = ("mutual TLS" if place == 1 else "delivery tree"), len(zips)
                held = from_zips(code, (path for path in zips if slot_of(path) in slots))
            self.retailers.append(Retailer(code, door, files, compared(code, held, true)))

    @property
    def exact(self) -> bool:
        """Whether every retailer holds the truth, and nothing that was announced was withheld from those who pull."""
        told = (each for pulls in (self.oauth, self.certificate) for _, each in pulls)
        complete = not any(account["incomplete"] for each in told for account in each["retailers"].values())
        return bool(self.retailers) and complete and all(each.verdict.passed for each in self.retailers)

    def faults(self) -> Iterator[str]:
        """Say what keeps it from being exact."""
        for each in self.retailers:
            if not each.verdict.passed:
                yield (
                    f"{each.code} by {each.door}: {each.verdict.exact} of {each.verdict.slots} slots exact; "
                    f"holds {each.verdict.held}, the truth is {each.verdict.true}"
                )
        for told in (self.oauth, self.certificate):
            for code, account in (each for _, pulled in told for each in pulled["retailers"].items()):
                if account["incomplete"]:
                    yield f"{code} could not make these releases whole: {', '.join(account['incomplete'])}"

    def report(self, seconds: float) -> None:
        """Show what was found."""
        options = self.options
        starts = {format_jst(options.stamp_ms(slot)) for slot in range(options.slots)}
        said = "EXACT: every sum equals the truth to the dWh" if self.exact else "NOT EXACT: see above"
        show(
            slots_table({start: facts for start, facts in slot_facts(self.home).items() if start in starts}),
            "The head-end falls silent at 01:30: later slots go out as missing, which is a state and never a zero.\n",
            stages_table(self.stages()),
            f"{self._reads()}\n",
            retailers_table(self.retailers),
            f"{said}, {seconds:.0f} s in all.\n",
            *self._where(),
        )

    def stages(self) -> list[Stage]:
        """Return the stages with their times."""

        def pulls(name: str, told: list[tuple[float, dict[str, Any]]]) -> Stage:
            return Stage(name, "rows", sum(each["rows"] for _, each in told), tuple(took for took, _ in told))

        read, out = (sum(int(step.summary[name]) for step in self.steps) for name in ("received", "rows"))
        return [
            Stage("received → taken in, durable", "reads", read, tuple(each.seconds("intake") for each in self.steps)),
            Stage("computed → published", "rows", out, tuple(each.seconds("issue") for each in self.steps)),
            pulls("published → fetched, OAuth", self.oauth),
            pulls("published → fetched, mutual TLS", self.certificate),
        ]

    def _reads(self) -> str:
        """Return what became of the reads: nothing goes astray."""
        names = ("received", "accepted", "duplicate", "filtered", "quarantined", "held")
        received, *others = (sum(int(step.summary[name]) for step in self.steps) for name in names)
        parts = " + ".join(f"{count:,} {name}" for name, count in zip(names[1:], others, strict=True))
        return f"Reads: {received:,} received {'=' if received == sum(others) else 'IS NOT'} {parts}"

    def _where(self) -> Iterator[str]:
        yield f"Files lie in {self.folder}:"
        yield "  simulation/           hand-over files, master, and the truth"
        yield "  home/deliveries/      zips, Parquet and manifest by retailer and day"
        yield "  home/quarantine/      what could not be taken, with its reason; home/ledger/ each slot's account"
        yield "  retailers/CODE/       keys of a retailer, what it pulled, its ledger"
        yield "Try next:"
        yield f"  KOMA_HOME={self.home} ./dev koma quarantine list"
        yield f"  KOMA_HOME={self.home} ./dev koma gateway up"
        yield "  ./dev koma simulate /tmp/area --points 1000000 --slots 2"


@contextmanager
def _timed(what: str) -> Iterator[None]:
    started = time.monotonic()
    yield
    note(f"{what} ({time.monotonic() - started:.1f} s)")


def _took(call: Callable[[], dict[str, Any]]) -> tuple[float, dict[str, Any]]:
    started = time.monotonic()
    told = call()
    return time.monotonic() - started, told


def _fresh(folder: Path) -> None:
    """Make the folder, or clear that of an earlier demonstration; nothing else is ever removed."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MARKER).exists():
            raise DemoError(f"{folder} is in use by something else; name another with --folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()


def main() -> int:
    """Run the demonstration and return its exit status."""
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=100_000, help="supply points (100,000)")
    parser.add_argument("--seed", type=int, default=20261007, help="seed of the head-end")
    parser.add_argument("--folder", type=Path, default=Path("var/demo"), help="where everything goes (var/demo)")
    parser.add_argument("--json", action="store_true", help="print one JSON line instead of tables")
    given = parser.parse_args()
    options = Options(
        points=given.points,
        slots=6,
        seed=given.seed,
        start_ms=parse_jst("2026-10-06T22:30"),
        retailers=RETAILERS,
        formats=FORMATS,
        cut_minutes=15,
        outage_start_ms=parse_jst("2026-10-06T23:20"),
        faults=FAULTS,
    )
    started = time.monotonic()
    demo = Demo(given.folder.absolute(), options)
    try:
        _fresh(demo.folder)
        demo.run()
    except (DemoError, KomaError) as error:
        note(f"demo: {error}")
        return 1
    except KeyboardInterrupt:
        note("demo: interrupted")
        return 130
    seconds = time.monotonic() - started
    for fault in demo.faults():
        note(f"demo: {fault}")
    if given.json:
        accounts = [asdict(each) for each in demo.retailers]
        emit({"exact": demo.exact, "seconds": round(seconds, 1), "folder": demo.folder, "retailers": accounts})
    else:
        demo.report(seconds)
    return 0 if demo.exact else 1


if __name__ == "__main__":
    sys.exit(main())
