# SPDX-License-Identifier: Apache-2.0
"""The record of decisions: one JSON line each, appended inside the inner zone, never changed.

Tokens, proofs and point ids never stand in it. What cannot be recorded is not released.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from koma.slots import format_utc


@dataclass(frozen=True, slots=True)
class Decision:
    """Who asked for what, and what was decided by which rule."""

    at_ms: int
    zone: str
    """`dmz` or `inner`."""
    decision: str
    route: str
    client: str = ""
    object: str = ""
    rule: str = ""
    reason: str = ""
    key: str = ""
    """Thumbprint of the proof key, or fingerprint of the certificate."""
    trace_id: str = ""

    def line(self) -> bytes:
        """JSON line."""
        fields = {"at": format_utc(self.at_ms), **asdict(self)}
        del fields["at_ms"]
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decision_of(value: dict[str, object]) -> Decision:
    """Decision of the form in which it crosses the zones: the zone is set here, whatever it says.

    Raises:
        ValueError: not of the form.

    """
    at = value.get("at_ms")
    texts = {name: str(value.get(name, ""))[:200] for name in Decision.__slots__ if name != "at_ms"}
    if not isinstance(at, int):
        raise ValueError("at_ms is missing")  # noqa: TRY004  a value from outside, not a programming error
    return Decision(at, **{**texts, "zone": "dmz"})


class Audit:
    """The file. One `write` call per batch, so that lines of several threads do not mix.

    Args:
        file: appended to; made when absent.

    """

    def __init__(self, file: Path) -> None:
        """Open for appending."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lock = Lock()

    def append(self, decisions: Iterable[Decision]) -> None:
        """Append decisions.

        Raises:
            OSError: not written, for example because the disk is full.

        """
        data = b"".join(each.line() for each in decisions)
        with self._lock:
            while data:
                data = data[os.write(self._handle, data) :]

    def close(self) -> None:
        """Close the file, what was written being durable."""
        os.fsync(self._handle)
        os.close(self._handle)
