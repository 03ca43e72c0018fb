# SPDX-License-Identifier: Apache-2.0
"""Alarms of the ledger: what must hold in every slot and does not. They stop no delivery; a person has to look.

`conservation`: what the points of a slot come to has to be the same over retailers, balancing groups and areas.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from koma.slots import format_jst, slot_start_ms
from pipeline.home import Home

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
    """Return the alarms of the newest day that has any, the latest five."""
    files = sorted(home.path("ledger").glob(_NAME.format(day="*")))
    if not files:
        return []
    return [json.loads(line) for line in files[-1].read_bytes().splitlines()][-_LATEST:]
