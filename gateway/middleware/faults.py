# SPDX-License-Identifier: Apache-2.0
"""The one place where a refusal, and any fault, becomes an HTTP answer. Deny is the default."""

from collections.abc import Callable
from contextlib import suppress

import structlog
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.errors import OverloadRefusal, Refusal, ReplayStoreError, ReplayStoreRefusal
from gateway.logs import places_of
from gateway.problems import answer
from gateway.requests import trace_id

_log = structlog.get_logger()

Record = Callable[[Request, Refusal], None]


class Faults:
    """ASGI middleware.

    Args:
        app: what may refuse or fail.
        record: told of every refusal before it is answered.

    """

    def __init__(self, app: ASGIApp, record: Record) -> None:
        """Keep both."""
        self._app, self._record = app, record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what went wrong, unless the answer has begun."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if begun:
                raise
            request = Request(scope)
            refusal = _refusal_of(error)
            with suppress(OSError):  # the record is full or gone: refuse all the same
                self._record(request, refusal)
            await answer(refusal, trace_id(request))(scope, receive, send)


def _refusal_of(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, ReplayStoreError):
        return ReplayStoreRefusal(error.message)
    _log.error("fault", kind=type(error).__name__, places=places_of(error))
    return OverloadRefusal(f"fault: {type(error).__name__}")
