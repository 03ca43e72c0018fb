# SPDX-License-Identifier: Apache-2.0
"""Reconciliation: where two stores say different things of the same point, which point it is and what to do.

Stores are set beside each other pair by pair, along the way of the data: the other system's master and ours, the
head-end and the registers, registers and intervals, intervals and deliveries, deliveries and history, deliveries and
what retailers fetched. In 2016 a copy between two of these failed, and nobody looked at both.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from koma.errors import HistoryError
from koma.settings import Settings
from koma.slots import SLOTS_PER_DAY, first_slot_of_day, format_jst, slot_at_ms, slot_start_ms
from pipeline.history import proof
from pipeline.history.catalogue import NEVER, newest
from pipeline.history.files import store_files
from pipeline.history.reading import IntervalStore
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.ledger.reading import named_points
from pipeline.master.difference import differences

PAIRS: Final = {
    "not_collected": "head-end and registers",
    "waiting_for_pair": "head-end and registers",
    "quarantined": "registers and quarantine",
    "master_mismatch": "registers and master",
    "refused": "registers and intervals",
    "computed_not_published": "intervals and deliveries",
    "published_not_fetched": "deliveries and retailers",
}
"""Cause of the ledger to the stores that disagree."""
MASTERS: Final = "the other master and ours"
HISTORY: Final = "deliveries and history"
TO_DO: Final = {
    "lacks": "import the row: koma master import",
    "differs": "find out which copy is right; import ours anew, or send ours to them",
    "refused": "correct the row: koma master import names what is wrong with it",
    "surplus": "ask why they no longer have it; cancel it here if it is wrong",
    "rows": "koma history rebuild",
    "unreadable": "restore the delivery file from a copy of the home: koma home check names it",
    "not_collected": "ask the head-end for these meters",
    "waiting_for_pair": "ask the head-end for the read at the slot's start",
    "quarantined": "koma quarantine list, repair, koma quarantine replay",
    "master_mismatch": "register the meter: koma master import",
    "refused_value": "look for an exchange that is not registered, or read the meter",
    "computed_not_published": "koma home check; the next run issues it",
    "published_not_fetched": "call the retailer's desk",
}
_ALL: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """A point of which two stores say different things."""

    between: str
    point_id: str
    what: str
    detail: str
    since: str
    """Start of the first slot concerned; empty where it is no slot's matter."""
    do: str

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def reconcile(
    home: Home,
    settings: Settings,
    now_ms: int,
    clock: str,
    *,
    master: Path | None = None,
    whole: bool = False,
    day: date | None = None,
) -> Iterator[Finding]:
    """Yield every point of which two stores disagree, pair by pair.

    Args:
        home: with registers, deliveries and ledger.
        settings: with where the history lies.
        now_ms: the time it is.
        clock: by which clock.
        master: files of the other system's master; not looked at unless given.
        whole: these are all of its rows.
        day: only slots of this day; all that the ledger and the deliveries keep unless given.

    Raises:
        MasterError: the other master cannot be read.
        HomeError: the home is damaged.

    """
    if master is not None:
        yield from _of_masters(home, settings, master, whole=whole)
    yield from _of_slots(home, now_ms, clock, day)
    yield from _of_history(home, settings, day)


def _of_masters(home: Home, settings: Settings, master: Path, *, whole: bool) -> Iterator[Finding]:
    state = read_state(home.path("journal"))
    learned_ms = None if state.now_ms == NEVER else state.now_ms
    for each in differences(home.root, master, settings, now_ms=learned_ms, whole=whole):
        rows = f"{each.rows} rows" if each.rows > 1 else "a row"
        detail = f"{each.table}: {rows} that ours {each.kind}" if each.kind == "lacks" else f"{each.table}: {rows}"
        yield Finding(MASTERS, each.point_id, each.kind, detail, "", TO_DO[each.kind])


def _of_slots(home: Home, now_ms: int, clock: str, day: date | None) -> Iterator[Finding]:
    last = slot_at_ms(now_ms) - 1
    first = None if day is None else first_slot_of_day(day)
    end_ms = now_ms if first is None else min(now_ms, slot_start_ms(first + SLOTS_PER_DAY + 1))
    slots = _ALL if first is None else max(1, min(last, first + SLOTS_PER_DAY - 1) - first + 1)
    for each in named_points(home, end_ms, clock=clock, slots=min(slots, 2160), limit=_ALL):
        code = f" ({each.code})" if each.code else ""
        detail = f"{each.cells} cells{code}, for {each.age_slots} slots, {each.age_business_days} business days"
        do = TO_DO["refused_value" if each.cause == "refused" else each.cause]
        yield Finding(PAIRS[each.cause], each.point_id, each.cause, detail, format_jst(each.since_ms), do)


def _of_history(home: Home, settings: Settings, day: date | None) -> Iterator[Finding]:
    files = store_files(home, settings)
    catalogue = newest(files)
    if catalogue.until_ms == NEVER:
        return  # a home may do without
    looked = proof.Proof()
    wanted = "" if day is None else f"{day:%Y%m%d}"
    for found in proof.differences(home, IntervalStore(files), catalogue, looked, wanted):
        if isinstance(found, HistoryError):
            yield Finding(HISTORY, "", "unreadable", found.message, "", TO_DO["unreadable"])
            continue
        name, points = found
        since = format_jst(slot_start_ms(first_slot_of_day(date.fromisoformat(name))))
        for point, rows in points.items():
            yield Finding(HISTORY, point, "rows", f"{rows} rows of the day differ", since, TO_DO["rows"])
