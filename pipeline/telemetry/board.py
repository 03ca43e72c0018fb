# SPDX-License-Identifier: Apache-2.0
"""The board of a control room: what is wrong first, then the day's slots, freshness, completeness, what is fetched."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Final

from koma.slots import SLOTS_PER_DAY
from pipeline.ledger.histogram import Histogram
from pipeline.ledger.model import STAGES, Counts, SlaModel, SlotLine
from pipeline.ledger.promise import LADDER, OBJECTIVES
from pipeline.telemetry.findings import FETCH_LATE_S, Finding, findings, is_late, worst_of
from pipeline.telemetry.page import Markup, bar, page, say, table
from pipeline.telemetry.words import (
    CAUSES,
    SEVERITIES,
    STAGE_WORDS,
    STATES,
    Both,
    area_name,
    clock,
    duration,
    moment,
    same,
    share,
)

TITLE: Final = Both("Koma: how the promise stands", "Koma: 30分電力量の提供状況")
ROWS_SHOWN: Final = 12
"""Of groups and of retailers: the worst ones."""
_CLOCKS: Final = {"wall": "実時刻", "manual": "手動時刻"}
DUTY_S: Final = LADDER[-1].minutes * 60


def board(model: SlaModel, *, language: str = "en") -> Markup:
    """Return the page; it shows the slots of the model, which are a day's at best."""
    found = findings(model)
    parts = [
        _head(model, found),
        _found(model, found),
        _wall(model),
        f'<div class="two"><section>{_freshness(model)}</section><section>{_areas(model)}</section></div>',
        f'<div class="two"><section>{_groups(model)}</section><section>{_retailers(model)}</section></div>',
    ]
    return page(TITLE, "".join(parts), language=language)


def _head(model: SlaModel, found: list[Finding]) -> Markup:
    worst = worst_of(found)
    many = Both(
        f"{len(found)} {'thing is' if len(found) == 1 else 'things are'} wrong" if found else "All in order",
        f"異常 {len(found)}件" if found else "異常なし",
    )
    by = Both(f"by the {model.clock} clock", _CLOCKS.get(model.clock, "データ時刻"))
    stands = Both(f"{moment(model.at_ms)} JST {by.en}", f"{moment(model.at_ms)} 現在（{by.ja}）")
    issued = Both("; nothing issued yet", "、未発行")
    if model.issued_ms is not None:
        issued = Both(f"; issued until {clock(model.issued_ms)}", f"、{clock(model.issued_ms)}まで発行済み")
    return f'<div class="head {worst}"><h1>{say(many)}</h1><p class="dim">{say(stands + issued)}</p></div>\n'


def _found(model: SlaModel, found: list[Finding]) -> Markup:
    if not found:
        return ""
    heads = (
        Both("how urgent", "緊急度"),
        Both("where", "場所"),
        Both("what", "内容"),
        Both("since", "いつから"),
        Both("what to do", "対応"),
    )
    rows = (
        (
            f'<span class="tag {each.severity}">{say(SEVERITIES[each.severity])}</span>',
            f"<strong>{say(each.where)}</strong>",
            say(each.what),
            say(_since(model, each)),
            say(each.do),
        )
        for each in found
    )
    return table(heads, rows, kind="stack")


def _since(model: SlaModel, found: Finding) -> Both:
    age = duration(max(0, model.at_ms - found.since_ms) / 1000)
    return Both(f"since {moment(found.since_ms)} ({age.en})", f"{moment(found.since_ms)}から（{age.ja}）")


def _wall(model: SlaModel) -> Markup:
    """Show a column a slot: how it stands against the promise, and below how complete each area is."""
    lines = model.slots[-SLOTS_PER_DAY:]
    areas = sorted({area for line in lines for area in line.areas})
    cells = ["<span></span>", *_hours(lines)]
    cells += [f"<span>{say(Both('promise', '期限'))}</span>", *(_slot(line) for line in lines)]
    cells += ["<i></i>"] * (SLOTS_PER_DAY - len(lines))
    for area in areas:
        cells += [f"<span>{say(area_name(area))}</span>", *(_area(line, area) for line in lines)]
        cells += ["<i></i>"] * (SLOTS_PER_DAY - len(lines))
    key = "".join(f'<i class="{state}"></i>{say(words)}' for state, words in STATES.items())
    also = Both(
        " — areas: green at least 98 % of cells, orange 90 to 98 % or reads late, red below",
        " ― エリア: 緑 98%以上、橙 90〜98%または到着遅延、赤 90%未満",
    )
    title = Both("Slots of the last day", "直近1日のコマ")
    return f'<h2>{say(title)}</h2><div class="wall">{"".join(cells)}</div><p class="key dim">{key}{say(also)}</p>\n'


def _hours(lines: tuple[SlotLine, ...]) -> Iterator[Markup]:
    for at in range(0, SLOTS_PER_DAY, 4):
        shown = clock(lines[at].start_ms)[:5] if at < len(lines) and at % 8 == 0 else ""
        yield f'<i class="h">{shown}</i>'


def _slot(line: SlotLine) -> Markup:
    return f'<i class="{line.state}" title="{clock(line.start_ms)} {line.state}"></i>'


def _area(line: SlotLine, area: str) -> Markup:
    counts = line.areas.get(area)
    if counts is None or line.surveyed_ms is None or counts.completeness is None:
        return f'<i class="unknown" title="{clock(line.start_ms)}"></i>'
    done = counts.completeness
    kind = "closed" if done >= OBJECTIVES["complete"] else "late" if done >= 0.9 else "broken"
    kind = "late" if kind == "closed" and is_late(line, area) else kind
    kind = kind if line.is_named else "running"
    return f'<i class="{kind}" title="{clock(line.start_ms)} {area} {share(counts.published, counts.due)}"></i>'


