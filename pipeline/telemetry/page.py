# SPDX-License-Identifier: Apache-2.0
"""A page that needs nothing but itself: markup in both languages, a style, no script, nothing fetched from anywhere."""

from collections.abc import Iterable
from html import escape
from typing import Final

from pipeline.telemetry.words import Both

Markup = str
"""Text that is markup already; everything else goes through `say` or `escape`."""
LANGUAGES: Final = ("en", "ja")
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser lets a page do: show itself, in its own style."""

STYLE: Final = """
:root{--ink:#1b1f24;--dim:#57606a;--line:#d0d7de;--paper:#fff;--panel:#f6f8fa;
--good:#2f8f5b;--run:#8ab4d8;--open:#dfe5eb;--late:#e69500;--bad:#b3202a}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,"Noto Sans JP","IPAGothic",sans-serif}
main{max-width:1180px;margin:0 auto;padding:12px 16px 40px}
h1{font-size:1.5rem;margin:.2em 0}
h2{font-size:1.05rem;margin:1.6em 0 .4em}
p{margin:.3em 0}
.dim{color:var(--dim)}
.n{text-align:right;font-variant-numeric:tabular-nums}
td.n{white-space:nowrap}
input.l{position:absolute;opacity:0}
label.l{float:right;padding:2px 10px;border:1px solid var(--line);cursor:pointer}
#en:checked~main .ja,#ja:checked~main .en{display:none}
#en:checked~label[for=en],#ja:checked~label[for=ja]{background:var(--ink);color:#fff}
#en:focus-visible~label[for=en],#ja:focus-visible~label[for=ja]{outline:3px solid #0969da}
.head{border-left:10px solid var(--good);padding:.3em .8em;background:var(--panel);clear:both}
.head.page{border-color:var(--bad)}
.head.ticket{border-color:var(--late)}
.head.notice{border-color:var(--run)}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-weight:600;color:var(--dim);font-size:.85rem}
th,td{padding:5px 8px;border-bottom:1px solid var(--line);vertical-align:top}
.tag{display:inline-block;padding:0 8px;border-radius:3px;color:#fff;white-space:nowrap;font-size:.85rem}
.tag{background:#4a5560}
.tag.page{background:var(--bad)}
.tag.ticket{background:#8a5a00}
.two{display:grid;grid-template-columns:1fr 1fr;gap:0 32px}
.two>*{min-width:0}
.wall{display:grid;grid-template-columns:7.5em repeat(48,minmax(0,1fr));gap:2px 1px;font-size:.8rem}
.wall i{height:20px}
.wall .h{height:auto;grid-column:span 4;font-style:normal;color:var(--dim)}
i.closed{background:var(--good)}
i.running{background:var(--run)}
i.open{background:var(--open)}
i.late{background:repeating-linear-gradient(45deg,var(--late) 0 4px,#f6c667 4px 7px)}
i.broken{background:repeating-linear-gradient(-45deg,var(--bad) 0 5px,#6d0f16 5px 8px)}
i.unknown{outline:1px dashed var(--line);outline-offset:-1px}
.key{font-size:.85rem}
.key i{display:inline-block;width:22px;height:13px;margin:0 5px 0 14px;vertical-align:-1px}
.bar{position:relative;height:14px;margin-top:3px;background:var(--open);min-width:50px}
.bar b{position:absolute;inset:0 auto 0 0;background:var(--good)}
.bar b.bad{background:var(--bad)}
.bar b.late{background:var(--late)}
.bar u{position:absolute;top:-2px;bottom:-2px;width:2px;background:var(--ink)}
svg{display:block;width:100%;max-width:600px;height:auto}
svg text{font-size:10px;fill:var(--ink)}
@media(max-width:720px){
.two{display:block}
main{padding:8px 10px 30px}
th,td{padding:4px}
.wall{grid-template-columns:4.6em repeat(48,minmax(0,1fr));gap:2px 0}
.stack thead{display:none}
.stack tr{display:block;border-bottom:1px solid var(--line);padding:6px 0}
.stack td{display:block;border:0;padding:1px 0}
}
@media print{label.l{display:none}body{font-size:11px}}
"""


def say(text: Both) -> Markup:
    """Return a text in both languages, of which the style shows one."""
    if text.en == text.ja:
        return escape(text.en)
    return f'<span class="en" lang="en">{escape(text.en)}</span><span class="ja" lang="ja">{escape(text.ja)}</span>'


def table(
    heads: Iterable[Both], rows: Iterable[Iterable[Markup]], *, numbers: Iterable[int] = (), kind: str = ""
) -> Markup:
    """Return a table; the columns of `numbers` stand to the right."""
    right = set(numbers)

    def cell(tag: str, at: int, content: Markup) -> Markup:
        kind = ' class="n"' if at in right else ""
        return f"<{tag}{kind}>{content}</{tag}>"

    top = "".join(cell("th", at, say(each)) for at, each in enumerate(heads))
    body = "".join(f"<tr>{''.join(cell('td', at, each) for at, each in enumerate(row))}</tr>\n" for row in rows)
    return f'<table class="{kind}"><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>\n'


def bar(part: float, *, kind: str = "", mark: float | None = None) -> Markup:
    """Return a bar that is filled to a part (0 to 1), with a mark where the promise stands."""
    at = f'<u style="left:{mark * 100:.2f}%"></u>' if mark is not None else ""
    return f'<div class="bar"><b class="{kind}" style="width:{max(0.0, min(1.0, part)) * 100:.2f}%"></b>{at}</div>'


def page(title: Both, body: Markup, *, language: str) -> Markup:
    """Return a whole page that opens in one of `LANGUAGES`."""
    on = {each: " checked" if each == language else "" for each in LANGUAGES}
    return (
        f'<!doctype html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title.en if language == 'en' else title.ja)}</title><style>{STYLE}</style></head><body>\n"
        f'<input class="l" type="radio" name="l" id="en"{on["en"]}>'
        f'<input class="l" type="radio" name="l" id="ja"{on["ja"]}>'
        '<label class="l" for="ja">日本語</label><label class="l" for="en">English</label>\n'
        f"<main>\n{body}</main></body></html>\n"
    )
