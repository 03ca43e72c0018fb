# SPDX-License-Identifier: Apache-2.0
"""What is wrong, where and since when: each thing once, however many alarms it raises; from the read model alone."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from pipeline.ledger.alarms import ORDER
from pipeline.ledger.model import Alarm, SlaModel, SlotLine
from pipeline.ledger.promise import MISSED, NOTICE, OBJECTIVES, PAGE, TICKET
from pipeline.telemetry.words import CAUSES, TO_DO, Both, area_name, clock, duration, share

AREA_LATE_S: Final = 1500
"""From measured to handed over, for 95 % of an area's cells; the same stands in the alert rule KomaAreaLate."""
FETCH_LATE_S: Final = 3600
"""Age of a retailer's oldest file; as in KomaFilesWait."""
ALL: Final = Both("all areas", "全エリア")
_STATUS: Final = Both("koma pipeline status says what the watch is at", "koma pipeline status で処理の状況を確認")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that somebody has to see to."""

    severity: str
    since_ms: int
    where: Both
    what: Both
    do: Both


def findings(model: SlaModel) -> list[Finding]:
    """Return what is wrong, the most severe first, then the oldest."""
    found = [
        *_of_slots(model),
        *_of_groups(model),
        *_of_areas(model),
        *_of_stagnation(model),
        *_of_retailers(model),
        *_of_the_rest(model),
    ]
    return sorted(found, key=lambda each: (ORDER.index(each.severity), each.since_ms))


def since(model: SlaModel, is_so: Callable[[SlotLine], bool]) -> int | None:
    """Return the start of the first of the newest slots of which something holds without a break; None: of none."""
    found = None
    for line in reversed(model.slots):
        if not line.is_named:
            continue
        if not is_so(line):
            break
        found = line.start_ms
    return found


def is_incomplete(line: SlotLine, area: str) -> bool:
    """Say whether more of an area is missing than may be."""
    counts = line.areas.get(area)
    return counts is not None and sum(counts.missing.values()) > (1 - OBJECTIVES["complete"]) * counts.due


def is_late(line: SlotLine, area: str) -> bool:
    """Say whether an area's reads come in late."""
    found = line.area_latencies.get(area)
    return found is not None and (found.percentile_s(95) or 0) > AREA_LATE_S


def _of_slots(model: SlaModel) -> Iterator[Finding]:
    missed = [line for line in model.slots if any(each.state == MISSED for each in line.deadlines)]
    waits = [line for line in missed if line.out_ms is None]
    for lines, out in ((waits, False), ([line for line in missed if line.out_ms is not None], True)):
        if not lines:
            continue
        worst = max(lines, key=lambda line: sum(each.state == MISSED for each in line.deadlines))
        rung = [each for each in worst.deadlines if each.state == MISSED][-1]
        slots = Both(
            f"{len(lines)} slots, the first {clock(lines[0].start_ms)}",
            f"{clock(lines[0].start_ms)}から{len(lines)}コマ",
        )
        said = (
            Both(f" came later than +{rung.minutes} min", f"が{rung.minutes}分の期限に遅れて公開")
            if out
            else Both(f" are not out, past +{rung.minutes} min", f"が{rung.minutes}分の期限を過ぎて未公開")
        )
        first_ms = next(each.due_ms for each in lines[0].deadlines if each.state == MISSED)
        yield Finding(NOTICE if out else rung.severity, first_ms, ALL, slots + said, _STATUS)


def _of_groups(model: SlaModel) -> Iterator[Finding]:
    for each in model.groups:
        if each.silent_since_ms is None:
            continue
        gone = each.missing == each.points
        text = Both(
            f"{'no point' if gone else f'only {each.points - each.missing:,}'} of {each.points:,} reports",
            f"{each.points:,}地点のうち{each.points - each.missing:,}地点のみ報告"
            if not gone
            else f"{each.points:,}地点すべて無報告",
        )
        where = Both(f"{each.group}, ", f"{each.group}、") + area_name(each.area)
        do = Both("tell who runs the concentrators", "集約装置の保守担当に連絡")
        yield Finding(PAGE, each.silent_since_ms, where, text, do)


