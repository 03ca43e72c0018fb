# SPDX-License-Identifier: Apache-2.0
"""The release guard: the inner zone's side of the inward port.

Everything that leaves passes here, is checked against the retailer's own proof and the inner book, and is on record
before it is answered. Files themselves are sent by the publisher (nginx); the guard names them.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway import jose
from gateway.audit import Audit, Decision, decision_of
from gateway.clients import Registry
from gateway.cursors import cursor_of
from gateway.errors import (
    MalformedRefusal,
    MethodRefusal,
    NotFoundRefusal,
    Refusal,
    TooLargeRefusal,
)
from gateway.file_list import charset_of, list_page
from gateway.guard_check import GuardCheck, Visitor
from gateway.logs import places_of, set_up_logs
from gateway.middleware.faults import Faults
from gateway.middleware.strict_path import StrictPath
from gateway.names import parse_day, parse_object, parse_slot
from gateway.objects import object_response
from gateway.places import Places, Sockets, sockets_of
from gateway.registrations import Registrations
from gateway.release_index import Page, ReleaseIndex, Stored
from gateway.releases import Signer, deadline_of
from gateway.replay import ReplayMemory
from gateway.requests import asked_by, object_asked, token_refusal, trace_id
from gateway.signing_keys import prepare_release_keys, read_keys
from koma.clock import Clock, WallClock
from koma.settings import Settings, load_settings
from koma.slots import MS_PER_DAY

SWEEP_S, SWEEP_WAIT_MAX_S = 0.3, 5.0
"""Rest between two looks at the manifests; ten times as long as a look takes, if that is more."""
SYNC_WAIT_S = 0.5
"""How long the DMZ's question for registrations may be held open."""
AUDIT_BYTES_MAX = 1 << 20

FEED_MORE_S, FEED_IDLE_S = 0, 10

_log = structlog.get_logger()


class Guard:
    """State of the guard's process.

    Args:
        settings: base addresses, days.
        places: files of the inner zone.
        sockets: where the replay memory answers.
        clock: wall time.

    """

    def __init__(self, settings: Settings, places: Places, sockets: Sockets, clock: Clock) -> None:
        """Open book, index, audit and replay memory."""
        self.settings, self.clock = settings, clock
        prepare_release_keys(places.release_keys)
        keys = read_keys(places.release_keys)
        self.release_keys: tuple[dict[str, Any], ...] = tuple(jose.public_member(key) for key in keys)
        self.book = Registrations(places.registrations)
        self.replay = ReplayMemory(sockets.redis_address(settings, inner=True), "inner")
        self.check = GuardCheck(settings.gateway_url, self.book, self.replay, clock)
        self.index = ReleaseIndex(places.index, places.deliveries, Signer(settings.gateway_url, keys[0]))
        self.audit = Audit(places.audit)
        self._published = asyncio.Event()
        self.swept = False

    async def follow(self) -> None:
        """Follow the manifests until cancelled."""
        loop = asyncio.get_running_loop()
        told: tuple[str, ...] = ()
        while True:
            begun = loop.time()
            try:
                sweep = await asyncio.to_thread(self.index.sweep, self.clock.now_ms())
            except Exception as error:  # noqa: BLE001  the next look may succeed; publishing must not end
                _log.error("index.sweep", kind=type(error).__name__, places=places_of(error))
            else:
                self.swept = True
                if sweep.problems != told:
                    told = sweep.problems
                    _log.warning("index.problems", problems=list(told))
                if sweep.published:
                    _log.info("index.published", releases=sweep.published)
                    self._published.set()
                    self._published = asyncio.Event()
            await asyncio.sleep(min(max(SWEEP_S, 10 * (loop.time() - begun)), SWEEP_WAIT_MAX_S))

    async def published(self, wait_s: float) -> None:
        """Return when something was published, or after a while."""
        try:
            await asyncio.wait_for(self._published.wait(), wait_s)
        except TimeoutError:
            return

    def record(self, request: Request, decision: str, **more: str) -> None:
        """Put a decision on record, with who asked. What cannot be recorded is not released."""
        client, key = asked_by(request)
        self.audit.append(
            [
                Decision(
                    at_ms=self.clock.now_ms(),
                    zone="inner",
                    decision=decision,
                    route=_route_name(request),
                    client=client,
                    key=key,
                    trace_id=trace_id(request),
                    **more,
                )
            ]
        )

    def refused(self, request: Request, refusal: Refusal) -> None:
        """Put a refusal on record."""
        self.record(request, "refuse", object=object_asked(request), rule=refusal.problem, reason=refusal.reason)

    def registry(self) -> Registry:
        """What the DMZ may know of the clients, with the keys of the manifests."""
        held = self.book.registry()
        return Registry(held.version, held.clients, self.release_keys)

    def close(self) -> None:
        """Close every file."""
        self.audit.close()
        self.index.close()
        self.book.close()
        self.replay.close()


