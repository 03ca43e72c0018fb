# SPDX-License-Identifier: Apache-2.0
"""Pages in a real browser: what a reader sees of a page at a width, measured and as a picture."""

import html
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.telemetry.page import POLICY

PHONE, DESKTOP = 390, 1280
SCREEN = 900
"""Height of a screen, less what the browser takes of it."""
_MEASURE = """
<script>
onload = () => {
  const page = document.querySelector("iframe").contentDocument, main = page.querySelector("main");
  const bottom = [...page.querySelectorAll(".stack tr")].map(each => each.getBoundingClientRect().bottom);
  const root = page.documentElement;
  const small = each => parseFloat(getComputedStyle(each).fontSize) < 11;
  const found = {text: main.innerText, over: root.scrollWidth - root.clientWidth,
                 bottom: Math.max(0, ...bottom),
                 tiny: [...page.querySelectorAll("main *")].filter(each => each.children.length == 0
                   && each.innerText && each.offsetWidth > 0 && small(each)).length};
  document.title = "seen"; document.body.innerHTML = "<pre id=seen></pre>";
  document.getElementById("seen").textContent = JSON.stringify(found);
};
</script>
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen of a page."""

    text: str
    over: int
    """Pixels that it is wider than the window."""
    bottom: float
    """Where the list of what is wrong ends."""
    tiny: int
    """Texts too small to read."""


def seen(chromium: Path, page: str, width: int, folder: Path) -> Seen:
    """Lay a page out in a window of some width; a frame, since a browser's own window has a least width."""
    inner = html.escape(page.replace(POLICY, ""), quote=True)
    outer = folder / f"frame-{width}.html"
    outer.write_text(
        f'<!doctype html><meta charset="utf-8"><body style="margin:0">{_MEASURE}'
        f'<iframe style="width:{width}px;height:{SCREEN}px;border:0" srcdoc="{inner}"></iframe>',
        encoding="utf-8",
    )
    dumped = _browse(chromium, folder, ["--dump-dom", "--virtual-time-budget=10000", outer.as_uri()])
    found = re.search(r'<pre id="seen">(.*?)</pre>', dumped, re.DOTALL)
    assert found is not None, dumped[:2000]
    return Seen(**json.loads(html.unescape(found[1])))


def _browse(chromium: Path, folder: Path, arguments: list[str]) -> str:
    command = [str(chromium), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout
