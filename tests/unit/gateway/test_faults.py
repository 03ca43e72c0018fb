# SPDX-License-Identifier: Apache-2.0
"""Whatever goes wrong ends as a refusal; what it was stays in the house."""

import asyncio
import json
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from gateway.errors import NotFoundRefusal, Refusal, ReplayStoreError
from gateway.middleware.faults import Faults

SECRET = "a token that stood in the request"


def ask(error: Exception, *, record_fails: bool = False) -> tuple[int, dict[str, Any], list[str]]:
    """Status, body, and recorded problems of an application that fails."""
    sent: list[Message] = []
    recorded: list[str] = []

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise error

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    def record(_request: Request, refusal: Refusal) -> None:
        if record_fails:
            raise OSError(28, "no space left")
        recorded.append(refusal.problem)

    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    asyncio.run(Faults(app, record)(scope, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"]), recorded


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFoundRefusal(SECRET), 404, "not_found"),
        (ReplayStoreError(SECRET), 503, "zone.replay_store"),
        (ValueError(SECRET), 503, "zone.overload"),
        (OSError(SECRET), 503, "zone.overload"),
        (RecursionError(SECRET), 503, "zone.overload"),
    ],
)
def test_every_fault_is_a_refusal_that_tells_nothing(error: Exception, status: int, code: str) -> None:
    with capture_logs() as logs:
        found, body, recorded = ask(error)
    assert (found, body["code"], recorded) == (status, code, [code])
    assert SECRET not in json.dumps(body)
    assert SECRET not in json.dumps(logs)


def test_a_refusal_stands_even_where_it_cannot_be_recorded() -> None:
    status, body, recorded = ask(NotFoundRefusal("x"), record_fails=True)
    assert (status, body["code"], recorded) == (404, "not_found", [])