def file(request: Request) -> Response:
    """RET-001: a file goes to the retailer it was issued to, as long as it is kept."""
    guard = _guard(request)
    visitor = guard.check.by_proof(request, "slots.read")
    return _release(request, guard, visitor, request.path_params["name"])


def received_file(request: Request) -> Response:
    """RET-001 for the mutual-TLS profile: zips only, as existing clients know them."""
    guard = _guard(request)
    visitor = guard.check.by_certificate(request, "slots.read")
    if not str(request.path_params["name"]).endswith(".zip"):
        raise NotFoundRefusal("not a zip")
    return _release(request, guard, visitor, request.path_params["name"])


def received_list(request: Request) -> Response:
    """List of a retailer's zips: those of the last days, or those of one day."""
    guard = _guard(request)
    visitor = guard.check.by_certificate(request, "slots.read")
    code = request.path_params["retailer"]
    visitor.must_hold(code)
    day = request.query_params.get("date")
    if day is not None:
        files: list[Stored] = guard.index.zips_of_day(code, day) if parse_day(day) is not None else []
    else:
        days = guard.settings.files_list_days
        files = guard.index.zips_since(code, guard.index.latest_issued_ms() - days * MS_PER_DAY)
    charset = charset_of(request.query_params.get("variant", ""))
    guard.record(request, "list", object=code, rule="RET-004")
    headers = {"Cache-Control": "no-store", "Content-Type": f"text/html; charset={charset}"}
    return Response(list_page(files, charset), headers=headers)


async def releases(request: Request) -> Response:
    """Feed of the client's codes behind a cursor, held open until there is something."""
    guard = _guard(request)
    visitor = await run_in_threadpool(guard.check.by_proof, request, "slots.read")
    after, wait_s, limit = _feed_query(request)
    codes = tuple(sorted(visitor.client.retailers))
    loop = asyncio.get_running_loop()
    ends = loop.time() + wait_s
    while True:
        page: Page = await run_in_threadpool(guard.index.page, codes, after, limit)
        left = ends - loop.time()
        if page.releases or left <= 0:
            break
        await guard.published(left)
    if not guard.check.still(visitor, codes):
        raise token_refusal("registration changed while waiting")
    guard.record(request, "feed", object=" ".join(codes), rule="RET-004")
    poll = FEED_MORE_S if page.more else FEED_IDLE_S
    body = {"releases": page.releases, "next": page.cursor.text(), "poll_after_s": poll}
    return _json(body)


def slot(request: Request) -> Response:
    """State and releases of one slot of one retailer; nothing yet is `pending`, not an error."""
    guard = _guard(request)
    visitor = guard.check.by_proof(request, "slots.read")
    code = request.path_params["retailer"]
    visitor.must_hold(code)
    slot_id = parse_slot(request.path_params["day"], request.path_params["code"])
    if slot_id is None:
        raise NotFoundRefusal("no such slot")
    found = guard.index.slot(code, slot_id)
    guard.record(request, "slot", object=f"{code} {slot_id}", rule="RET-004")
    kinds = {each["kind"] for each in found}
    state = "pending" if not found else "revised" if "revision" in kinds else "closed"
    if found and not kinds & {"closing", "revision"}:
        state = "partial"
    poll = FEED_IDLE_S if state in {"pending", "partial"} else 300
    return _json({"state": state, "releases": found, "deadline_at": deadline_of(slot_id), "poll_after_s": poll})


