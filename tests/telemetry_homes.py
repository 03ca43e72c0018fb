# SPDX-License-Identifier: Apache-2.0
"""A bad day for what watches: one area comes late, a group of concentrators is dead, a retailer does not fetch."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pipeline.agenda import Agenda
from pipeline.backlog import Backlog
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.ledger.metrics import METRICS
from pipeline.ledger.stamps import Out, stamp_intake, stamp_issue
from pipeline.status import Status
from pipeline.status_file import WAITING
from tests.homes import MINUTE_MS, SLOT_MS, Row, hand_over, new_home, point, reads_of, run, settings_of
from tests.ledger_homes import SINCE, START, delivered, index_releases, let_go

RETAILERS = ("11113", "22223", "33333")
"""The last one does not fetch."""
LATE_AREA, DEAD_GROUP = "05", range(4, 8)
BAD_SLOTS = 12
DEAD_FROM = 6
"""Slot from which the dead group is silent, and the late area late."""
BAD_END = START + BAD_SLOTS * SLOT_MS + 20 * MINUTE_MS


def ids() -> list[str]:
    """Give twelve points: eight in an area, of which the first does not report; four in the other."""
    return [point(n, "03" if n < 8 else LATE_AREA) for n in range(12)]


def groups_file(folder: Path) -> Path:
    """Write which points share concentrators."""
    path = folder / "groups.csv"
    lines = [f"{each},feeder-{n // 4 + 1}" for n, each in enumerate(ids())]
    path.write_text("\n".join(["point_id,group", *lines]) + "\n")
    return path


def quiet_home(folder: Path) -> Home:
    """Make the home before anything is read."""
    meters: list[Row] = [
        {"point_id": each, "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1} for n, each in enumerate(ids())
    ]
    supply: list[Row] = [
        {"point_id": each, "retailer_code": RETAILERS[n % 3], "valid_from": SINCE} for n, each in enumerate(ids())
    ]
    points: list[Row] = [{"point_id": each, "telemetry": int(n > 0)} for n, each in enumerate(ids())]
    return new_home(folder / "home", points=points, meters=meters, supply=supply)


def bad_day(folder: Path, *, gateway: bool = True, watch: bool = True) -> Home:
    """Run the day slot by slot."""
    home = quiet_home(folder)
    for n in range(1, 12):
        mine = reads_of(f"M{n}", START, range(n, n + 3 * (BAD_SLOTS + 2), 3))
        early, late = mine[: DEAD_FROM + 1], mine[DEAD_FROM + 1 :]
        if n in DEAD_GROUP:
            late = []
        elif ids()[n].startswith(LATE_AREA):
            late = reads_of(f"M{n}", late[0].read_at_ms, [each.value for each in late], delay_ms=27 * MINUTE_MS)
        hand_over(home, f"{n}.arrow", [each for each in early + late if each.received_ms <= BAD_END])
    for minutes in range(15, (BAD_END - START) // MINUTE_MS + 1, 15):
        run(home, wall_ms=START + minutes * MINUTE_MS)
    run(home, wall_ms=BAD_END)
    if gateway:
        _fetch(home)
    if watch:
        _watch(home)
    return home


def _fetch(home: Home) -> None:
    """Let a gateway show all, and two of the retailers fetch it at once."""
    index_releases(home, BAD_END - 80 * MINUTE_MS)
    let_go(home, [each for each in delivered(home) if not each.startswith(RETAILERS[-1])], BAD_END - 78 * MINUTE_MS)


def _watch(home: Home) -> None:
    """Note what a watch would have noted."""
    for slot in range(BAD_SLOTS):
        end_ms = START + (slot + 1) * SLOT_MS
        stamp_intake(home, end_ms + 3 * MINUTE_MS, [(end_ms + 2 * MINUTE_MS, 12)])
        for minutes in (10, 20, 30, 45):
            instant_ms = end_ms + minutes * MINUTE_MS
            stamp_issue(home, Out(instant_ms - MINUTE_MS, instant_ms, instant_ms + 9_000, instant_ms + 20_000))
    agenda = Agenda(settings_of(home), by_hand=False)
    Status(home, "wall").tell(WAITING, Backlog(home.landing), agenda, read_state(home.path("journal")), BAD_END)


def labelled(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """Read what is exported: by name, then by the values of the labels in the order of the specification."""
    order = {each.name: each.labels for each in METRICS}
    return {
        family.name: {tuple(each.labels[name] for name in order[family.name]): each.value for each in family.samples}
        for family in text_string_to_metric_families(text.decode())
    }
