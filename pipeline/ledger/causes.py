# SPDX-License-Identifier: Apache-2.0
"""What a cell is to the ledger: there, apart for a normal reason, or missing for a cause. Stored as small integers.

Kernels hold these numbers; named here, `pipeline.jit` compiles them anew where one changes.
"""

from typing import Final

STATES: Final[tuple[str, ...]] = (
    "no_cell",
    "unassigned",
    "available",
    "no_telemetry",
    "no_meter",
    "removed",
    "not_collected",
    "waiting_for_pair",
    "refused",
    "quarantined",
    "master_mismatch",
    "computed_not_published",
    "published_not_fetched",
)
"""Index to word. The order is stored in files and only ever grows at the end."""

NO_CELL: Final = 0
"""Not a low-voltage point at the instant."""
UNASSIGNED: Final = 1
"""Nobody supplies it: counted, expected by nobody."""
AVAILABLE: Final = 2
"""It has a value."""
NO_TELEMETRY: Final = 3
"""The master says that the point does not report: opted out, not yet smart, out of reach."""
NO_METER: Final = 4
"""No installation feeds the point, and no read came that could be its own."""
REMOVED: Final = 5
"""The point's meter was removed, and no read came that could be its own."""
NOT_COLLECTED: Final = 6
"""The register at the slot's end did not come."""
WAITING_FOR_PAIR: Final = 7
"""The register at the slot's end is there, the one at its start is not."""
REFUSED: Final = 8
"""Both registers are there, and a rule allows no value: the meter ran backward."""
QUARANTINED: Final = 9
"""The register came and was not taken: it lies in quarantine, under the code that stands beside."""
MASTER_MISMATCH: Final = 10
"""Reads came of a meter that the master does not know, or knows elsewhere, and this point has no meter to match."""
NOT_PUBLISHED: Final = 11
"""It has a value that no delivery file holds."""
NOT_FETCHED: Final = 12
"""A delivery file holds it that its retailer has not fetched."""

APART: Final = (NO_TELEMETRY, NO_METER, REMOVED)
"""Normal states: expected cells that nothing is due for."""
CAUSES: Final = (
    NOT_COLLECTED,
    QUARANTINED,
    MASTER_MISMATCH,
    WAITING_FOR_PAIR,
    REFUSED,
    NOT_PUBLISHED,
    NOT_FETCHED,
)
"""Why something that was due is not there, in the order in which a reader meets them."""

TO_DO: Final[dict[int, str]] = {
    NOT_COLLECTED: "ask the head-end for these meters: koma sla stagnated --cause not_collected",
    WAITING_FOR_PAIR: "ask the head-end for the read at the slot's start",
    REFUSED: "look at the meter: its register ran backward, or an exchange is not in the master",
    QUARANTINED: "see koma quarantine list, repair, then koma quarantine replay",
    MASTER_MISMATCH: "bring the meters into the master: koma master import DIR; the reads wait",
    NOT_PUBLISHED: "see koma pipeline status and the watch's log; keep the home as it is",
    NOT_FETCHED: "tell the retailer: its files wait at the gateway",
}
"""What a person does about each."""
