# SPDX-License-Identifier: Apache-2.0
"""Cursors of the feed: opaque to clients; inside, an epoch and a place for each retailer code.

One place per code, so that a client that is given another code reads that one from its oldest release on, and so that
a cursor tells nothing of how much others get. What is no longer kept may have stood behind what still is: a client that
began after it went is told of the rest, and its cursor remembers what was gone already.
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
    gone: tuple[tuple[str, int], ...] = ()
    """Number of the last release that the client knows to be gone, where that is behind its place."""

    def text(self) -> str:
        """Opaque form."""
        parts = [self.epoch, dict(self.places), *([dict(self.gone)] if self.gone else [])]
        return jose.encode_base64url(json.dumps(parts, separators=(",", ":")).encode())


def cursor_of(text: str) -> Cursor | None:
    """Cursor of its opaque form; None where it is none.

    >>> cursor_of(Cursor("e", (("10013", 7),)).text())
    Cursor(epoch='e', places=(('10013', 7),), gone=())
    """
    try:
        if len(text) > _TEXT_MAX:
            return None
        epoch, *numbers = json.loads(jose.decode_base64url(text))
        if not isinstance(epoch, str) or not 1 <= len(numbers) <= 2:
            return None
        for each in numbers:
            for code, number in each.items():
                if not RETAILER.fullmatch(code) or type(number) is not int or not 0 <= number < 2**62:
                    return None
        return Cursor(epoch, *(tuple(each.items()) for each in numbers))
    except (JoseRefusedError, ValueError, TypeError, AttributeError, RecursionError):
        return None
