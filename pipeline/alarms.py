# SPDX-License-Identifier: Apache-2.0
"""Alarms: what must hold in every slot and does not. They stop no delivery; a person has to look.

`conservation`: what the points of a slot come to has to be the same over retailers, balancing groups and areas. The
ledger tells of it with every issue. What `koma totals balance` finds stands beside it, as long as it is found.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from koma.slots import format_jst, slot_start_ms
from pipeline.home import Home
from pipeline.totals.records import standing

_NAME: Final = "alarms-{day}.jsonl"
_LATEST: Final = 5

Sums = Mapping[str, tuple[int, int, int]]
"""Cells, available ones and dWh, by what they were added up over."""


def alarms_name(day: str) -> str:
    """Return the name of a day's file below ledger/."""
    return _NAME.format(day=day)


def conservation_line(slot: int, issued_ms: int, sums: Sums) -> bytes:
    """Return the line that says that the sums of a slot differ."""
    record = {
        "slot_start": format_jst(slot_start_ms(slot)),
        "issued_at": format_jst(issued_ms),
        "code": "conservation",
        "detail": "cells, available ones or energy differ by what they are added up over; the files went out",
        "do": "hold the slot's files against its registers; keep the home as it is for whoever looks for the cause",
        "sums": {name: list(each) for name, each in sums.items()},
    }
    return json.dumps(record, separators=(",", ":")).encode() + b"\n"


def latest_alarms(home: Home) -> list[dict[str, Any]]:
    """Return the alarms of the newest day that has any, the latest five; then those of balances."""
    files = sorted(home.path("ledger").glob(_NAME.format(day="*")))
    found = [json.loads(line) for line in files[-1].read_bytes().splitlines()] if files else []
    return [*found[-_LATEST:], *standing(home)[-_LATEST:]]
