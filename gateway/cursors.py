# SPDX-License-Identifier: Apache-2.0
"""Cursors of the feed: opaque to clients; inside, an epoch and a place for each retailer code.

One place per code, so that a client that is given another code reads that one from its oldest release on, and so that
a cursor tells nothing of how much others get.
"""

import json
from dataclasses import dataclass

from gateway import jose
from gateway.errors import JoseRefusedError
from gateway.names import RETAILER

_TEXT_MAX = 4096


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the feed of one client."""

    epoch: str
    places: tuple[tuple[str, int], ...]
    """Number of the last release read, by retailer code."""

    def text(self) -> str:
        """Opaque form."""
        return jose.encode_base64url(json.dumps([self.epoch, dict(self.places)], separators=(",", ":")).encode())


def cursor_of(text: str) -> Cursor | None:
    """Cursor of its opaque form; None where it is none.

    >>> cursor_of(Cursor("e", (("10013", 7),)).text())
    Cursor(epoch='e', places=(('10013', 7),))
    """
    try:
        if len(text) > _TEXT_MAX:
            return None
        epoch, places = json.loads(jose.decode_base64url(text))
        if not isinstance(epoch, str) or not isinstance(places, dict):
            return None
        for code, place in places.items():
            if not RETAILER.fullmatch(code) or type(place) is not int or not 0 <= place < 2**62:
                return None
        return Cursor(epoch, tuple(places.items()))
    except (JoseRefusedError, ValueError, TypeError, RecursionError):
        return None
