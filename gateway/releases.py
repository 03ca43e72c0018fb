# SPDX-License-Identifier: Apache-2.0
"""Releases as retailers read them: what an issue becomes in the feed, and its signature.

The manifest of a release is a compact JWS over everything in it but `published_at` and itself, signed inside with
Ed25519, so that the same issue always has the same signature and a file altered on the way is found out, years later
too.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gateway import jose
from gateway.manifests import Delivered, Issue
from gateway.names import MONTHS, SLOTS
from koma.slots import SLOTS_PER_DAY, first_slot_of_day, format_jst, format_utc, slot_code, slot_date, slot_start_ms

DUTY_MS = 60 * 60_000
"""The duty: in the retailer's hands 60 minutes after the slot's end."""
JWS_TYPE = "koma-release+jws"
UNSIGNED = ("published_at", "manifest")
"""Members that the signature does not cover."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs releases for one base address.

    Args:
        base: `KOMA_GATEWAY_URL`, to which the files' addresses belong.
        key: Ed25519 key.

    """

    base: str
    key: jose.Key

    def sign(self, content: dict[str, Any]) -> str:
        """Compact JWS of a release's content."""
        payload = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return jose.sign({"typ": JWS_TYPE, "kid": self.key.thumbprint()}, payload, self.key)


def release_id(issue: Issue) -> str:
    """Id of a release: the same whenever and wherever the issue is read."""
    slot = format_jst(slot_start_ms(issue.slot_id))[:16].replace("-", "").replace("T", "").replace(":", "")
    instant = format_utc(issue.issued_ms)[:16].replace("-", "").replace("T", "").replace(":", "")
    return f"{issue.product.name}-{issue.retailer_code}-{slot}-{issue.revision:02d}-{instant}"


def content_of(
    issue: Issue, files: Iterable[Delivered], identity: str, supersedes: list[str], base: str
) -> dict[str, Any]:
    """Everything in a release but `published_at` and `manifest`.

    Args:
        issue: what was issued.
        files: zips and Parquet files, by split.
        identity: id of the release.
        supersedes: ids of the releases of the revision before.
        base: address the files' addresses start with.

    """
    start, end = span_of(issue)
    closed = issue.closed
    return {
        "id": identity,
        "retailer_code": issue.retailer_code,
        "product": issue.product.name,
        "kind": issue.kind,
        "from": format_jst(slot_start_ms(start)),
        "to": format_jst(slot_start_ms(end)),
        "slot_code": slot_code(issue.slot_id) if issue.product is SLOTS else None,
        "revision": issue.revision,
        "issued_at": format_jst(issue.issued_ms),
        "supersedes": supersedes,
        "rows": sum(each.rows for each in issue.files),
        "available": sum(each.available for each in issue.files),
        "closed": None
        if closed is None
        else {"expected": closed.expected, "available": closed.available, "missing": closed.missing},
        "files": [
            {
                "url": f"{base}/v1/files/{each.object.retailer_code}/{each.object.name}",
                "media_type": each.object.media_type,
                "bytes": each.bytes,
                "rows": each.rows,
                "sha256": each.sha256,
            }
            for each in files
        ],
        "deadline_at": deadline_of(issue.slot_id) if issue.product is SLOTS else None,
    }


def span_of(issue: Issue) -> tuple[int, int]:
    """First slot of an issue and the one behind its last: the slot, the day, or the month before the reading day.

    A month's points begin each on their own last reading day, which their rows tell; the release says the day of the
    month before, or the last one of a shorter month.
    """
    if issue.product is SLOTS:
        return issue.slot_id, issue.slot_id + 1
    if issue.product is not MONTHS:
        return issue.slot_id, issue.slot_id + SLOTS_PER_DAY
    reading = slot_date(issue.slot_id)
    last_before = reading.replace(day=1) - timedelta(days=1)
    return first_slot_of_day(last_before.replace(day=min(reading.day, last_before.day))), issue.slot_id


def deadline_of(slot_id: int) -> str:
    """When a slot has to be in the retailer's hands."""
    return format_jst(slot_start_ms(slot_id + 1) + DUTY_MS)
