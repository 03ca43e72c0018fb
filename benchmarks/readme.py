# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""The measured numbers of the READMEs, read from the results of `./dev bench slot`.

    ./dev docs

rewrites what stands between the marks in README.md and README.ja.md; a test holds the two together.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "slot.jsonl"
_MARKED: Final = re.compile(r"(<!-- measured:[^>]*-->\n).*?(<!-- /measured -->\n)", re.DOTALL)
_PEERS: Final = ("duckdb", "polars")
_SMALL: Final = 1_000_000


def main() -> None:
    """Bring both READMEs up to date."""
    for name, text in texts().items():
        path = ROOT / name
        path.write_text(_MARKED.sub(rf"\g<1>{text}\g<2>", path.read_text(encoding="utf-8")), encoding="utf-8")


def texts() -> dict[str, str]:
    """Return what is to stand between the marks, by file: the latest run with the most points, and the latest small."""
    records = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    whole = [each for each in records if {"koma", "koma-parquet", *_PEERS} <= set(each["engines"])]
    whole = [each for each in whole if each["stamps"] == "two" and not each.get("later_percent")]
    most = max(each["points"] for each in whole)
    large = _facts([each for each in whole if each["points"] == most][-1])
    small = _facts([each for each in whole if each["points"] == _SMALL][-1])
    return {"README.md": _ENGLISH.format(small=small, **large), "README.ja.md": _JAPANESE.format(small=small, **large)}


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    engines = record["engines"]
    koma, bare = engines["koma"], engines["koma-parquet"]
    peer = min(float(engines[name]["median_s"]) for name in _PEERS)
    return {
        "millions": record["points"] / 1e6,
        "tens": record["points"] // 10_000,
        "cores": record["machine"]["cores"],
        "koma": float(koma["median_s"]),
        "ns": koma["ns_per_point"],
        "bytes": round(koma["peak_bytes_per_point"]),
        "gib": koma["peak_rss_bytes"] / 2**30,
        "bare": float(bare["median_s"]),
        "times": peer / float(bare["median_s"]),
        "peer": peer,
        **{name: float(engines[name]["median_s"]) for name in _PEERS},
    }


_ENGLISH: Final = """\
One slot of {millions:.4g} million points and 530 retailers, hand-over files in, zips, Parquet and manifests out,
synced: **{koma:.1f} s on {cores} cores**, {ns} ns and {bytes} bytes of peak memory a point ({gib:.1f} GiB).
DuckDB takes {duckdb:.1f} s and Polars {polars:.1f} s to read the same files, join the same master, take the
difference and write Parquet by retailer, without XML, zips, verdicts or a register book. Koma without its zips
takes {bare:.1f} s: {times:.1f} times as fast as the faster of the two. At 1 million points the price of a graph and
of two thousand files and folders shows: {small[koma]:.2f} s against {small[peer]:.2f} s.
"""

_JAPANESE: Final = """\
{tens:,}万地点・小売530社の1コマを、受け渡しファイルの読み込みから
zip・Parquet・manifest の書き出し（同期まで）、**{cores}コアで {koma:.1f} 秒**、
1地点あたり {ns} ns・最大メモリ {bytes} バイト（計 {gib:.1f} GiB）。
同じファイルを読み、同じマスタと結合し、差分を取って小売別 Parquet を書くだけで
（XML も zip も判定も指示数台帳もなしで）DuckDB は {duckdb:.1f} 秒、Polars は {polars:.1f} 秒かかります。
zip を作らない Koma は {bare:.1f} 秒で、速いほうの {times:.1f} 倍の速さです。
100万地点ではグラフと約2千のファイルの固定費が見え、{small[peer]:.2f} 秒に対し {small[koma]:.2f} 秒です。
"""


if __name__ == "__main__":
    main()
