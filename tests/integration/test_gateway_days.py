# SPDX-License-Identifier: Apache-2.0
"""Files of days and months through a running gateway: feed, files, file list, `koma pull`, and whose they are."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.dataset as ds
import pytest
from joserfc.jwk import ECKey

from tests.gateway_deliveries import Row, points, slot_start
from tests.gateway_world import KOMA, Gateway, Retailer, environment_of, running_gateway, tls_client, until

pytestmark = pytest.mark.xdist_group("test_gateway_days")  # one gateway serves the module

DAY = slot_start("2026-08-22T00:00")
READING = slot_start("2026-08-22T00:00")
CODES = iter(f"3{number:04d}" for number in range(100))


def rows_of(code: int, count: int = 20, missing: int = 0) -> list[Row]:
    return [(point, None if index < missing else 1000 * code + index) for index, point in enumerate(points(count))]


SLOTS = {code: rows_of(code) for code in range(1, 49)}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("home")) as found:
        yield found


@pytest.fixture
def code() -> str:
    """A retailer code of the test's own."""
    return next(CODES)


@dataclass
class Client:
    """A retailer that has a key and a certificate."""

    code: str
    gateway: Gateway
    keys: dict[str, str]
    key: Retailer
    door: httpx.Client

    def pull(self, dest: Path, *more: str, status: int = 0) -> dict[str, Any]:
        credentials = ("--client-id", f"k{self.code}", "--key", self.keys["key"])
        return self._pull(dest, *credentials, *more, status=status)

    def pull_list(self, dest: Path, *more: str) -> dict[str, Any]:
        certificate = ("--cert", self.keys["cert"], "--key-file", self.keys["cert_key"])
        return self._pull(dest, "--retailer", self.code, *certificate, *more)

    def _pull(self, dest: Path, *more: str, status: int = 0) -> dict[str, Any]:
        done = self.gateway.koma("pull", *more, "--ca", str(self.gateway.ca), "--dest", str(dest), "--json")
        assert done.returncode == status, done.stdout + done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def published(self, name: str) -> None:
        url = f"/{self.code}/FileReceiver?file={name}"
        until(lambda: self.door.head(url).status_code == 200, f"{name} to be published")

    def releases(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.key.get("/v1/releases").json()["releases"]
        return found


def client_of(gateway: Gateway, folder: Path, code: str) -> Client:
    keys: dict[str, str] = json.loads(gateway.command("new-keys", str(folder / code)))
    own = ("--retailer", code, "--scope", "slots.read")
    gateway.register(f"k{code}", *own, "--jwks", keys["jwks"], "--cert", keys["cert"])
    door = tls_client(gateway, Path(keys["cert"]), Path(keys["cert_key"]))
    until(lambda: door.get(f"/{code}/FileListReceiver").status_code == 200, "the client to be known")
    key = ECKey.import_key(json.loads(Path(keys["key"]).read_text()))
    return Client(code, gateway, keys, Retailer(gateway, f"k{code}", key), door)


@pytest.fixture
def client(gateway: Gateway, tmp_path: Path, code: str) -> Client:
    return client_of(gateway, tmp_path, code)


def test_a_day_is_told_in_the_feed_with_its_span_its_revisions_and_what_they_supersede(
    gateway: Gateway, client: Client
) -> None:
    issue = gateway.deliveries.issue_day
    first = issue(client.code, DAY, SLOTS, more=[{34: [(points(1, 90)[0], 5)]}])
    (revised,) = issue(client.code, DAY, {34: [(points(1)[0], 7)]}, revision=1, after_min=24 * 60 + 405)
    client.published(first[0])
    client.published(revised)

    day, revision = client.releases()
    assert {name: day[name] for name in ("product", "kind", "from", "to", "slot_code", "revision", "rows")} == {
        "product": "W41120",
        "kind": "daily",
        "from": "2026-08-22T00:00:00+09:00",
        "to": "2026-08-23T00:00:00+09:00",
        "slot_code": None,
        "revision": 0,
        "rows": 48 * 20 + 1,
    }
    assert (day["issued_at"], day["closed"], day["deadline_at"]) == ("2026-08-23T06:15:00+09:00", None, None)
    assert (day["supersedes"], revision["supersedes"]) == ([], [day["id"]])
    assert (revision["kind"], revision["revision"], revision["rows"]) == ("daily", 1, 1)
    assert [each["url"].rpartition("/")[2] for each in day["files"] if each["media_type"] == "application/zip"] == first
    assert len(day["files"]) == 4
    path, answer = "", httpx.Response(500)
    for each in day["files"]:
        path = each["url"].removeprefix(gateway.issuer)
        answer = client.key.get(path)
        assert (answer.status_code, len(answer.content)) == (200, each["bytes"])
        assert answer.headers["etag"] == f'"{each["sha256"]}"'
    part = client.key.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, answer.content[10:20])


