# SPDX-License-Identifier: Apache-2.0
"""The token service and policy: the DMZ's application behind the edge.

It authenticates, decides and names the object; it never carries a byte of a delivery, and never sees one.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import api_routes, oauth_routes
from gateway.access import Access
from gateway.audit import Decision
from gateway.desk import Desk
from gateway.errors import FieldError, InvalidRefusal, MalformedRefusal, MethodRefusal, NotFoundRefusal
from gateway.files_routes import files_app
from gateway.grants import Record, TokenService
from gateway.inward import InwardLine
from gateway.logs import set_up_logs
from gateway.middleware.faults import Faults
from gateway.middleware.strict_path import StrictPath
from gateway.places import Places, Sockets, sockets_of
from gateway.proofs import Nonces
from gateway.replay import ReplayMemory
from gateway.requests import LISTENER
from gateway.signing_keys import prepare_token_keys, read_keys
from gateway.tokens import TokenKeys
from koma.clock import Clock, WallClock
from koma.settings import Settings, load_settings

_DESCRIPTION = (
    "30-minute energy for retailers. Tokens: client_credentials with private_key_jwt, bound by DPoP. "
    "Every request below /v1 but the open ones carries `Authorization: DPoP <token>` and a fresh `DPoP` proof. "
    "Every answer carries its trace id in `Koma-Trace-Id`; the operator finds the cause of a refusal by it."
)


class ByListener:
    """Sends requests of the mutual-TLS listener to its own application; the edge says which one it was.

    Args:
        main: application of the gateway's listener.
        files: application of the mutual-TLS listener.

    """

    def __init__(self, main: ASGIApp, files: ASGIApp) -> None:
        """Keep both."""
        self._main, self._files = main, files

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose by the edge's header; start and stop belong to the main application."""
        files = scope["type"] == "http" and (LISTENER.encode(), b"files") in scope["headers"]
        await (self._files if files else self._main)(scope, receive, send)


def make_policy(
    settings: Settings | None = None, sockets: Sockets | None = None, clock: Clock | None = None
) -> ASGIApp:
    """ASGI application of the DMZ."""
    set_up_logs()
    settings = settings or load_settings()
    desk = make_desk(settings, sockets or sockets_of(), clock or WallClock())
    return ByListener(main_app(desk), files_app(desk))


def make_desk(settings: Settings, sockets: Sockets, clock: Clock) -> Desk:
    """State of the process, from the DMZ's own files."""
    places = Places(settings.home)
    prepare_token_keys(places.token_keys)
    keys = TokenKeys(settings.gateway_url, read_keys(places.token_keys))
    line = InwardLine(sockets.inward)
    replay = ReplayMemory(sockets.redis_address(settings, inner=False), "dmz")
    nonces = Nonces(secrets.token_bytes(32)) if settings.dpop_nonce == "on" else None
    return Desk(
        settings=settings,
        clock=clock,
        keys=keys,
        line=line,
        replay=replay,
        nonces=nonces,
        tokens=TokenService(keys, line.active, replay, nonces, _recorder(line, clock), clock),
        access=Access(keys, lambda: line.registry, replay, nonces, clock),
    )


def main_app(desk: Desk | None) -> FastAPI:
    """Application of the gateway's listener; without a desk, for its description only."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if desk is None:
            yield
            return
        runner = asyncio.create_task(desk.line.run())
        try:
            yield
        finally:
            runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await runner
            desk.replay.close()

    app = FastAPI(
        title="Koma gateway",
        version="1",
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={HTTPException: _refuse_http, RequestValidationError: _refuse_values},
    )
    for router in (oauth_routes.router, api_routes.router):
        app.include_router(router)
        app.include_router(_with_head(router))
    if desk is not None:
        app.state.desk = desk
        app.add_middleware(StrictPath)
        app.add_middleware(Faults, record=desk.refused)
    return app


def _recorder(line: InwardLine, clock: Clock) -> Record:
    def record(decision: str, client: str, reason: str, trace: str) -> None:
        at = clock.now_ms()
        line.record(Decision(at, "dmz", decision, route="token", client=client, reason=reason, trace_id=trace))

    return record


def _with_head(router: APIRouter) -> APIRouter:
    """Routes that answer HEAD as GET is answered; the description names GET alone."""
    heads = APIRouter(include_in_schema=False)
    for route in router.routes:
        if isinstance(route, APIRoute) and route.methods == {"GET"}:
            heads.add_api_route(route.path, route.endpoint, methods=["HEAD"])
    return heads


async def _refuse_http(_request: Request, error: Exception) -> Response:
    """Turn what the router says into a refusal.

    Raises:
        Refusal: always.

    """
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        raise MethodRefusal("method", headers=dict(getattr(error, "headers", None) or {})) from None
    if status == 404:
        raise NotFoundRefusal("no such route") from None
    raise MalformedRefusal(f"status {status}") from None


async def _refuse_values(_request: Request, error: Exception) -> Response:
    """Turn values that do not fit into a refusal that names each.

    Raises:
        InvalidRefusal: always.

    """
    found = error.errors() if isinstance(error, RequestValidationError) else []
    wrong = tuple(
        FieldError(
            "#/" + "/".join(str(part) for part in each["loc"]),
            str(each["type"]),
            str(each["msg"]),
            "値が正しくありません。",
        )
        for each in found
    )
    raise InvalidRefusal("values", errors=wrong) from None
