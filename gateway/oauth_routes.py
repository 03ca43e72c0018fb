# SPDX-License-Identifier: Apache-2.0
"""`/oauth2/` and the metadata. Errors of the token service are RFC 6749 JSON, all others problems."""

from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gateway.clients import SCOPES
from gateway.desk import Desk, desk_of, json_answer
from gateway.errors import TooLargeRefusal
from gateway.grants import METHOD, REVOCATION_PATH, TOKEN_PATH, OAuthAnswer
from gateway.jose import ALGORITHMS
from gateway.requests import trace_id
from gateway.schema import KeySetShape, OAuthErrorShape, TokenShape

FORM_BYTES_MAX = 16 * 1024
FIELDS_MAX = 16

_FORM = "application/x-www-form-urlencoded"
_ERRORS: dict[int | str, dict[str, Any]] = {400: {"model": OAuthErrorShape}, 401: {"model": OAuthErrorShape}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {_FORM: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}},
    }
}

router = APIRouter(tags=["tokens"])


@router.get("/.well-known/oauth-authorization-server", summary="Metadata of the token service (RFC 8414)")
@router.get("/.well-known/openid-configuration", include_in_schema=False)
def metadata(request: Request) -> dict[str, Any]:
    """Addresses come from the settings, never from the request."""
    issuer = desk_of(request).keys.issuer
    return {
        "issuer": issuer,
        "token_endpoint": issuer + TOKEN_PATH,
        "jwks_uri": f"{issuer}/oauth2/jwks",
        "revocation_endpoint": issuer + REVOCATION_PATH,
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "scopes_supported": list(SCOPES),
        "token_endpoint_auth_methods_supported": [METHOD],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": [METHOD],
        "revocation_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
    }


@router.get("/oauth2/jwks", response_model=KeySetShape, summary="Keys of the access tokens")
def keys(request: Request) -> Response:
    """Present and next key."""
    return json_answer(desk_of(request).keys.published(), headers={"Cache-Control": "public, max-age=900"})


@router.post(TOKEN_PATH, response_model=TokenShape, responses=_ERRORS, openapi_extra=_BODY, summary="Get a token")
async def token(request: Request) -> Response:
    """client_credentials with private_key_jwt and a DPoP proof."""
    desk = desk_of(request)
    form = await _form(request)
    if form is None:
        return json_answer({"error": "invalid_request"}, 400)
    desk.line.must_answer()
    answer = await run_in_threadpool(desk.tokens.token, form, request.headers.getlist("dpop"), trace_id(request))
    return _answer(desk, answer)


@router.post(REVOCATION_PATH, responses=_ERRORS, openapi_extra=_BODY, summary="Take a token back (RFC 7009)")
async def revoke(request: Request) -> Response:
    """Take one's own token back; others and unknown ones are answered alike."""
    desk = desk_of(request)
    form = await _form(request)
    if form is None:
        return json_answer({"error": "invalid_request"}, 400)
    desk.line.must_answer()
    return _answer(desk, await run_in_threadpool(desk.tokens.revoke, form, trace_id(request)))


async def _form(request: Request) -> dict[str, str] | None:
    """Fields of a form without repeated names; None where it is none."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > FORM_BYTES_MAX:
            raise TooLargeRefusal("form")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=FIELDS_MAX,
            errors="strict",
        )
    except ValueError:
        return None
    form = dict(fields)
    return form if kind == _FORM and len(form) == len(fields) else None


def _answer(desk: Desk, answer: OAuthAnswer) -> Response:
    headers = dict(answer.headers)
    if desk.nonces is not None and answer.status == 200:
        headers["DPoP-Nonce"] = desk.nonces.current(desk.clock.now_ms() / 1000)
    return json_answer(answer.body, answer.status, headers)
