# SPDX-License-Identifier: Apache-2.0
"""The record of balances: `totals/balance-YYYYMMDD.jsonl`, a line for each slot that was checked and came out anew.

The newest line of a slot holds: what it finds is an alarm until a later check finds it no more. Findings have the
form of the ledger's alarms.
"""

import fcntl
import json
from collections.abc import Iterable
from typing import Any, Final

from koma.slots import format_jst
from pipeline.columns import replace_file
from pipeline.home import Home
from pipeline.totals.tables import json_lines

_NAME: Final = "balance-{day}.jsonl"


def record(home: Home, checked: Iterable[dict[str, Any]], as_of_ms: int) -> int:
    """Keep what slots came to, as known at an instant; returns how many of them came out anew.

    Args:
        home: where it is kept.
        checked: a slot each, with `slot_start`.
        as_of_ms: the instant.

    """
    by_day: dict[str, list[dict[str, Any]]] = {}
    for each in checked:
        by_day.setdefault(each["slot_start"][:10].replace("-", ""), []).append(each)
    new = 0
    with (home.path("run") / "balance.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for day, mine in sorted(by_day.items()):
            path = home.path("totals") / _NAME.format(day=day)
            lines = json_lines(path)
            last = {line["slot_start"]: {k: v for k, v in line.items() if k != "as_of"} for line in lines}
            fresh = [each for each in mine if last.get(each["slot_start"]) != each]
            if fresh:
                lines += [{"as_of": format_jst(as_of_ms)} | each for each in fresh]
                replace_file(path, b"".join(json.dumps(each, ensure_ascii=False).encode() + b"\n" for each in lines))
            new += len(fresh)
    return new


def recorded(home: Home, days: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Return by how many imports of declarations, and of energy, each slot of some days was balanced last."""
    lines = [line for day in days for line in json_lines(home.path("totals") / _NAME.format(day=day))]
    return {line["slot_start"]: (line["declarations"], line["given"]) for line in lines}


def standing(home: Home) -> list[dict[str, Any]]:
    """Return what the newest day with findings still has of them, the latest slot last."""
    for path in sorted(home.path("totals").glob(_NAME.format(day="*")), reverse=True):
        newest = {line["slot_start"]: line for line in json_lines(path)}
        found = [
            each | {"issued_at": newest[start]["as_of"]}
            for start in sorted(newest)
            for each in newest[start]["findings"]
        ]
        if found:
            return found
    return []
