# SPDX-License-Identifier: Apache-2.0
"""`koma gateway up` as a process: what it says, how it ends, and what holds when a part of it does not answer."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.runtime import remove_stale
from tests.gateway_deliveries import points, slot_start
from tests.gateway_world import KOMA, Gateway, Retailer, environment_of, free_ports, running_gateway, until

pytestmark = pytest.mark.xdist_group("test_gateway_up")


def children(pid: int) -> dict[int, str]:
    """Command lines of the processes below one."""
    found: dict[int, str] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        found |= children(int(child))
    return found


def gone(pids: list[int]) -> bool:
    """Whether processes have ended; one that waits for its parent to look has."""
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                return False
        except (FileNotFoundError, ProcessLookupError):
            continue
    return True


@contextmanager
def stopped(gateway: Gateway, words: str) -> Iterator[None]:
    """Keep a part from answering, by its command line."""
    pids = [pid for pid, line in children(gateway.process.pid).items() if words in line]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_it_says_where_it_is_and_ends_without_a_trace(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        said = json.loads((tmp_path / "up.out").read_text())
        assert said == json.loads((tmp_path / "run" / "gateway.json").read_text())
        assert said["pid"] == gateway.process.pid
        assert (tmp_path / "up.out").read_text().count("\n") == 1
        runtime, parts = gateway.runtime, list(children(gateway.process.pid))
        assert len(parts) >= 8
        sockets = [each for each in runtime.iterdir() if each.is_socket()]
        assert {each.stem for each in sockets} == {"policy", "inward", "guard", "edge-redis", "inner-redis"}
        assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
        for name in ("policy", "guard"):
            assert stat.S_IMODE((runtime / f"{name}.sock").stat().st_mode) == 0o600
        for key in (tmp_path / "gateway").rglob("*key*"):
            assert stat.S_IMODE(key.stat().st_mode) == 0o600, key
        second = gateway.koma("gateway", "up", "--json")
        assert (second.returncode, json.loads(second.stdout)["error"]["code"]) == (1, "gateway.start")
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(30) == 0
        assert gone(parts)
        assert not runtime.exists()
        assert not (tmp_path / "run" / "gateway.json").exists()


def test_its_parts_end_with_it_even_when_it_is_killed_and_it_starts_again(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        ca = gateway.ca.read_bytes()
        parts = list(children(gateway.process.pid))
        gateway.process.kill()
        gateway.process.wait(30)
        until(lambda: gone(parts), "the parts to end")
        left = gateway.runtime
        assert left.exists()
        remove_stale(left.parent)  # what the next start does first
        assert not left.exists()
    with running_gateway(tmp_path) as again:
        assert again.ca.read_bytes() == ca


def test_if_a_part_ends_all_ends_and_says_which(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        (guard,) = [
            pid
            for pid in map(
                int, Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
            )
            if "make_guard" in Path(f"/proc/{pid}/cmdline").read_text()
        ]
        os.kill(guard, signal.SIGTERM)
        assert gateway.process.wait(30) == 1


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"KOMA_NGINX": "/nowhere/nginx"}, "gateway.program_missing"),
        ({"KOMA_GATEWAY_URL": "http://localhost:1"}, "gateway.start"),
        ({"KOMA_GATEWAY_URL": "https://localhost:1", "KOMA_FILES_URL": "https://localhost:1"}, "gateway.start"),
        ({"KOMA_NGINX": "/bin/false"}, "gateway.program_missing"),
    ],
)
def test_what_keeps_it_from_starting_is_named(tmp_path: Path, more: dict[str, str], code: str) -> None:
    environment = environment_of(tmp_path, free_ports(2), **more)
    done = subprocess.run(
        [*KOMA, "gateway", "up", "--json"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == code


@pytest.mark.parametrize("command", [("up",), ("client", "list"), ("client", "suspend", "r1", "--by", "A")])
@pytest.mark.parametrize("below", ["", "below/it"])
def test_a_home_that_is_a_file_is_named(tmp_path: Path, command: tuple[str, ...], below: str) -> None:
    file = tmp_path / "file"
    file.write_text("")
    done = koma_gateway(file / below, *command)
    told = json.loads(done.stdout)["error"]
    assert (done.returncode, told["code"]) == (1, "home.invalid"), done.stderr
    assert told["message"] == f"{file} is not a folder"
    assert "KOMA_HOME" in told["hint"]


def test_asking_for_clients_makes_no_home_and_no_book(tmp_path: Path) -> None:
    done = koma_gateway(tmp_path / "absent", "client", "list")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "home.invalid")
    assert not (tmp_path / "absent").exists()
    done = koma_gateway(tmp_path, "client", "list")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    done = koma_gateway(tmp_path, "client", "suspend", "r1", "--by", "A")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "gateway.registration")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "gateway" / "inner").mkdir(parents=True)
    (tmp_path / "gateway" / "inner" / "registrations.sqlite").write_text("no database, but of some length " * 9)
    done = koma_gateway(tmp_path, "client", "list")
    assert (done.returncode, json.loads(done.stdout)["error"]["code"]) == (1, "gateway.failed")


def koma_gateway(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KOMA, "gateway", *command, "--json"],
        env=environment_of(home, free_ports(2)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_replay_memory_no_token_is_issued_and_fresh_proofs_still_get_data_once(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        retailer = Retailer(gateway, "r1").register(tmp_path, ["10013"])
        (name,) = gateway.deliveries.issue("10013", slot_start(), [(points(1)[0], 1)], closed=(1, 1, 0))
        path = f"/v1/files/10013/{name}"
        until(lambda: retailer.get(path).status_code == 200, "the file")
        token, url = retailer.token(), gateway.issuer + path
        with stopped(gateway, "redis-server"):
            answer = retailer.ask_token()
            assert (answer.status_code, answer.json()["code"]) == (503, "zone.replay_store")
            assert answer.headers["retry-after"] == str(answer.json()["retry_after"])
            headers = {"Authorization": f"DPoP {token}", "DPoP": retailer.proof("GET", url, token)}
            assert retailer.http.get(url, headers=headers).status_code == 200
            again = retailer.http.get(url, headers=headers)
            assert (again.status_code, again.json()["code"]) == (401, "auth.proof")
            assert retailer.http.get(f"{gateway.issuer}/v1/status").json()["status"] == "degraded"
        until(lambda: retailer.ask_token().status_code == 200, "tokens again")


def test_without_the_inner_zone_no_token_is_issued_and_the_answer_says_so(tmp_path: Path) -> None:
    with running_gateway(tmp_path) as gateway:
        retailer = Retailer(gateway, "r1").register(tmp_path, ["10013"])
        with stopped(gateway, "make_guard"):
            answer = until(
                lambda: found if (found := retailer.ask_token()).status_code != 200 else None, "tokens to stop", 30
            )
            assert (answer.status_code, answer.json()["code"]) == (503, "zone.inner_unavailable")
            assert answer.headers["retry-after"] == str(answer.json()["retry_after"])
        until(lambda: retailer.ask_token().status_code == 200, "tokens again")
