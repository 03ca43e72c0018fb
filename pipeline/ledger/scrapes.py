# SPDX-License-Identifier: Apache-2.0
"""Answering Prometheus: GET /metrics, one scrape after the other, until SIGTERM or SIGINT."""

import signal
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from koma.errors import HomeError, KomaError
from koma.output import note

_TIMEOUT_S = 10.0
"""Who asks and then says nothing holds the next scrape up no longer."""


def answer(listen: str, text: Callable[[], bytes]) -> None:
    """Serve what `text` gives at `host:port`; port 0 takes a free one, which is said on standard error.

    Raises:
        HomeError: no such address, or it is taken.

    """
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or not 0 <= int(port) <= 65_535:
        raise HomeError(f"{listen} is no address", hint="give host and port, such as 127.0.0.1:9464")
    try:
        server = HTTPServer((host, int(port)), _handler(text))
    except OSError as error:
        raise HomeError(f"{listen} cannot be listened at: {error.strerror}", hint="take another port or host") from None
    previous = {each: signal.signal(each, lambda *_: _stop(server)) for each in (signal.SIGTERM, signal.SIGINT)}
    note(f"koma: metrics at http://{server.server_address[0]!s}:{server.server_address[1]}/metrics")
    try:
        server.serve_forever()
    finally:
        server.server_close()
        for each, handler in previous.items():
            signal.signal(each, handler)


def _stop(server: HTTPServer) -> None:
    threading.Thread(target=server.shutdown).start()  # from the serving thread it would wait for itself


def _handler(text: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Scrape(BaseHTTPRequestHandler):
        """One request."""

        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            """Answer with the metrics, or say why there are none: Prometheus then marks the scrape as failed."""
            if self.path.partition("?")[0] != "/metrics":
                self._say(HTTPStatus.NOT_FOUND, b"metrics are at /metrics\n")
                return
            try:
                self._say(HTTPStatus.OK, text())
            except (KomaError, OSError) as error:
                self._say(HTTPStatus.SERVICE_UNAVAILABLE, f"{error}\n".encode())

        def _say(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4 if status == HTTPStatus.OK else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Keep standard error for what matters."""

    return Scrape
