# SPDX-License-Identifier: Apache-2.0
"""Delivery files from plain rows, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from koma.slots import parse_jst, slot_at_ms
from pipeline.delivery import NO_REF, DeliveryFile
from pipeline.quality import QUALITIES

SLOT = slot_at_ms(parse_jst("2026-08-22T16:30"))
ISSUED_MS = parse_jst("2026-08-22T17:45")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A row as a test writes it. `energy_dwh` None = not available; `customer_ref` may be raw bytes."""

    point_id: str
    energy_dwh: int | None = 0
    customer_ref: str | bytes = ""
    quality: str = "actual"


def point(number: int) -> str:
    return f"03{number:020d}"


def delivery(
    rows: Sequence[Wanted],
    *,
    retailer: str = "12345",
    slot_id: int = SLOT,
    revision: int = 0,
    split: int = 1,
    issued_ms: int = ISSUED_MS,
) -> DeliveryFile:
    """Build a file whose id and customer_ref tables hold the rows in reverse, among others."""
    n = len(rows)
    table = [*(row.point_id for row in reversed(rows)), "99" * 11]
    refs = [row.customer_ref if isinstance(row.customer_ref, bytes) else row.customer_ref.encode() for row in rows][
        ::-1
    ]
    return DeliveryFile(
        retailer_code=retailer,
        slot_id=slot_id,
        revision=revision,
        split=split,
        issued_ms=issued_ms,
        point_id=np.frombuffer("".join(table).encode(), np.uint8).reshape(-1, 22),
        positions=np.arange(n - 1, -1, -1).astype(np.uint32),
        ref_off=np.cumsum([0, *map(len, refs)]).astype(np.int64),
        ref_bytes=np.frombuffer(b"".join(refs), np.uint8),
        ref_row=np.array([n - 1 - i if rows[i].customer_ref else NO_REF for i in range(n)], np.uint32),
        energy_dwh=np.array([-1 if row.energy_dwh is None else row.energy_dwh for row in rows], np.int64),
        available=np.array([row.energy_dwh is not None for row in rows]),
        quality=np.array([QUALITIES.index(row.quality) for row in rows], np.uint8),
    )
