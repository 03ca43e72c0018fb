# SPDX-License-Identifier: Apache-2.0
"""Only plain paths reach a route.

The path as sent (before any decoding) has to be plain: letters, digits, dot, dash and underscore between single
slashes. No route has a name that needs an escape, so whatever holds one names nothing.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import NotFoundRefusal
from gateway.names import PLAIN_PATH
from gateway.problems import answer
from gateway.requests import trace_id


class StrictPath:
    """ASGI middleware.

    Args:
        app: what plain requests go to.

    """

    def __init__(self, app: ASGIApp) -> None:
        """Keep the application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a plain request on; answer any other as not found."""
        if scope["type"] == "http" and not PLAIN_PATH.fullmatch(scope.get("raw_path") or b""):
            response = answer(NotFoundRefusal("path is not plain"), trace_id(Request(scope)))
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)
