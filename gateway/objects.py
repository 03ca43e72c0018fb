# SPDX-License-Identifier: Apache-2.0
"""How a delivery file is answered: the guard decides and names, nginx sends the bytes.

The answer's headers are put together here, with the digest as entity tag, so that they are equal on all nodes; nginx
takes them over in the location that the answer names. Which conditions hold is decided here too, because nginx does not
know that tag.
"""

import re
from email.utils import formatdate, parsedate_to_datetime

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from gateway import jose
from gateway.errors import RangeRefusal
from gateway.release_index import Stored
from gateway.requests import etag_matches, single

PARTS = "/_objects/"
"""Location that answers one range."""
WHOLE = "/_whole/"
"""Location that ignores ranges."""

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.ASCII | re.IGNORECASE)


def object_response(request: Request, stored: Stored) -> Response:
    """Answer with a file, or that the client has it already.

    Raises:
        RangeRefusal: the range lies outside the file.
        MalformedRefusal: a condition stands several times.

    """
    headers = {
        "ETag": f'"{stored.sha256}"',
        "Last-Modified": formatdate(stored.issued_ms // 1000, usegmt=True),
        "Repr-Digest": repr_digest(stored.sha256),
        "Cache-Control": "private",
    }
    if _unmodified(request, headers):
        return Response(status_code=304, headers=headers)
    location = PARTS if _one_range(request, stored, headers) else WHOLE
    headers["X-Accel-Redirect"] = location + stored.object.place
    return Response(headers={**headers, "Content-Type": stored.object.media_type})


def repr_digest(sha256: str) -> str:
    """`Repr-Digest` (RFC 9530) of the whole file.

    >>> repr_digest("00" * 32)
    'sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:'
    """
    text = jose.encode_base64url(bytes.fromhex(sha256)).replace("-", "+").replace("_", "/")
    return f"sha-256=:{text}=:"


def _unmodified(request: Request, headers: dict[str, str]) -> bool:
    """RFC 9110 13.2.2: If-None-Match decides; If-Modified-Since only in its absence."""
    condition = single(request, "if-none-match")
    if condition is not None:
        return etag_matches(condition, headers["ETag"])
    since = single(request, "if-modified-since")
    if since is None:
        return False
    try:
        return parsedate_to_datetime(headers["Last-Modified"]) <= parsedate_to_datetime(since)
    except (ValueError, TypeError):
        return False


def _one_range(request: Request, stored: Stored, headers: dict[str, str]) -> bool:
    """Whether one range is to be answered. Several, an unknown unit or a foreign If-Range mean the whole."""
    wanted = single(request, "range")
    match = _RANGE.fullmatch(wanted) if wanted is not None and request.method == "GET" else None
    if match is None or match[0].endswith("=-") or not _same(request.headers, headers):
        return False
    first, last = match.groups()
    if first and last and int(first) > int(last):
        return False
    if (first and int(first) >= stored.bytes) or (not first and not int(last)):
        raise RangeRefusal("range outside", headers={"Content-Range": f"bytes */{stored.bytes}"})
    return True


def _same(given: Headers, headers: dict[str, str]) -> bool:
    """RFC 9110 13.1.5: If-Range holds for the very tag or the very date."""
    condition = given.get("if-range")
    return condition is None or condition in {headers["ETag"], headers["Last-Modified"]}