def _freshness(model: SlaModel) -> Markup:
    title = f"<h2>{say(Both('Freshness', '鮮度'))}</h2>"
    out = [line for line in model.slots if line.out_ms is not None]
    text = Both("no slot is wholly out", "全量公開済みのコマなし")
    if out:
        took = duration((out[-1].out_ms or 0) / 1000 - out[-1].end_ms / 1000)
        text = Both(
            f"newest slot wholly out: {clock(out[-1].start_ms)}, {took.en} after its end (promise: 60 min)",
            f"全量公開済みの最新コマ: {clock(out[-1].start_ms)}、コマ終了から{took.ja}（期限60分）",
        )
    rows = []
    for stage in STAGES:
        whole = sum((each.latencies[stage] for each in model.slots if stage in each.latencies), Histogram.empty())
        times = [whole.percentile_s(percent) for percent in (50, 95, 99)]
        if times[1] is not None:
            kind = "bad" if times[1] > DUTY_S else "late" if times[1] > DUTY_S / 2 else ""
            shown = [say(duration(each or 0)) for each in times]
            rows.append((say(STAGE_WORDS[stage]), *shown, bar(times[1] / DUTY_S, kind=kind)))
    heads = (
        Both("from → to", "区間"),
        *(same(f"{percent} %") for percent in (50, 95, 99)),
        Both("95 % of 60 min", "95%値／60分"),
    )
    return f"{title}<p>{say(text)}</p>{table(heads, rows, numbers=(1, 2, 3))}"


def _areas(model: SlaModel) -> Markup:
    line = model.named
    if line is None:
        none = Both("no slot is old enough yet", "集計対象のコマなし")
        return f"<h2>{say(Both('Completeness by area', 'エリア別の充足率'))}</h2><p>{say(none)}</p>"
    title = Both(
        f"Completeness by area, slot {clock(line.start_ms)}", f"エリア別の充足率（{clock(line.start_ms)}のコマ）"
    )
    heads = (
        Both("area", "エリア"),
        Both("cells", "件数"),
        Both("complete", "充足率"),
        same(""),
        Both("missing", "欠測"),
    )
    rows = [
        (
            say(area_name(area)),
            f"{counts.due:,}",
            share(counts.published, counts.due),
            bar(counts.completeness or 0, kind=_kind(counts), mark=OBJECTIVES["complete"]),
            _missing(counts.missing),
        )
        for area, counts in line.areas.items()
    ]
    return f"<h2>{say(title)}</h2>{table(heads, rows, numbers=(1, 2))}"


def _kind(counts: Counts) -> str:
    return "" if (counts.completeness or 0) >= OBJECTIVES["complete"] else "bad"


def _missing(missing: Mapping[str, int]) -> Markup:
    worst = sorted(missing, key=lambda cause: -missing[cause])[:2]
    return ", ".join(f"{say(CAUSES[cause])} {missing[cause]:,}" for cause in worst)


def _groups(model: SlaModel) -> Markup:
    title = f"<h2>{say(Both('Groups of concentrators', '集約装置グループ別の充足率'))}</h2>"
    if not model.groups:
        none = Both("no groups are named (KOMA_GROUPS)", "グループ未設定（KOMA_GROUPS）")
        return f'{title}<p class="dim">{say(none)}</p>'
    worst = sorted(model.groups, key=lambda each: (-each.missing / each.points, each.group))
    heads = (
        Both("group", "グループ"),
        Both("area", "エリア"),
        Both("reporting", "報告率"),
        same(""),
        Both("silent since", "無報告の開始"),
    )
    rows = [
        (
            escape(each.group),
            say(area_name(each.area)),
            share(each.points - each.missing, each.points),
            bar(1 - each.missing / each.points, kind="bad" if each.silent_since_ms else ""),
            moment(each.silent_since_ms) if each.silent_since_ms is not None else "",
        )
        for each in worst[:ROWS_SHOWN]
    ]
    return f"{title}{table(heads, rows, numbers=(2,))}{_more(len(worst))}"


def _retailers(model: SlaModel) -> Markup:
    title = f"<h2>{say(Both('What retailers have not fetched', '小売電気事業者の未取得'))}</h2>"
    if not model.gateway:
        none = Both("no gateway has served this home: not known", "ゲートウェイ未稼働のため不明")
        return f'{title}<p class="dim">{say(none)}</p>'
    found = model.stagnation
    worst = sorted(found.waiting_since_ms, key=lambda code: found.waiting_since_ms[code])
    if not worst:
        return f"{title}<p>{say(Both('every file is fetched', 'すべて取得済み'))}</p>"
    heads = (
        Both("retailer", "小売"),
        Both("files over 30 min", "30分超の未取得"),
        Both("oldest waits", "最古の経過"),
        same(""),
    )
    ages = {code: (model.at_ms - found.waiting_since_ms[code]) / 1000 for code in worst}
    scale = max(2 * FETCH_LATE_S, *ages.values())
    rows = [
        (
            code,
            f"{found.waiting_files.get(code, 0):,}",
            say(duration(ages[code])),
            bar(ages[code] / scale, kind="bad" if ages[code] > FETCH_LATE_S else "", mark=FETCH_LATE_S / scale),
        )
        for code in worst[:ROWS_SHOWN]
    ]
    return f"{title}{table(heads, rows, numbers=(1, 2))}{_more(len(worst))}"


def _more(number: int) -> Markup:
    if number <= ROWS_SHOWN:
        return ""
    text = Both(f"and {number - ROWS_SHOWN:,} that stand better", f"他{number - ROWS_SHOWN:,}件")
    return f'<p class="dim">{say(text)}</p>'
