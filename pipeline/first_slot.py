# SPDX-License-Identifier: Apache-2.0
"""The home's first slot: where it begins is decided once, and never moves.

`KOMA_FIRST_SLOT` decides before the first read is taken in; later it says nothing, and that is said: a first slot that
moved would issue old slots anew, or let revisions of what was issued fail to come.
"""

import json

from koma.settings import Settings
from koma.slots import format_jst, parse_jst, slot_at_ms, slot_start_ms
from pipeline.home import Home
from pipeline.journal import Journal, State


def record_first_slot(journal: Journal, settings: Settings) -> None:
    """Let the setting decide where a home begins that has not begun."""
    if journal.state.first_slot is None and settings.first_slot is not None:
        journal.append({"kind": "start", "first_slot": settings.first_slot})


def contradiction(state: State, settings: Settings) -> str:
    """Say that the setting names another slot than the one the home began with; nothing where it does not."""
    if state.first_slot is None or settings.first_slot is None or settings.first_slot == state.first_slot:
        return ""
    began, named = (format_jst(slot_start_ms(slot)) for slot in (state.first_slot, settings.first_slot))
    return f"this home began with the slot {began}; KOMA_FIRST_SLOT={named} changes nothing any more, take it away"


def recover_first_slot(home: Home, journal: Journal) -> None:
    """Record what a home of an older Koma issued first: it obeyed the setting anew each time."""
    files = sorted(home.path("ledger").glob("slots-*.jsonl"))
    if not files:
        return
    starts = [json.loads(line)["slot_start"] for line in files[0].read_bytes().splitlines()]
    first = min((slot_at_ms(parse_jst(start)) for start in starts), default=journal.state.first_slot)
    if first != journal.state.first_slot:
        journal.append({"kind": "start", "first_slot": first})
