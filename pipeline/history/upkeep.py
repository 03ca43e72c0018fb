# SPDX-License-Identifier: Apache-2.0
"""Upkeep of the store while others read it: parts of a day become one, days of a month become one, old months go.

What is put together is chosen from the catalogue alone, so a cut-off run is simply begun again.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from koma.limits import HISTORY_MONTHS
from koma.slots import MS_PER_DAY, SLOTS_PER_DAY, first_slot_of_day, slot_at_ms, slot_date, slot_start_ms
from pipeline.history.catalogue import PARTS, Catalogue, Part
from pipeline.history.files import Files
from pipeline.history.merge import blocks
from pipeline.history.parts import PartWriter, bounds_of

DAY_SETTLED_MS: Final = 6 * 3_600_000
"""After a day's end most of what was late has come."""
MONTH_SETTLED_MS: Final = 3 * MS_PER_DAY
LATE_PARTS: Final = 16
"""So many parts of late rows of a month become one."""
LATE_SHARE: Final = 8
"""Late rows of a month of more than an eighth of the others are put among them."""
LANES: Final = 2
"""Halves of the points that are worked on side by side."""


@dataclass(frozen=True, slots=True)
class Merge:
    """Parts that become parts of another level."""

    level: int
    parts: tuple[Part, ...]


def plan_merges(catalogue: Catalogue) -> Iterator[Merge]:
    """Yield what is to be put together now; no part stands in two of them."""
    by_month: dict[date, list[Part]] = defaultdict(list)
    for part in catalogue.parts:
        by_month[slot_date(part.first_slot).replace(day=1)].append(part)
    for month, parts in sorted(by_month.items()):
        ended_ms = slot_start_ms(first_slot_of_day(_following(month)))
        if catalogue.until_ms >= ended_ms + MONTH_SETTLED_MS:
            yield from _of_month(parts)
        else:
            yield from _of_days(parts, catalogue.until_ms)


def _following(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _of_month(parts: Sequence[Part]) -> Iterator[Merge]:
    late = [each for each in parts if each.level < 2]
    rows = sum(each.rows for each in late)
    if rows * LATE_SHARE > sum(each.rows for each in parts) - rows:
        yield Merge(2, tuple(parts))
    elif len(late) >= LATE_PARTS:
        yield Merge(1, tuple(late))


def _of_days(parts: Sequence[Part], until_ms: int) -> Iterator[Merge]:
    by_day: dict[date, list[Part]] = defaultdict(list)
    late: list[Part] = []
    for part in parts:
        first, last = slot_date(part.first_slot), slot_date(part.last_slot)
        settled_ms = slot_start_ms(first_slot_of_day(first) + SLOTS_PER_DAY) + DAY_SETTLED_MS
        if first == last and until_ms < settled_ms:
            continue  # a day that goes on
        if first == last:
            by_day[first].append(part)
        else:
            late.append(part)
    for of_day in by_day.values():
        fresh = [each for each in of_day if each.level == 0]
        if len(fresh) == len(of_day) > 1 or len(fresh) >= LATE_PARTS:
            yield Merge(1, tuple(of_day))
    if len(late) >= LATE_PARTS:
        yield Merge(1, tuple(late))


def carry_out(files: Files, merge: Merge, prefix: str) -> list[Part]:
    """Write the parts that stand for some others; nobody knows of them yet."""
    names = [each.name for each in merge.parts]
    cuts = ["", *_middles(files, merge.parts), "~"]
    with ThreadPoolExecutor(max_workers=LANES) as pool:
        lanes = [
            pool.submit(_lane, files, names, (cuts[k], cuts[k + 1]), PartWriter(files, f"{prefix}-{k}", merge.level))
            for k in range(len(cuts) - 1)
        ]
        return [part for each in lanes if (part := each.result()) is not None]


def _lane(files: Files, names: Sequence[str], ids: tuple[str, str], writer: PartWriter) -> Part | None:
    for block in blocks(files, names, ids=ids):
        writer.add(block)
    return writer.close()


def _middles(files: Files, parts: Iterable[Part]) -> list[str]:
    """Return the point ids at which lanes meet: the largest part's files are shared out evenly."""
    bounds = bounds_of(files, max(parts, key=lambda each: each.rows).name)
    return sorted({bounds.first(k * len(bounds) // LANES) for k in range(1, LANES)} - {bounds.first(0)})


def outdated(catalogue: Catalogue) -> list[Part]:
    """Return the parts of months before the last thirteen and the current one."""
    if not catalogue.parts:
        return []
    now = slot_date(slot_at_ms(catalogue.until_ms))
    months = now.year * 12 + now.month - 1 - HISTORY_MONTHS
    oldest = date(months // 12, months % 12 + 1, 1)
    return [each for each in catalogue.parts if slot_date(each.last_slot) < oldest]


def sweep(files: Files, catalogue: Catalogue, now_s: int, grace_s: int) -> Catalogue | None:
    """Remove parts that nobody can be reading any more, and what a crash left; returns the catalogue without them.

    Args:
        files: of the store.
        catalogue: the newest.
        now_s: second of the machine's clock.
        grace_s: how long a part that went stays for those who read by an older catalogue.

    """
    waiting = tuple((name, at_s) for name, at_s in catalogue.gone if now_s - at_s < grace_s)
    known = {each.name for each in catalogue.parts} | {name for name, _ in waiting}
    for name in files.names(PARTS):
        if name not in known:
            files.remove_folder(f"{PARTS}/{name}")
    if waiting == catalogue.gone:
        return None
    return replace(catalogue, number=catalogue.number + 1, gone=waiting)
