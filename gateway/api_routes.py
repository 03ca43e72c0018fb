# SPDX-License-Identifier: Apache-2.0
"""`/v1/`: who asks is checked here, what is meant is named here; the answer itself comes from inside."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from gateway.access import Caller
from gateway.cursors import cursor_of
from gateway.desk import anybody, desk_of, handed_in, json_answer, reader
from gateway.errors import FieldError, FormatRefusal, InvalidRefusal, NotFoundRefusal
from gateway.names import parse_object, parse_slot
from gateway.oauth_routes import FORM_BYTES_MAX
from gateway.problems import PROBLEMS, page
from gateway.proofs import AGE_MAX_S
from gateway.schema import (
    FeedShape,
    KeySetShape,
    MeShape,
    ProblemPageShape,
    ProblemShape,
    SlotShape,
    StatusShape,
)
from gateway.tokens import LIFE_S
from koma.slots import format_jst

WAIT_S_MAX = 25
LIMIT_MAX = 500
LIMIT_DEFAULT = 100

_JSON_TYPES = ("*/*", "application/*", "application/json")


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": ProblemShape, "content": {"application/problem+json": {}}, "description": "Problem"}
        for status in statuses
    }


router = APIRouter(prefix="/v1")
Reader = Annotated[Caller, Depends(reader)]


@router.get(
    "/releases",
    response_model=FeedShape,
    responses=_problems(400, 401, 403, 406, 410, 422, 503),
    summary="Release feed",
    tags=["slots"],
)
def releases(
    request: Request,
    _caller: Reader,
    after: Annotated[str | None, Query(description="Cursor; without it the feed starts at the oldest kept.")] = None,
    wait: Annotated[int, Query(ge=0, le=WAIT_S_MAX, description="Seconds to wait for something.")] = 0,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT_DEFAULT,
) -> Response:
    """Releases of the caller's codes in the order of publication; empty is 200."""
    _must_accept_json(request)
    query = f"?wait={wait}&limit={limit}"
    if after is not None:
        cursor = cursor_of(after)
        if cursor is None:
            raise InvalidRefusal("cursor", errors=(_CURSOR,))
        query = f"{query}&after={cursor.text()}"
    return handed_in(f"/v1/releases{query}")


@router.get(
    "/slots/{retailer_code}/{day}/{code}",
    response_model=SlotShape,
    responses=_problems(401, 403, 404, 406, 503),
    summary="State of a slot",
    tags=["slots"],
)
def slot(request: Request, caller: Reader, retailer_code: str, day: str, code: str) -> Response:
    """`pending` where nothing was issued yet; `day` is YYYYMMDD, `code` 01 to 48."""
    caller.must_hold(retailer_code)
    if parse_slot(day, code) is None:
        raise NotFoundRefusal("no such slot")
    _must_accept_json(request)
    return handed_in(f"/v1/slots/{retailer_code}/{day}/{code}")


@router.get(
    "/files/{retailer_code}/{name}",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}, "application/vnd.apache.parquet": {}}, "description": "The file"},
        206: {"description": "One range of it"},
        304: {"description": "The client has it"},
        **_problems(401, 403, 404, 416, 503),
    },
    summary="A delivery file",
    tags=["slots"],
)
def file(caller: Reader, retailer_code: str, name: str) -> Response:
    """RET-001: the retailer it was issued to, as long as it is kept."""
    caller.must_hold(retailer_code)
    named = parse_object(retailer_code, name)
    if named is None:
        raise NotFoundRefusal("RET-005: no such name")
    return handed_in(f"/v1/files/{named.retailer_code}/{named.name}")


@router.get("/me", response_model=MeShape, responses=_problems(401), summary="The caller itself", tags=["self"])
def me(caller: Annotated[Caller, Depends(anybody)]) -> Response:
    """Codes, scopes, keys, certificates and limits of the caller."""
    client = caller.client
    return json_answer(
        {
            "client_id": client.id,
            "retailers": list(client.retailers),
            "scopes": list(client.scopes),
            "keys": [{"kid": key["kid"], "not_after": None} for key in client.keys],
            "certificates": [
                {"sha256": each.sha256, "not_after": format_jst(each.not_after_s * 1000)}
                for each in client.certificates
            ],
            "limits": {
                "feed_wait_s_max": WAIT_S_MAX,
                "feed_limit_max": LIMIT_MAX,
                "token_lifetime_s": LIFE_S,
                "proof_age_s_max": AGE_MAX_S,
                "token_request_bytes_max": FORM_BYTES_MAX,
            },
        }
    )


@router.get(
    "/release-keys",
    response_model=KeySetShape,
    responses=_problems(401),
    summary="Keys of the release manifests",
    tags=["slots"],
)
def release_keys(request: Request, _caller: Annotated[Caller, Depends(anybody)]) -> Response:
    """Present and retired keys, the present one first."""
    return json_answer({"keys": list(desk_of(request).line.registry.release_keys)})


@router.get("/status", response_model=StatusShape, summary="Whether the gateway works", tags=["open"])
def status(request: Request) -> Response:
    """Open to everybody."""
    desk = desk_of(request)
    inner, replay = desk.line.fresh, desk.replay.answers()
    word = "ok" if inner and replay else "degraded"
    return json_answer({"status": word, "inner_zone": inner, "replay_store": replay})


@router.get(
    "/problems/{code}",
    response_model=ProblemPageShape,
    responses=_problems(404),
    summary="What a problem means",
    tags=["open"],
)
def problem(code: str) -> Response:
    """Description of a problem's code."""
    known = PROBLEMS.get(code)
    if known is None:
        raise NotFoundRefusal("no such problem")
    return json_answer(page(known))


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> Response:
    """The description of all this; equal to `docs/openapi.json`."""
    return json_answer(request.app.openapi())


_CURSOR = FieldError(
    "#/query/after",
    "cursor",
    "Not a cursor that this gateway gave out.",
    "このゲートウェイが発行したカーソルではありません。",
)


def _must_accept_json(request: Request) -> None:
    """RFC 9110 12.5.1, as far as one representation needs it."""
    accepted = request.headers.get("accept", "*/*")
    kinds = [part.partition(";") for part in accepted.split(",")]
    if not any(kind.strip().lower() in _JSON_TYPES and "q=0" not in rest.split() for kind, _, rest in kinds):
        raise FormatRefusal("accept")
