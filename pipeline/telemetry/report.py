# SPDX-License-Identifier: Apache-2.0
"""The month's report: one page with charts in both languages, and tables for spreadsheets in one."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Final

from koma.slots import format_jst, slot_code
from pipeline.ledger.causes import CAUSES as CAUSE_NUMBERS
from pipeline.ledger.causes import STATES as STATE_WORDS
from pipeline.ledger.promise import LADDER, MISSED, OBJECTIVES
from pipeline.telemetry.charts import bars, by_day, calendar
from pipeline.telemetry.month import Episode, Month, goals
from pipeline.telemetry.page import Markup, page, say, table
from pipeline.telemetry.words import CAUSES, STATES, Both, area_name, duration, moment, same, share

TITLE: Final = Both("Report on the 30-minute energy", "30分電力量提供 月次報告")
GOAL_WORDS: Final = {
    "on_time": Both("(retailer, slot) out within 60 minutes", "60分以内の提供（小売×コマ）"),
    "complete": Both("cells published when the slot was closed", "確定時点の充足率"),
}
_BY_DAY: Final = Both(", by day", "（日別）")
EPISODES_SHOWN: Final = 100


def report(month: Month, *, written_ms: int, language: str = "en") -> Markup:
    """Return the page of a month."""
    parts = [
        _verdict(month, written_ms),
        _episodes(month),
        _days(month),
        _calendar(month),
        _causes(month),
        _areas(month),
        _retailers(month),
    ]
    return page(same(month.name + " ") + TITLE, "".join(parts), language=language)


def _verdict(month: Month, written_ms: int) -> Markup:
    reached = goals(month)
    lost = [name for name, goal, found in reached if found is not None and found < goal]
    known = any(found is not None for *_, found in reached)
    verdict = Both("the promise was kept", "目標達成") if not lost else Both("the promise was not kept", "目標未達")
    if not known:
        verdict = Both("nothing is known of it", "記録なし")
    last = month.slots[-1].line
    covers = Both(
        f"{len(month.slots):,} slots until {moment(last.end_ms)} JST, as known at {moment(written_ms)}",
        f"{moment(last.end_ms)}までの{len(month.slots):,}コマ（{moment(written_ms)}時点）",
    )
    gone = Both("", "")
    if month.unknown:
        gone = Both(f"; of {month.unknown:,} slots the ledger has nothing", f"、うち{month.unknown:,}コマは記録なし")
    heads = (Both("goal", "目標"), Both("asked", "目標値"), Both("reached", "実績"), Both("missed", "未達件数"))
    kind = "page" if lost else "" if known else "notice"
    rows = [
        (
            say(GOAL_WORDS[name]),
            f"{goal * 100:g}%",
            "–" if found is None else f"<strong>{_exact(found)}</strong>",
            f"{_missed(month, name):,}",
        )
        for name, goal, found in reached
    ]
    return (
        f'<p class="dim">{say(TITLE)}</p><div class="head {kind}"><h1>{say(same(month.name + ": ") + verdict)}</h1>'
        f'<p class="dim">{say(covers + gone)}</p></div>{table(heads, rows, numbers=(1, 2, 3))}'
        f"{_way(month)}"
    )


def _way(month: Month) -> Markup:
    """Say how long the whole way took, where a watch noted it."""
    times = [month.whole_way.percentile_s(percent) for percent in (50, 95, 99)]
    if times[0] is None:
        return ""
    parts = [
        same(f" {percent} % ≤ ") + duration(seconds or 0) + same(";" if percent < 99 else "")
        for percent, seconds in zip((50, 95, 99), times, strict=True)
    ]
    return f"<p>{say(sum(parts, Both('from measured to published:', '計測から公開まで:')))}</p>"


def _exact(part: float) -> str:
    """Return a share in percent, never rounded up to all of it."""
    return "100%" if part >= 1 else f"{int(part * 100_000) / 1000:.3f}%"


def _missed(month: Month, objective: str) -> int:
    if objective == "on_time":
        return sum(each.promised - each.kept for each in month.days)
    return sum(each.due - each.published for each in month.days)


def _episodes(month: Month) -> Markup:
    title = Both("What went wrong", "未達の経過")
    if not month.episodes:
        return f"<h2>{say(title)}</h2><p>{say(Both('nothing', 'なし'))}</p>"
    heads = (
        Both("from", "開始"),
        Both("until", "終了"),
        Both("slots", "コマ数"),
        Both("where", "場所"),
        Both("what", "内容"),
    )
    rows = (
        (moment(each.first.start_ms), moment(each.last.end_ms), f"{each.slots:,}", say(_where(each)), say(_what(each)))
        for each in month.episodes[:EPISODES_SHOWN]
    )
    more = len(month.episodes) - EPISODES_SHOWN
    rest = (
        f'<p class="dim">{say(Both(f"and {more:,} more: see the CSV", f"他{more:,}件はCSV参照"))}</p>'
        if more > 0
        else ""
    )
    return f"<h2>{say(title)}</h2>{table(heads, rows, numbers=(2,))}{rest}"


def _where(each: Episode) -> Both:
    return area_name(each.area) if each.area else Both("all areas", "全エリア")


def _what(each: Episode) -> Both:
    if each.area:
        worst = share(int(each.worst * 1000), 1000)
        return Both(f"cells missing; {worst} published in the worst slot", f"欠測。最も悪いコマの充足率 {worst}")
    if each.worst == float("inf"):
        return Both("a deadline was missed; not all of it is out", "期限超過。未公開のコマあり")
    took = duration(each.worst * 60)
    return Both(f"a deadline was missed; the latest out after {took.en}", f"期限超過。最長で{took.ja}後に公開")


def _days(month: Month) -> Markup:
    on_time = [(each.day.day, each.kept / each.promised if each.promised else None) for each in month.days]
    complete = [(each.day.day, each.published / each.due if each.due else None) for each in month.days]
    parts = [
        f"<section><h2>{say(words + _BY_DAY)}</h2>{by_day(days, OBJECTIVES[name], words)}</section>"
        for name, words, days in (
            ("on_time", GOAL_WORDS["on_time"], on_time),
            ("complete", GOAL_WORDS["complete"], complete),
        )
    ]
    return f'<div class="two">{"".join(parts)}</div>'


def _calendar(month: Month) -> Markup:
    title = Both("Every slot against its deadlines", "コマ別の期限遵守")
    rows: dict[int, list[str]] = {}
    for each in month.slots:
        state = each.line.state if each.line.surveyed_ms is not None else "unknown"
        rows.setdefault(_day(each.line.start_ms), []).append(state)
    key = "".join(f'<i class="{state}"></i>{say(words)}' for state, words in STATES.items())
    return f'<h2>{say(title)}</h2>{calendar(list(rows.items()), title)}<p class="key dim">{key}</p>'


def _day(ms: int) -> int:
    return int(format_jst(ms)[8:10])


def _causes(month: Month) -> Markup:
    title = Both("What is missing by now, by cause", "現時点の欠測（原因別）")
    totals: dict[str, int] = {}
    for tally in month.areas.values():
        for cause, count in tally.missing.items():
            totals[cause] = totals.get(cause, 0) + count
    if not totals:
        return f"<h2>{say(title)}</h2><p>{say(Both('nothing', 'なし'))}</p>"
    rows = [
        (CAUSES[cause], totals[cause], f"{totals[cause]:,}") for cause in sorted(totals, key=lambda each: -totals[each])
    ]
    return f"<h2>{say(title)}</h2>{bars(rows, title)}"


def _areas(month: Month) -> Markup:
    heads = (
        Both("area", "エリア"),
        Both("cells due", "対象件数"),
        Both("published by now", "公開済み"),
        Both("missing", "欠測"),
    )
    rows = (
        (say(area_name(area)), f"{each.due:,}", share(each.published, each.due), f"{sum(each.missing.values()):,}")
        for area, each in month.areas.items()
    )
    return f"<h2>{say(Both('By area', 'エリア別'))}</h2>{table(heads, rows, numbers=(1, 2, 3))}"


def _retailers(month: Month) -> Markup:
    heads = (
        Both("retailer", "小売"),
        Both("slots", "コマ数"),
        Both("in time", "期限内"),
        Both("cells, normal states too", "全件数（通信なし等を含む）"),
        Both("with a value by now", "値あり"),
    )
    rows = (
        (
            code,
            f"{each.slots:,}",
            share(each.in_time, each.slots),
            f"{each.expected:,}",
            share(each.available, each.expected),
        )
        for code, each in month.retailers.items()
    )
    return f"<h2>{say(Both('By retailer', '小売電気事業者別'))}</h2>{table(heads, rows, numbers=(1, 2, 3, 4))}"


def sheets(month: Month, *, language: str = "en") -> Iterator[tuple[str, bytes]]:
    """Yield the tables as CSV, heads in a language; they begin with the mark by which spreadsheets know UTF-8."""
    yield "slots", _csv(_SLOT_HEADS, _slot_rows(month), language)
    yield "areas", _csv(_AREA_HEADS, _area_rows(month), language)
    yield "retailers", _csv(_RETAILER_HEADS, _retailer_rows(month), language)
    yield "episodes", _csv(_EPISODE_HEADS, _episode_rows(month), language)


def _csv(heads: Iterable[Both], rows: Iterable[Iterable[object]], language: str) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([getattr(each, language) for each in heads])
    writer.writerows([["" if value is None else value for value in row] for row in rows])
    return text.getvalue().encode("utf-8-sig")


_CAUSE_WORDS: Final = [STATE_WORDS[each] for each in CAUSE_NUMBERS[:-1]]
"""Of cells; files that wait are no cells."""
_SLOT_HEADS: Final = (
    Both("slot_start", "コマ開始"),
    Both("time_code", "時刻コード"),
    Both("state", "状態"),
    Both("cells_due", "対象件数"),
    Both("published_at_closing", "確定時点の公開件数"),
    Both("published_by_now", "現時点の公開件数"),
    Both("retailers", "小売数"),
    Both("retailers_in_time", "期限内の小売数"),
    Both("out_at", "全量公開時刻"),
    *(Both(f"deadline_{each.minutes}", f"{each.minutes}分期限") for each in LADDER),
    *(Both(f"missing_{each}", f"欠測_{CAUSES[each].ja}") for each in _CAUSE_WORDS),
)
_AREA_HEADS: Final = (
    Both("area", "エリア"),
    Both("cells_due", "対象件数"),
    Both("published_by_now", "現時点の公開件数"),
    *(Both(f"missing_{each}", f"欠測_{CAUSES[each].ja}") for each in _CAUSE_WORDS),
)
_RETAILER_HEADS: Final = (
    Both("retailer_code", "小売電気事業者コード"),
    Both("slots", "コマ数"),
    Both("slots_in_time", "期限内コマ数"),
    Both("cells_expected", "全件数（通信なし等を含む）"),
    Both("cells_with_value", "値あり件数"),
)
_EPISODE_HEADS: Final = (
    Both("from", "開始"),
    Both("until", "終了"),
    Both("slots", "コマ数"),
    Both("area", "エリア"),
    Both("lowest_completeness", "最低充足率"),
    Both("latest_out_minutes", "最長公開所要分"),
)


def _slot_rows(month: Month) -> Iterator[list[object]]:
    for each in month.slots:
        line, known = each.line, each.line.surveyed_ms is not None
        counts = line.counts
        promised = each.promised
        yield [
            format_jst(line.start_ms),
            f"{slot_code(line.slot):02d}",
            line.state if known else "unknown",
            counts.due if known else None,
            None if promised is None else promised[1],
            counts.published if known else None,
            line.retailers if known else None,
            sum(each.in_time.values()) if known else None,
            None if line.out_ms is None else format_jst(line.out_ms),
            *(("missed" if rung.state == MISSED else rung.state) if known else None for rung in line.deadlines),
            *(counts.missing.get(cause, 0) if known else None for cause in _CAUSE_WORDS),
        ]


def _area_rows(month: Month) -> Iterator[list[object]]:
    for area, each in month.areas.items():
        yield [area, each.due, each.published, *(each.missing.get(cause, 0) for cause in _CAUSE_WORDS)]


def _retailer_rows(month: Month) -> Iterator[list[object]]:
    for code, each in month.retailers.items():
        yield [code, each.slots, each.in_time, each.expected, each.available]


def _episode_rows(month: Month) -> Iterator[list[object]]:
    for each in month.episodes:
        minutes = None if each.area or each.worst == float("inf") else round(each.worst, 1)
        yield [
            format_jst(each.first.start_ms),
            format_jst(each.last.end_ms),
            each.slots,
            each.area,
            round(each.worst, 4) if each.area else None,
            minutes,
        ]
