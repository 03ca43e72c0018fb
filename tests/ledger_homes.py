# SPDX-License-Identifier: Apache-2.0
"""Small homes for the ledger: a master of which parts may be lost, surveys, what a gateway let go."""

import json
from collections.abc import Iterable
from pathlib import Path

from joserfc.jwk import OKPKey

from gateway.audit import Audit, Decision
from gateway.places import Places
from gateway.release_index import ReleaseIndex
from gateway.releases import Signer
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.ledger.book import survey_due
from pipeline.ledger.stagnated import points, stagnated
from tests.homes import SLOT_MS, Read, Row, at, new_home, point, reads_of

START = at("2026-10-06T10:00")
SLOT = START // SLOT_MS
SINCE = "2020-01-01T00:00"
RETAILER = "11113"
KEY = OKPKey.generate_key("Ed25519")


def meters(numbers: Iterable[int]) -> list[Row]:
    return [{"point_id": point(n), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n in numbers]


def supply(numbers: Iterable[int], codes: tuple[str, ...] = (RETAILER,)) -> list[Row]:
    return [{"point_id": point(n), "retailer_code": codes[n % len(codes)], "valid_from": SINCE} for n in numbers]


def made(
    folder: Path,
    count: int,
    *,
    without: Iterable[int] = (),
    silent: Iterable[int] = (),
    codes: tuple[str, ...] = (RETAILER,),
) -> Home:
    """Make a home of some points: `without` have no meter in the master, `silent` no telemetry and no meter."""
    bare = {*without, *silent}
    return new_home(
        folder / "home",
        points=[{"point_id": point(n), "telemetry": 0 if n in set(silent) else 1} for n in range(count)],
        meters=meters(n for n in range(count) if n not in bare),
        supply=supply(range(count), codes),
    )


def reads(n: int, stamps: int = 4) -> list[Read]:
    """Give the reads of a point's meter at the first stamps; each slot comes to 3 units."""
    return reads_of(f"M{n}", START, range(n, n + 3 * stamps, 3))


def survey(home: Home) -> list[int]:
    return list(survey_due(home, read_state(home.path("journal"))))


def causes(home: Home, slot: int) -> dict[int, tuple[str, str]]:
    """Cause and code by the number of the point, of one slot."""
    found = stagnated(home, slot, 1)
    return {int(each.point_id[2:]): (each.cause, each.code) for each in points(home, found, START)}


def index_releases(home: Home, now_ms: int) -> int:
    """Let the gateway look at the deliveries once; gives how many releases it showed."""
    places = Places(home.root)
    index = ReleaseIndex(places.index, places.deliveries, Signer("https://a.example", KEY))
    try:
        return index.sweep(now_ms).published
    finally:
        index.close()


def let_go(home: Home, files: Iterable[str], at_ms: int, *, reason: str = "GET") -> None:
    """Write down that the gateway let some files go, named by their place below the deliveries."""
    audit = Audit(Places(home.root).audit)
    audit.append(
        Decision(at_ms, "inner", "release", "file", "client", each, "RET-001", reason, trace_id="0") for each in files
    )
    audit.close()


def delivered(home: Home, ending: str = "zip") -> list[str]:
    """Give the places of all delivery files."""
    return sorted(each.relative_to(home.deliveries).as_posix() for each in home.deliveries.rglob(f"*.{ending}"))


def empty_manifests(home: Home) -> None:
    """Take back what the manifests say, as if nobody had issued anything."""
    for path in home.deliveries.rglob("manifest.jsonl"):
        closings = [line for line in path.read_text().splitlines() if json.loads(line).get("closed")]
        path.write_text("".join(f"{line}\n" for line in closings))
