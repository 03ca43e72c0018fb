# SPDX-License-Identifier: Apache-2.0
"""Charts as SVG inside a page: drawn 360 wide, shown up to twice that, so that a telephone shows words of full size."""

from collections.abc import Sequence
from html import escape
from typing import Final

from pipeline.telemetry.page import Markup
from pipeline.telemetry.words import Both

WIDTH: Final = 360
_LEFT: Final = 40
_RIGHT: Final = 36
_ROW: Final = 9
GOOD, LATE, BAD, PALE = "#2f8f5b", "#e69500", "#b3202a", "#dfe5eb"
COLOURS: Final = {"closed": GOOD, "late": LATE, "broken": BAD, "running": "#8ab4d8", "open": PALE, "unknown": "#fff"}


def drawing(height: float, title: Both, content: Markup) -> Markup:
    """Return a drawing that says in words what it shows."""
    names = "".join(
        f'<title class="{each}" lang="{each}">{escape(getattr(title, each))}</title>' for each in ("en", "ja")
    )
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img">{names}{content}</svg>\n'


def by_day(days: Sequence[tuple[int, float | None]], goal: float, title: Both) -> Markup:
    """Draw a bar a day for shares (0 to 1); the scale begins where the worst of them, or the goal, needs it to.

    A bar below the goal is red and hatched by its outline, one of which nothing is known is left out.
    """
    known = [share for _, share in days if share is not None]
    low = min([goal - (1 - goal), *known])
    low = max(0.0, low - (1 - low) * 0.1)
    top, base = 8.0, 98.0
    step = (WIDTH - _LEFT - _RIGHT) / max(1, len(days))

    def y(share: float) -> float:
        return base - (share - low) / (1 - low) * (base - top)

    parts = [_line(y(1), "100%"), _line(base, f"{low * 100:.4g}%"), _line(y(goal), "", dashed=True)]
    parts.append(f'<text x="{WIDTH - _RIGHT + 3}" y="{y(goal) + 3.5:.1f}">{goal * 100:g}%</text>')
    for at, (day, share) in enumerate(days):
        x = _LEFT + at * step
        if share is not None:
            colour = GOOD if share >= goal else BAD
            high = max(1.5, base - y(share))
            parts.append(
                f'<rect x="{x + step * 0.12:.1f}" y="{base - high:.1f}" width="{step * 0.76:.1f}" height="{high:.1f}"'
                f' fill="{colour}"><title>{day}: {share * 100:.3f}%</title></rect>'
            )
        if day == 1 or day % 5 == 0:
            parts.append(f'<text x="{x + step / 2:.1f}" y="110" text-anchor="middle">{day}</text>')
    return drawing(114, title, "".join(parts))


def _line(y: float, words: str, *, dashed: bool = False) -> Markup:
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return (
        f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#57606a" stroke-width=".7"{dash}/>'
        f'<text x="{_LEFT - 3}" y="{y + 3.5:.1f}" text-anchor="end">{words}</text>'
    )


def calendar(days: Sequence[tuple[int, Sequence[str]]], title: Both) -> Markup:
    """Draw a month as rows of days and columns of 48 slots, each in the colour of its state."""
    wide = (WIDTH - _LEFT - _RIGHT) / 48
    parts = [f'<text x="{_LEFT + hour * 2 * wide:.1f}" y="9">{hour:02d}:00</text>' for hour in range(0, 24, 6)]
    for row, (day, states) in enumerate(days):
        y = 13 + row * _ROW
        if day == 1 or day % 5 == 0:
            parts.append(f'<text x="{_LEFT - 5}" y="{y + 8}" text-anchor="end">{day}</text>')
        for first, length, state in _runs(states):
            parts.append(
                f'<rect x="{_LEFT + first * wide:.2f}" y="{y}" width="{length * wide - 0.3:.2f}" height="{_ROW - 1}"'
                f' fill="{COLOURS[state]}"{_EDGE if state in {"broken", "unknown"} else ""}/>'
            )
    return drawing(15 + len(days) * _ROW, title, "".join(parts))


_EDGE: Final = ' stroke="#1b1f24" stroke-width=".5"'


def _runs(states: Sequence[str]) -> list[tuple[int, int, str]]:
    """Return runs of equal states: a month of good slots is thirty-one rectangles, not fifteen hundred."""
    found: list[tuple[int, int, str]] = []
    for at, state in enumerate(states):
        if found and found[-1][2] == state:
            found[-1] = (found[-1][0], found[-1][1] + 1, state)
        else:
            found.append((at, 1, state))
    return found


def bars(rows: Sequence[tuple[Both, float, str]], title: Both) -> Markup:
    """Draw named numbers as bars to the right, the longest filling the width; each with its number in words."""
    longest = max((value for _, value, _ in rows), default=0.0) or 1.0
    parts = []
    for at, (name, value, words) in enumerate(rows):
        y = 4 + at * 26
        for each, text in (("en", name.en), ("ja", name.ja)):
            shown = escape(f"{text}: {words}")
            parts.append(f'<text class="{each}" lang="{each}" x="0" y="{y + 9}">{shown}</text>')
        parts.append(f'<rect x="0" y="{y + 12}" width="{value / longest * WIDTH:.1f}" height="8" fill="{BAD}"/>')
    return drawing(8 + len(rows) * 26, title, "".join(parts))
