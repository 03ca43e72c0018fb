# SPDX-License-Identifier: Apache-2.0
"""What the manifests and the ledger of a home say of each slot."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

SLOT = timedelta(minutes=30)


@dataclass(slots=True)
class SlotFacts:
    """One slot over all retailers.

    Attributes:
        expected: points due when the slot closed.
        received: registers that had arrived for the slot's end when it was last looked at.
        published: points with a value when the slot closed.
        missing: points without one when the slot closed.
        revised: rows in later revisions.
        missing_now: points that have none after all revisions.
        files: zips.
        issued: rows of revision 00 by minutes after the slot's end.
    """

    expected: int = 0
    received: int = 0
    published: int = 0
    missing: int = 0
    revised: int = 0
    missing_now: int = 0
    files: int = 0
    issued: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def minutes_until(self, share: float) -> int | None:
        """Return how many minutes after the slot's end this share of its points had gone out."""
        out = 0
        for minutes, rows in sorted(self.issued.items()):
            out += rows
            if out >= share * self.expected > 0:
                return minutes
        return None


def slot_facts(home: Path) -> dict[str, SlotFacts]:
    """Return the facts by slot start, ascending."""
    slots: dict[str, SlotFacts] = defaultdict(SlotFacts)
    for manifest in sorted((home / "deliveries").glob("*/*/manifest.jsonl")):
        for line in _lines(manifest):
            _add(slots[line["slot_start"]], line)
    for ledger in sorted((home / "ledger").glob("slots-*.jsonl")):
        for line in _lines(ledger):
            facts = slots[line["slot_start"]]
            facts.received, facts.missing_now = line["received"], line["missing"]
    return dict(sorted(slots.items()))


def _add(facts: SlotFacts, line: dict[str, Any]) -> None:
    if line.get("closed"):
        facts.expected += line["expected"]
        facts.published += line["available"]
        facts.missing += line["missing"]
        return
    facts.files += 1
    if line["revision"]:
        facts.revised += line["rows"]
    else:
        after = datetime.fromisoformat(line["issued_at"]) - datetime.fromisoformat(line["slot_start"]) - SLOT
        facts.issued[after // timedelta(minutes=1)] += line["rows"]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