def _of_areas(model: SlaModel) -> Iterator[Finding]:
    newest = model.named
    for area, counts in newest.areas.items() if newest is not None else ():
        gap_ms = since(model, partial(is_incomplete, area=area))
        if gap_ms is not None:
            missing = sum(counts.missing.values())
            worst = max(counts.missing, key=lambda cause: counts.missing[cause])
            part = share(missing, counts.due)
            text = Both(
                f"{missing:,} of {counts.due:,} cells missing ({part}), mostly {CAUSES[worst].en}",
                f"{counts.due:,}件中{missing:,}件が欠測（{part}）、主因は{CAUSES[worst].ja}",
            )
            yield Finding(PAGE, gap_ms, area_name(area), text, TO_DO[worst])
        late_ms = since(model, partial(is_late, area=area))
        if late_ms is not None and newest is not None:
            took = duration(newest.area_latencies[area].percentile_s(95) or 0)
            text = Both(f"reads come in late: 95 % within {took.en}", f"検針値の到着が遅い: 95%が{took.ja}以内")
            do = Both("ask the area's head-end", "当該エリアの検針システムに確認")
            yield Finding(TICKET, late_ms, area_name(area), text, do)


def _of_stagnation(model: SlaModel) -> Iterator[Finding]:
    raised = {each.area: each.severity for each in reversed(_alarms(model, "stagnated"))}
    for area, by_cause in model.stagnation.by_area.items():
        for cause, points in by_cause.items():
            if area not in raised or cause in {"not_collected", "waiting_for_pair"}:
                continue
            text = Both(f"{points:,} points stagnate: {CAUSES[cause].en}", f"{points:,}地点が滞留: {CAUSES[cause].ja}")
            start_ms = model.stagnation.since_ms[area][cause]
            yield Finding(raised[area], start_ms, area_name(area), text, TO_DO[cause])


def _of_retailers(model: SlaModel) -> Iterator[Finding]:
    for code, since_ms in model.stagnation.waiting_since_ms.items():
        age_s = (model.at_ms - since_ms) / 1000
        if age_s > FETCH_LATE_S:
            files = model.stagnation.waiting_files.get(code, 0)
            text = Both(
                f"has not fetched {files:,} files, the oldest for {duration(age_s).en}",
                f"{files:,}ファイル未取得、最古は{duration(age_s).ja}前",
            )
            where = Both(f"retailer {code}", f"小売 {code}")
            yield Finding(TICKET, since_ms, where, text, Both("call its desk", "小売電気事業者の窓口に連絡"))


def _of_the_rest(model: SlaModel) -> Iterator[Finding]:
    for each in _alarms(model, "conservation"):
        text = Both("the sums of a slot differ", "コマの合計が一致しない")
        do = Both("keep the home as it is; report it", "データを保全し、報告する")
        yield Finding(each.severity, each.since_ms, ALL, text, do)
    for each in _alarms(model, "unknown_meters"):
        text = Both("reads of unknown meters wait", "未登録計器の検針値が待機中")
        yield Finding(each.severity, each.since_ms, ALL, text, TO_DO["master_mismatch"])
    for burn in model.burns:
        raised = [each for each in _alarms(model, "burn_rate") if burn.objective in each.detail]
        if burn.burning and raised and burn.severity == raised[0].severity:
            text = _burn(burn.objective, burn.long_burn)
            yield Finding(
                burn.severity, raised[0].since_ms, ALL, text, Both("see the causes above", "上記の原因に対応")
            )
            break


def _burn(objective: str, burn: float) -> Both:
    goal = f"{OBJECTIVES[objective]:.1%}"
    named = {"on_time": Both("slots in time", "期限内提供"), "complete": Both("cells complete", "充足率")}[objective]
    return Both(
        f"{named.en}: what {goal} allows is used up {burn:,.0f} times too fast",
        f"{named.ja}: 目標{goal}の許容範囲を{burn:,.0f}倍の速さで消費",
    )


def _alarms(model: SlaModel, code: str) -> list[Alarm]:
    return [each for each in model.alarms if each.code == code]


def worst_of(found: Iterable[Finding]) -> str:
    """Return the severity of the worst; empty where nothing is wrong."""
    return next((each for each in ORDER if any(one.severity == each for one in found)), "")