async def registrations(request: Request) -> Response:
    """Registrations for the DMZ; held open for a moment while they are those it has."""
    guard = _guard(request)
    known = request.query_params.get("version", "")
    loop = asyncio.get_running_loop()
    ends = loop.time() + SYNC_WAIT_S
    # The book is written by other processes, which cannot set an event.
    while (registry := guard.registry()).version == _number(known) and loop.time() < ends:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    if registry.version == _number(known):
        return Response(status_code=304)
    return Response(registry.as_json(), media_type="application/json")


async def audit(request: Request) -> Response:
    """Take the DMZ's decisions on record; it can add, and cannot read or change."""
    guard = _guard(request)
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > AUDIT_BYTES_MAX:
            raise TooLargeRefusal("audit batch")
    try:
        decisions = [decision_of(each) for each in json.loads(body)]
    except (ValueError, TypeError, AttributeError) as error:
        raise MalformedRefusal("audit batch") from error
    await run_in_threadpool(guard.audit.append, decisions)
    return Response(status_code=204)


def ready(request: Request) -> Response:
    """Whether the guard has looked at the manifests and its replay memory answers."""
    guard = _guard(request)
    return _json({"swept": guard.swept, "replay_store": guard.replay.answers()})


def make_guard(settings: Settings | None = None, sockets: Sockets | None = None, clock: Clock | None = None) -> Any:
    """ASGI application of the guard."""
    set_up_logs()
    settings = settings or load_settings()
    guard = Guard(settings, Places(settings.home), sockets or sockets_of(), clock or WallClock())

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        follower = asyncio.create_task(guard.follow())
        try:
            yield
        finally:
            follower.cancel()
            guard.close()

    app = Starlette(
        routes=[
            Route("/v1/files/{retailer}/{name}", file, methods=["GET"], name="files"),
            Route("/v1/releases", releases, methods=["GET"], name="releases"),
            Route("/v1/slots/{retailer}/{day}/{code}", slot, methods=["GET"], name="slots"),
            Route("/certificate/{retailer}/list", received_list, methods=["GET"], name="file_list"),
            Route("/certificate/{retailer}/files/{name}", received_file, methods=["GET"], name="file_receive"),
            Route("/zone/registrations", registrations, methods=["GET"], name="registrations"),
            Route("/zone/audit", audit, methods=["POST"], name="audit"),
            Route("/zone/ready", ready, methods=["GET"], name="ready"),
        ],
        middleware=[Middleware(Faults, record=guard.refused), Middleware(StrictPath)],
        exception_handlers={HTTPException: refuse_http},
        lifespan=lifespan,
    )
    app.state.guard = guard
    return app


def refuse_http(_request: Request, error: Exception) -> Response:
    """Turn what the router says (no route, no method) into a refusal.

    Raises:
        Refusal: always.

    """
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        raise MethodRefusal("method", headers={"Allow": "GET, HEAD"}) from None
    if status == 404:
        raise NotFoundRefusal("no such route") from None
    raise MalformedRefusal(f"status {status}") from None


def _guard(request: Request) -> Guard:
    guard: Guard = request.app.state.guard
    return guard


def _release(request: Request, guard: Guard, visitor: Visitor, name: str) -> Response:
    code = request.path_params["retailer"]
    visitor.must_hold(code)
    named = parse_object(code, name)
    stored = guard.index.find(named) if named is not None else None
    if stored is None:
        raise NotFoundRefusal("RET-005: never issued, not yet, or no longer kept")
    response = object_response(request, stored)
    guard.record(request, "release", object=stored.object.place, rule="RET-001", reason=request.method)
    return response


def _feed_query(request: Request) -> tuple[Any, int, int]:
    query = request.query_params
    text = query.get("after")
    after = cursor_of(text) if text is not None else None
    wait_s, limit = _number(query.get("wait", "0")), _number(query.get("limit", "100"))
    if (text is not None and after is None) or not 0 <= wait_s <= 25 or not 1 <= limit <= 500:
        raise MalformedRefusal("feed query")
    return after, wait_s, limit


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1


def _json(content: object) -> Response:
    return JSONResponse(content, headers={"Cache-Control": "no-store"})


def _route_name(request: Request) -> str:
    return str(getattr(request.scope.get("endpoint"), "__name__", "none"))
