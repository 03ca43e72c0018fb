# SPDX-License-Identifier: Apache-2.0
"""What a request says, read strictly: a header that must be single is single, or the request is refused."""

import re

from starlette.requests import Request

from gateway.errors import MalformedRefusal, ProofRefusal, TokenRefusal
from gateway.names import parse_object

TRACE = "koma-trace"
ANSWERED_TRACE = "Koma-Trace-Id"
"""Header of every answer of the edge: the trace id, as in the audit."""
LISTENER = "koma-listener"
CERTIFICATE = "koma-certificate"
"""Headers the edge sets itself; whatever a client sends under these names is replaced there."""

PROOF_CHARS_MAX = 4096
TOKEN_CHARS_MAX = 4096

_TRACE = re.compile(r"[0-9a-f]{32}", re.ASCII)
_DPOP = re.compile(r"dpop +([A-Za-z0-9._-]+)", re.ASCII | re.IGNORECASE)
_CHALLENGE = 'DPoP error="{error}", algs="ES256 PS256 Ed25519 EdDSA"'


_CALLER = "koma.caller"
_SLOT = (("day", "date"), ("code", ""))
"""Parts of a slot: in the path, or in the query of the file list."""
_NUMBERS = re.compile(r"[0-9]{1,8}", re.ASCII)


def single(request: Request, name: str) -> str | None:
    """Value of a header that may stand once; None where it does not.

    Raises:
        MalformedRefusal: it stands several times.

    """
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise MalformedRefusal(f"{name} stands {len(values)} times")
    return values[0] if values else None


def trace_id(request: Request) -> str:
    """Trace id that the edge gave the request; zeros where there was no edge."""
    value = request.headers.get(TRACE, "")
    return value if _TRACE.fullmatch(value) else "0" * 32


def keep_caller(request: Request, client_id: str, key: str) -> None:
    """Keep who asks, once a signature or certificate said so, for the record of a refusal that comes later.

    In the scope itself: its `state` may be shared between requests by the server.
    """
    request.scope[_CALLER] = (client_id, key)


def asked_by(request: Request) -> tuple[str, str]:
    """Client id and key of whoever asks; empty where neither token nor certificate was verified."""
    client_id, key = request.scope.get(_CALLER, ("", ""))
    return str(client_id), str(key)


def object_asked(request: Request) -> str:
    """What was asked for, for the record: retailer code, slot and file name; nothing else, and in their form only."""
    given = request.path_params
    code = str(given.get("retailer_code", given.get("retailer", "")))
    named = parse_object(code, str(given.get("name", request.query_params.get("file", ""))))
    if named is not None:
        return named.place
    parts = (code, *(str(given.get(name, request.query_params.get(query, ""))) for name, query in _SLOT))
    return " ".join(part for part in parts if _NUMBERS.fullmatch(part))


def token_refusal(reason: str, *, sent: bool = True) -> TokenRefusal:
    """Refusal of a token; where none was sent, the challenge names no error (RFC 6750 3.1)."""
    error = "invalid_token" if sent else ""
    challenge = _CHALLENGE.format(error=error) if error else 'DPoP algs="ES256 PS256 Ed25519 EdDSA"'
    return TokenRefusal(reason, headers={"WWW-Authenticate": challenge})


def proof_refusal(reason: str) -> ProofRefusal:
    """Refusal of a proof."""
    return ProofRefusal(reason, headers={"WWW-Authenticate": _CHALLENGE.format(error="invalid_dpop_proof")})


def nonce_refusal(nonce: str) -> ProofRefusal:
    """Refusal of a proof without the nonce asked for, with that nonce (RFC 9449 9)."""
    challenge = _CHALLENGE.format(error="use_dpop_nonce")
    return ProofRefusal("nonce", headers={"WWW-Authenticate": challenge, "DPoP-Nonce": nonce})


def bound_token(request: Request) -> tuple[str, str]:
    """Access token and proof as sent.

    Raises:
        TokenRefusal: no token, several, or of another scheme.
        ProofRefusal: no proof, several, or a very long one.

    """
    given = request.headers.getlist("authorization")
    match = _DPOP.fullmatch(given[0]) if len(given) == 1 else None
    if match is None or len(match[1]) > TOKEN_CHARS_MAX:
        raise token_refusal("not exactly one DPoP token", sent=bool(given))
    proofs = request.headers.getlist("dpop")
    if len(proofs) != 1 or not 0 < len(proofs[0]) <= PROOF_CHARS_MAX:
        raise proof_refusal("not exactly one proof")
    return match[1], proofs[0]


def etag_matches(condition: str, etag: str) -> bool:
    """Whether If-None-Match names an entity tag or `*` (RFC 9110 13.1.2: weak comparison)."""
    return any(tag.strip() == "*" or tag.strip().removeprefix("W/") == etag for tag in condition.split(","))
