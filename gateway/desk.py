# SPDX-License-Identifier: Apache-2.0
"""State of the policy's process in the DMZ, and what every route of it shares."""

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import JSONResponse, Response

from gateway.access import Access, Caller
from gateway.audit import Decision
from gateway.errors import Refusal
from gateway.grants import TokenService
from gateway.inward import InwardLine
from gateway.proofs import Nonces
from gateway.replay import ReplayMemory
from gateway.requests import asked_by, object_asked, trace_id
from gateway.tokens import TokenKeys
from koma.clock import Clock
from koma.settings import Settings

INNER = "/_inner"
"""Location of the edge that leads inwards."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Everything a route of the policy may ask."""

    settings: Settings
    clock: Clock
    keys: TokenKeys
    line: InwardLine
    replay: ReplayMemory
    nonces: Nonces | None
    tokens: TokenService
    access: Access

    def refused(self, request: Request, refusal: Refusal) -> None:
        """Put a refusal on record, with who asked for what as far as it was verified."""
        client, key = asked_by(request)
        self.line.record(
            Decision(
                at_ms=self.clock.now_ms(),
                zone="dmz",
                decision="refuse",
                route=str(getattr(request.scope.get("endpoint"), "__name__", "none")),
                client=client,
                object=object_asked(request),
                rule=refusal.problem,
                reason=refusal.reason,
                key=key,
                trace_id=trace_id(request),
            )
        )


def desk_of(request: Request) -> Desk:
    """State of the process that serves a request."""
    desk: Desk = request.app.state.desk
    return desk


def reader(request: Request) -> Caller:
    """Caller with the scope `slots.read`."""
    return desk_of(request).access.caller(request, "slots.read")


def anybody(request: Request) -> Caller:
    """Caller with any valid token."""
    return desk_of(request).access.caller(request, None)


def handed_in(path: str) -> Response:
    """Answer that makes the edge fetch an object from inside. The path is put together from checked parts only."""
    return Response(headers={"X-Accel-Redirect": INNER + path})


def json_answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """JSON that nobody keeps."""
    return JSONResponse(content, status, {"Cache-Control": "no-store", **(headers or {})})
