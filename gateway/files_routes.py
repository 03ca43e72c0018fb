# SPDX-License-Identifier: Apache-2.0
"""The mutual-TLS listener: file list and file receive, as existing retailer clients speak them."""

from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.desk import Desk, handed_in
from gateway.errors import CertificateRefusal, MethodRefusal, NotFoundRefusal, ScopeRefusal
from gateway.file_list import Variant, variants
from gateway.guard_check import certificate_fingerprint
from gateway.middleware.faults import Faults
from gateway.middleware.strict_path import StrictPath
from gateway.names import RETAILER, parse_day, parse_object
from gateway.requests import keep_caller


def files_app(desk: Desk) -> Starlette:
    """Application of the mutual-TLS listener, with a pair of routes for each variant."""
    routes = []
    for variant in variants():
        for path, name, answer in ((variant.list, "file_list", _list), (variant.receive, "file_receive", _receive)):
            endpoint = _named(partial(answer, variant), name)
            routes.append(Route(path, endpoint, methods=list(variant.methods)))
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Faults, record=desk.refused), Middleware(StrictPath)],
        exception_handlers={HTTPException: _refuse},
    )
    app.state.desk = desk
    return app


def _list(variant: Variant, request: Request) -> Response:
    code = _must_hold(request)
    query = {"variant": variant.name}
    day = request.query_params.get("date")
    if day is not None:
        if parse_day(day) is None:
            raise NotFoundRefusal("no such day")
        query["date"] = day
    return handed_in(f"/certificate/{code}/list?{urlencode(query)}")


def _receive(_variant: Variant, request: Request) -> Response:
    code = _must_hold(request)
    named = parse_object(code, request.query_params.get("file", ""))
    if named is None or named.suffix != "zip":
        raise NotFoundRefusal("RET-005: no such name")
    return handed_in(f"/certificate/{named.retailer_code}/files/{named.name}")


def _must_hold(request: Request) -> str:
    """RET-004 for certificates. Whoever has none that is registered learns nothing of codes and names."""
    code: str = request.path_params["retailer_code"]
    client = _must_know(request)
    if not RETAILER.fullmatch(code) or code not in client:
        raise NotFoundRefusal("RET-004: code is not the client's")
    return code


def _must_know(request: Request) -> tuple[str, ...]:
    desk: Desk = request.app.state.desk
    fingerprint = certificate_fingerprint(request)
    client = desk.line.registry.by_certificate(fingerprint, desk.clock.now_ms() / 1000)
    keep_caller(request, client.id if client is not None else "", fingerprint)
    if client is None:
        raise CertificateRefusal("certificate of no active client, or not valid now")
    if not client.allows("slots.read"):
        raise ScopeRefusal("scope slots.read")
    return client.retailers


def _refuse(request: Request, error: Exception) -> Response:
    """Turn what the router says into a refusal: the certificate comes first here too.

    Raises:
        Refusal: always.

    """
    _must_know(request)
    if isinstance(error, HTTPException) and error.status_code == 405:
        raise MethodRefusal("method", headers={"Allow": "GET, HEAD"})
    raise NotFoundRefusal("no such route")


def _named(endpoint: Callable[[Request], Response], name: str) -> Callable[[Request], Response]:
    """Give an endpoint the name under which it is recorded."""

    def named(request: Request) -> Response:
        return endpoint(request)

    named.__name__ = name
    return named