def test_a_day_is_no_release_of_its_first_slot(gateway: Gateway, client: Client) -> None:
    """The day and the slot from 00:00 start together; state, revisions and what is superseded are each its own."""
    (name,) = gateway.deliveries.issue_day(client.code, DAY, SLOTS)
    client.published(name)
    slot = f"/v1/slots/{client.code}/20260822/01"
    assert client.key.get(slot).json()["state"] == "pending"

    gateway.deliveries.issue(client.code, DAY, SLOTS[1], after_min=75, closed=(20, 20, 0))
    (revised,) = gateway.deliveries.issue(client.code, DAY, SLOTS[1][:1], revision=1, after_min=120)
    client.published(revised)
    told = client.key.get(slot).json()
    assert told["state"] == "revised"
    assert [each["product"] for each in told["releases"]] == ["W41110", "W41110"]
    assert told["releases"][1]["supersedes"] == [told["releases"][0]["id"]]


def test_a_month_is_told_by_its_meter_reading_day(gateway: Gateway, client: Client) -> None:
    (name,) = gateway.deliveries.issue_month(client.code, READING, rows_of(9))
    client.published(name)
    (month,) = client.releases()
    assert {name: month[name] for name in ("product", "kind", "from", "to", "slot_code", "deadline_at", "rows")} == {
        "product": "W51220",
        "kind": "monthly",
        "from": "2026-07-22T00:00:00+09:00",
        "to": "2026-08-22T00:00:00+09:00",
        "slot_code": None,
        "deadline_at": None,
        "rows": 20,
    }
    assert name == "W51220202608220000001.zip"


def test_the_file_list_holds_slots_days_and_months(gateway: Gateway, client: Client) -> None:
    wanted = gateway.deliveries.issue(client.code, DAY, SLOTS[1], after_min=24 * 60, closed=(20, 20, 0))
    wanted += gateway.deliveries.issue_day(client.code, DAY, SLOTS)
    wanted += gateway.deliveries.issue_month(client.code, READING, rows_of(9), after_min=24 * 60 + 400)
    for name in wanted:
        client.published(name)
    for page in ("FileListReceiver?date=20260822", "FileListReceiver"):
        text = client.door.get(f"/{client.code}/{page}").text
        assert [part.split('"')[1] for part in text.split("rfilename")[1:]] == wanted


