# SPDX-License-Identifier: Apache-2.0
"""`koma pull` against a running gateway: by key and by certificate, again, after a cut, and when something is wrong."""

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow.dataset as ds
import pytest

from tests.gateway_deliveries import Row, points, slot_start
from tests.gateway_world import Gateway, running_gateway, tls_client, until

pytestmark = pytest.mark.xdist_group("test_pull")  # one gateway serves the module

START = slot_start("2026-08-22T23:30")
NEXT = START + timedelta(minutes=30)
"""The first slot of the next day."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture(scope="module")
def keys(gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Keys and certificate of one client with two codes, registered."""
    folder = tmp_path_factory.mktemp("keys")
    made: dict[str, str] = json.loads(gateway.koma("gateway", "client", "new-keys", str(folder)).stdout)
    codes = ("--retailer", "10013", "--retailer", "10021")
    gateway.register("r1", *codes, "--jwks", made["jwks"], "--cert", made["cert"], "--scope", "slots.read")
    door = tls_client(gateway, Path(made["cert"]), Path(made["cert_key"]))
    until(lambda: door.get("/10013/FileListReceiver").status_code == 200, "the client to be known")
    return made


def energy(start: datetime, index: int) -> int:
    return (index * 7919 + int(start.timestamp()) // 1800) % 30_000


def rows_of(start: datetime, count: int, missing: int = 0) -> list[Row]:
    """Rows of a slot, the first few missing."""
    return [(point, None if i < missing else energy(start, i)) for i, point in enumerate(points(count))]


def truth(*parts: list[Row]) -> int:
    """Sum of the last word on each point."""
    latest = {point: value for rows in parts for point, value in rows}
    return sum(value or 0 for value in latest.values())


def empty(door: httpx.Client, page: str) -> bool:
    return "rfilename1" not in door.get(page).text


@pytest.fixture
def codes(gateway: Gateway, keys: dict[str, str]) -> Iterator[None]:
    """A delivery tree of its own for each test: what is no longer kept is no longer listed."""
    yield
    for code in ("10013", "10021"):
        shutil.rmtree(gateway.deliveries.root / code, ignore_errors=True)
    door = tls_client(gateway, Path(keys["cert"]), Path(keys["cert_key"]))
    for code in ("10013", "10021"):
        for start in (START, NEXT):
            until(partial(empty, door, f"/{code}/FileListReceiver?date={start:%Y%m%d}"), "old files to be forgotten")


Pull = Callable[..., dict[str, Any]]


@pytest.fixture
def pull(gateway: Gateway, keys: dict[str, str], tmp_path: Path) -> Pull:
    """Run `koma pull` over OAuth; gives what it printed."""

    def run(*more: str, status: int = 0) -> dict[str, Any]:
        credentials = ("--client-id", "r1", "--key", keys["key"])
        done = gateway.koma(
            "pull", *credentials, "--ca", str(gateway.ca), "--dest", str(tmp_path / "pulled"), "--json", *more
        )
        assert done.returncode == status, done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    return run


def pull_by_certificate(
    gateway: Gateway, keys: dict[str, str], dest: Path, *more: str, status: int = 0
) -> dict[str, Any]:
    done = gateway.koma(
        *("pull", "--retailer", "10013", "--cert", keys["cert"], "--key-file", keys["cert_key"]),
        *("--ca", str(gateway.ca), "--dest", str(dest), "--json", *more),
    )
    assert done.returncode == status, done.stdout + done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def published(gateway: Gateway, keys: dict[str, str], name: str, code: str = "10013") -> None:
    """Wait until a file may be fetched."""
    door = tls_client(gateway, Path(keys["cert"]), Path(keys["cert_key"]))
    until(lambda: door.head(f"/{code}/FileReceiver?file={name}").status_code == 200, f"{name} to be published")


def ledger_sum(dest: Path) -> int:
    table = ds.dataset(dest / "ledger", format="parquet").to_table(columns=["energy_dwh"])
    return sum(value.as_py() or 0 for value in table["energy_dwh"])


@pytest.mark.usefixtures("codes")
@pytest.mark.parametrize("form", ["zip", "parquet"])
def test_the_ledger_equals_the_truth_and_a_second_pull_fetches_only_what_is_new(
    gateway: Gateway, keys: dict[str, str], pull: Pull, tmp_path: Path, form: str
) -> None:
    issue = gateway.deliveries.issue
    first, second = rows_of(START, 300, missing=20), rows_of(NEXT, 300)
    issue("10013", START, first[20:200], after_min=40)
    issue("10013", START, first[200:] + first[:20], split=2, after_min=75, closed=(300, 280, 20))
    (last,) = issue("10021", NEXT, second, after_min=75, closed=(300, 300, 0))
    published(gateway, keys, last, "10021")

    told = pull("--format", form)
    assert (told["files"], told["rows"], told["releases"]) == (3, 600, 3)
    assert told["retailers"]["10013"]["ledger"] == {
        "slots": 1,
        "cells": 300,
        "available": 280,
        "missing": 20,
        "sum_dwh": truth(first),
    }
    assert told["retailers"]["10021"]["incomplete"] == []
    assert told["sum_dwh"] == truth(first) + truth(second) == ledger_sum(tmp_path / "pulled")

    late = rows_of(START, 20)
    (revised,) = issue("10013", START, late, revision=1, after_min=120)
    published(gateway, keys, revised)
    told = pull("--format", form)
    assert (told["files"], told["rows"], told["releases"]) == (1, 20, 1)
    assert told["retailers"]["10013"]["ledger"]["sum_dwh"] == truth(first, late)
    assert told["retailers"]["10013"]["ledger"]["missing"] == 0

    told = pull("--format", form)
    assert (told["files"], told["bytes"], told["releases"]) == (0, 0, 0)
    assert told["sum_dwh"] == truth(first, late) + truth(second) == ledger_sum(tmp_path / "pulled")


@pytest.mark.usefixtures("codes")
def test_a_client_that_lost_its_state_ends_with_the_same_ledger(
    gateway: Gateway, keys: dict[str, str], pull: Pull, tmp_path: Path
) -> None:
    """Re-delivery of everything, in another order than it was applied in, changes nothing."""
    rows = rows_of(START, 100)
    gateway.deliveries.issue("10013", START, rows, closed=(100, 100, 0), after_min=75)
    (name,) = gateway.deliveries.issue("10013", START, [(rows[5][0], 77)], revision=1, after_min=120)
    published(gateway, keys, name)
    before = pull()
    ledger = {file: file.read_bytes() for file in (tmp_path / "pulled" / "ledger").rglob("*.parquet")}
    (tmp_path / "pulled" / "state.json").unlink()
    after = pull()
    assert after["files"] == before["files"] == 2
    assert after["bytes"] == 0
    assert {file: file.read_bytes() for file in (tmp_path / "pulled" / "ledger").rglob("*.parquet")} == ledger


@pytest.mark.usefixtures("codes")
def test_a_cut_download_is_gone_on_with(gateway: Gateway, keys: dict[str, str], pull: Pull, tmp_path: Path) -> None:
    (name,) = gateway.deliveries.issue("10013", START, rows_of(START, 2000), closed=(2000, 2000, 0), after_min=75)
    published(gateway, keys, name)
    whole = (gateway.deliveries.root / "10013" / "20260822" / name).read_bytes()
    folder = tmp_path / "pulled" / "files" / "10013" / "20260822"
    folder.mkdir(parents=True)
    (folder / f".{name}.part").write_bytes(whole[:5000])
    told = pull()
    assert told["bytes"] == len(whole) - 5000
    assert (folder / name).read_bytes() == whole
    assert told["sum_dwh"] == truth(rows_of(START, 2000))


@pytest.mark.usefixtures("codes")
def test_a_spoilt_part_is_thrown_away(gateway: Gateway, keys: dict[str, str], pull: Pull, tmp_path: Path) -> None:
    (name,) = gateway.deliveries.issue("10013", START, rows_of(START, 500), closed=(500, 500, 0), after_min=75)
    published(gateway, keys, name)
    folder = tmp_path / "pulled" / "files" / "10013" / "20260822"
    folder.mkdir(parents=True)
    (folder / f".{name}.part").write_bytes(b"not what was sent")
    assert pull()["sum_dwh"] == truth(rows_of(START, 500))
    assert list(folder.glob(".*")) == []


@pytest.mark.usefixtures("codes")
def test_a_file_altered_on_the_way_is_refused_and_the_state_stays(
    gateway: Gateway, keys: dict[str, str], pull: Pull, tmp_path: Path
) -> None:
    (name,) = gateway.deliveries.issue("10013", START, rows_of(START, 50), closed=(50, 50, 0), after_min=75)
    published(gateway, keys, name)
    file = gateway.deliveries.root / "10013" / "20260822" / name
    good = file.read_bytes()
    file.write_bytes(good[:100] + bytes([good[100] ^ 1]) + good[101:])
    told = pull(status=1)
    assert told["error"]["code"] == "pull.mismatch"
    assert not (tmp_path / "pulled" / "ledger").exists()
    file.write_bytes(good)
    assert pull()["sum_dwh"] == truth(rows_of(START, 50))


@pytest.mark.usefixtures("codes")
def test_by_certificate_the_file_list_is_enough(gateway: Gateway, keys: dict[str, str], tmp_path: Path) -> None:
    rows, late = rows_of(START, 100, missing=3), rows_of(START, 3)
    gateway.deliveries.issue("10013", START, rows, closed=(100, 97, 3), after_min=75)
    (name,) = gateway.deliveries.issue("10013", START, late, revision=1, after_min=120)
    published(gateway, keys, name)
    told = pull_by_certificate(gateway, keys, tmp_path)
    assert (told["mode"], told["files"], told["sum_dwh"]) == ("mutual-tls", 2, truth(rows, late))
    told = pull_by_certificate(gateway, keys, tmp_path)
    assert (told["files"], told["bytes"], told["sum_dwh"]) == (0, 0, truth(rows, late))
    told = pull_by_certificate(gateway, keys, tmp_path / "b", "--since", "2026-08-20", "--until", "2026-08-23")
    assert (told["files"], told["sum_dwh"]) == (2, truth(rows, late))


@contextmanager
def cutting_line(port: int, cut_after: int, cuts: int) -> Iterator[int]:
    """A line to a port that breaks the first connections after some bytes of answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    left = [cuts]
    threads: list[threading.Thread] = []

    def carry(source: socket.socket, target: socket.socket, limit: int | None) -> None:
        passed = 0
        try:
            while data := source.recv(4096):
                target.sendall(data)
                passed += len(data)
                if limit is not None and passed > limit:
                    break
        except OSError:
            pass
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def serve(inward: socket.socket) -> None:
        limit, left[0] = (cut_after if left[0] > 0 else None), left[0] - 1
        with inward, socket.create_connection(("127.0.0.1", port)) as outward:
            up = threading.Thread(target=carry, args=(inward, outward, None))
            up.start()
            carry(outward, inward, limit)
            up.join()

    def accept() -> None:
        while True:
            try:
                inward, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(inward,)))
            threads[-1].start()

    door = threading.Thread(target=accept)
    door.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        door.join()
        for thread in threads:
            thread.join()


@pytest.mark.usefixtures("codes")
def test_a_line_that_breaks_mid_file_costs_only_the_rest(
    gateway: Gateway, keys: dict[str, str], tmp_path: Path
) -> None:
    rows: list[Row] = [(point, index * 104_729 % 999_983) for index, point in enumerate(points(20_000))]
    (name,) = gateway.deliveries.issue("10013", START, rows, closed=(20_000, 20_000, 0), after_min=75)
    published(gateway, keys, name)
    size = (gateway.deliveries.root / "10013" / "20260822" / name).stat().st_size
    assert size > 100_000
    with cutting_line(int(gateway.files.rpartition(":")[2]), cut_after=60_000, cuts=3) as port:
        told = pull_by_certificate(gateway, keys, tmp_path, "--files", f"https://localhost:{port}")
    assert told["sum_dwh"] == truth(rows)
    assert told["bytes"] == size


def test_refusals_name_the_reason_and_how_to_go_on(gateway: Gateway, keys: dict[str, str], tmp_path: Path) -> None:
    unknown = gateway.koma(
        *("pull", "--client-id", "nobody", "--key", keys["key"], "--ca", str(gateway.ca)),
        *("--dest", str(tmp_path / "a"), "--json"),
    )
    assert unknown.returncode == 1
    error = json.loads(unknown.stdout)["error"]
    assert error["code"] == "pull.refused"
    assert "approved" in error["hint"]
    trace = error["hint"].rpartition(" ")[2]
    until(lambda: [line for line in gateway.audit() if line["trace_id"] == trace], "the refusal to be on record")
    foreign = pull_by_certificate(gateway, keys, tmp_path / "b", "--retailer", "10055", status=1)
    assert "404" in foreign["error"]["message"]
    untrusted = gateway.koma("pull", "--client-id", "r1", "--key", keys["key"], "--dest", str(tmp_path / "c"), "--json")
    assert untrusted.returncode == 1
    assert json.loads(untrusted.stdout)["error"]["code"] == "pull.connection"
    assert "--ca" in json.loads(untrusted.stdout)["error"]["hint"]
    assert list(tmp_path.iterdir()) == []
    neither = gateway.koma("pull", "--dest", str(tmp_path / "d"))
    assert neither.returncode == 2


def test_what_keeps_it_from_connecting_is_named(gateway: Gateway, keys: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no PEM")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"https://localhost:{closed.getsockname()[1]}"
    ca, dest = str(gateway.ca), ("--dest", str(tmp_path / "a" / "b"), "--json")
    by_key = ("pull", "--client-id", "r1", "--key", keys["key"], *dest)
    by_certificate = ("pull", "--retailer", "10013", "--cert", keys["cert"], *dest)
    for arguments, named, hint in (
        ((*by_key, "--ca", str(tmp_path / "absent.pem")), "absent.pem", "--ca"),
        ((*by_key, "--ca", str(tmp_path / "no.pem")), "no.pem", "--ca"),
        ((*by_key, "--ca", keys["cert"]), gateway.issuer, "--ca"),
        ((*by_key, "--ca", ca, "--gateway", address), address, "KOMA_GATEWAY_URL"),
        ((*by_certificate, "--key-file", keys["cert_key"], "--ca", keys["cert"]), gateway.files, "--ca"),
        ((*by_certificate, "--key-file", keys["cert_key"], "--ca", ca, "--files", address), address, "--files"),
        ((*by_certificate, "--key-file", keys["key"], "--ca", ca), keys["cert"], "--key-file"),
    ):
        done = gateway.koma(*arguments)
        error = json.loads(done.stdout)["error"]
        assert (done.returncode, error["code"]) == (1, "pull.connection"), arguments
        assert named in error["message"], error
        assert hint in error["hint"], error
        assert "again" not in error["hint"], error
        assert [each.name for each in tmp_path.iterdir()] == ["no.pem"], "a folder was left behind"


@pytest.mark.usefixtures("codes")
def test_a_folder_belongs_to_one_client(gateway: Gateway, keys: dict[str, str], pull: Pull, tmp_path: Path) -> None:
    pull()
    told = pull_by_certificate(gateway, keys, tmp_path / "pulled", status=1)
    assert told["error"]["code"] == "pull.state"