@pytest.mark.parametrize("form", ["zip", "parquet"])
def test_pull_keeps_days_apart_from_slots_and_says_where_they_differ(
    gateway: Gateway, client: Client, tmp_path: Path, form: str
) -> None:
    deliveries, dest = gateway.deliveries, tmp_path / "pulled"
    slot = DAY + timedelta(hours=16, minutes=30)
    deliveries.issue(client.code, slot, rows_of(34, missing=2), after_min=75, closed=(20, 18, 2))
    day = deliveries.issue_day(client.code, DAY, SLOTS, more=[{34: [(points(1, 90)[0], 5)]}])
    (month,) = deliveries.issue_month(client.code, READING, rows_of(9, missing=1))
    for name in (*day, month):
        client.published(name)

    told = client.pull(dest, "--format", form)
    own = told["retailers"][client.code]
    assert own["ledger"] == {"slots": 1, "cells": 20, "available": 18, "missing": 2, "sum_dwh": 18 * 34_000 + 189}
    assert (own["days"]["agree"], own["days"]["differ"], own["days"]["alone"]) == (18, 2, 47 * 20 + 1)
    total = sum(value or 0 for rows in SLOTS.values() for _, value in rows) + 5
    assert (own["days"]["files"], own["days"]["ledger"]["cells"], own["days"]["ledger"]["sum_dwh"]) == (2, 961, total)
    assert own["months"] == {"files": 1, "rows": 20}
    assert (told["files"], told["rows"], told["releases"]) == (4, 20 + 961 + 20, 3)
    assert (dest / "files" / client.code / "20260822" / day[0].replace("zip", form)).is_file()
    held = ds.dataset(dest / "days" / client.code, format="parquet").to_table()
    assert held.num_rows == 961
    assert client.pull(dest, "--format", form)["files"] == 0

    (late,) = deliveries.issue(client.code, slot, rows_of(34)[:2], revision=1, after_min=120)
    (again,) = deliveries.issue_day(
        client.code, DAY, {34: [(points(1)[0], 34_000)]}, revision=1, after_min=24 * 60 + 405
    )
    client.published(late)
    client.published(again)
    own = client.pull(dest, "--format", form)["retailers"][client.code]
    assert (own["days"]["agree"], own["days"]["differ"], own["days"]["alone"]) == (20, 0, 1)
    assert own["days"]["ledger"]["sum_dwh"] == total
    assert own["ledger"]["missing"] == 0


def test_the_file_list_is_enough_for_days(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    (name,) = gateway.deliveries.issue_day(client.code, DAY, SLOTS)
    client.published(name)
    told = client.pull_list(tmp_path / "listed")
    own = told["retailers"][client.code]
    assert (told["files"], own["days"]["ledger"]["cells"], own["ledger"]["cells"]) == (1, 960, 0)
    assert client.pull_list(tmp_path / "listed", "--since", "2026-08-22", "--until", "2026-08-22")["files"] == 0


def test_a_day_altered_on_the_way_is_refused(gateway: Gateway, client: Client, tmp_path: Path) -> None:
    (name,) = gateway.deliveries.issue_day(client.code, DAY, SLOTS)
    client.published(name)
    file = gateway.deliveries.root / client.code / "20260822" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    told = client.pull(tmp_path / "pulled", status=1)
    assert told["error"]["code"] == "pull.mismatch"
    assert not (tmp_path / "pulled" / "days").exists()


def test_ret_004_another_retailer_s_days_cannot_be_seen_listed_or_guessed(
    gateway: Gateway, client: Client, tmp_path: Path
) -> None:
    """RET-004, RET-005: names follow from the date, so that anyone can guess them: guessing has to be of no use."""
    other = next(CODES)
    (name,) = gateway.deliveries.issue_day(other, DAY, SLOTS)
    (month,) = gateway.deliveries.issue_month(other, READING, rows_of(9))
    somebody = client_of(gateway, tmp_path, other)
    somebody.published(name)
    somebody.published(month)

    assert client.releases() == []
    nothing = client.key.get(f"/v1/files/{client.code}/W41120202608230000000001.zip")
    for wanted in (name, month, name.replace("zip", "parquet"), "manifest-W41120.jsonl", "manifest-W51220.jsonl"):
        for code in (other, client.code, f"{client.code}/../{other}", f"{client.code}%2f..%2f{other}"):
            answer = client.key.get(f"/v1/files/{code}/{wanted}")
            assert answer.status_code in {400, 401, 404}, (code, wanted)  # 401: the path was rewritten under way
            if "." not in code and "%" not in code:
                assert answer.json() | {"trace_id": ""} == nothing.json() | {"trace_id": ""}
            assert client.door.get(f"/{code}/FileReceiver?file={wanted}").status_code in {400, 404}, (code, wanted)
    assert client.door.get(f"/{other}/FileListReceiver?date=20260822").status_code == 404
    assert "rfilename" not in client.door.get(f"/{client.code}/FileListReceiver?date=20260822").text


def test_what_is_no_day_is_not_published_and_holds_nothing_else_back(gateway: Gateway, client: Client) -> None:
    """A line that names a slot's file, another day, or closes something, in the manifest of days."""
    deliveries = gateway.deliveries
    (slot,) = deliveries.issue(client.code, DAY, SLOTS[1], after_min=75, closed=(20, 20, 0))
    folder = deliveries.root / client.code / "20260822"
    line = json.loads((folder / "manifest.jsonl").read_text().splitlines()[0])
    (name,) = deliveries.issue_day(client.code, DAY + timedelta(days=1), SLOTS)
    log = gateway.home / "gateway" / "inner" / "guard.log"
    for bad in (
        line,
        {**line, "file": "W41120202608230000000001.zip"},
        {**line, "file": "W41120202608220000000001.zip", "slot_start": "2026-08-22T00:30:00+09:00"},
        {"slot_start": DAY.isoformat(), "closed": True, "expected": 1, "available": 1, "missing": 0},
    ):
        (folder / "manifest-W41120.jsonl").write_text(
            json.dumps({**bad, "issued_at": "2026-08-23T06:15:00+09:00"}) + "\n"
        )
        until(lambda: f"{client.code}/20260822/manifest-W41120.jsonl line 1" in log.read_text(), "the line in the log")
    client.published(slot)
    client.published(name)
    assert [each["product"] for each in client.releases()] == ["W41110", "W41120"]


def test_a_day_that_is_no_longer_kept_is_gone_and_its_slots_with_it(gateway: Gateway, client: Client) -> None:
    (old,) = gateway.deliveries.issue_day(client.code, DAY, SLOTS)
    (new,) = gateway.deliveries.issue_day(client.code, DAY + timedelta(days=1), SLOTS)
    client.published(new)
    shutil.rmtree(gateway.deliveries.root / client.code / "20260822")
    url = f"/{client.code}/FileReceiver?file={old}"
    until(lambda: client.door.head(url).status_code == 404, "the day to be forgotten")
    until(lambda: [each["from"][:10] for each in client.releases()] == ["2026-08-23"], "its release to be forgotten")


def test_what_a_pipeline_issued_of_slots_and_of_their_day_agrees_in_the_retailer_s_hands(tmp_path: Path) -> None:
    home, town = tmp_path / "home", tmp_path / "town"
    environment = environment_of(home, (0, 0))

    def koma(*command: str) -> None:
        subprocess.run([*KOMA, *command], env=environment, check=True, capture_output=True)

    koma("simulate", str(town), "--points", "60", "--slots", "62", "--retailers", "2", "--truth", "none")
    koma("master", "import", str(town / "master"))
    shutil.copytree(town / "landing", home / "landing", dirs_exist_ok=True)
    koma("pipeline", "run", "--once")
    day = max((home / "deliveries").glob("*/20261007/W41120*.zip"), key=lambda each: each.stat().st_size)

    with running_gateway(home) as running:
        client = client_of(running, tmp_path, day.parts[-3])
        client.published(day.name)
        for form in ("zip", "parquet"):
            own = client.pull(tmp_path / form, "--format", form)["retailers"][client.code]
            days = own["days"]
            assert (days["differ"], days["alone"]) == (0, 0)
            assert days["agree"] == days["ledger"]["cells"] > 48 * 10
            assert days["ledger"]["slots"] == 3 + 48, "the home begins at 22:30 of the day before"
            assert own["incomplete"] == []
