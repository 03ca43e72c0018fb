# SPDX-License-Identifier: Apache-2.0
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey

from gateway.clients import EMPTY, REVOKED, SUSPENDED, Client, registry_of
from gateway.commands.gateway import spread
from gateway.errors import FourEyesError, KeyFormError, RegistrationError
from gateway.registrations import Registrations, client_from_files

NOW = 1_800_000_000_000


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Registrations]:
    found = Registrations(tmp_path / "book.sqlite")
    yield found
    found.close()


def client(folder: Path, name: str = "r1", key: Any = None, **more: Any) -> Client:
    file = folder / f"{name}.json"
    file.write_text(json.dumps((key or ECKey.generate_key("P-256")).as_dict(private=False)))
    given: dict[str, Any] = {
        "retailers": ["10013"],
        "scope": "slots.read",
        "jwks": file,
        "proof": (),
        "certificates": (),
    } | more
    return client_from_files(name, now_s=NOW / 1000, **given)


def admit(book: Registrations, proposed: Client) -> Client:
    return book.approve(book.propose(proposed, by="A", now_ms=NOW), by="B", now_ms=NOW)


def test_a_client_counts_from_its_approval_on(book: Registrations, tmp_path: Path) -> None:
    change = book.propose(client(tmp_path), by="A", now_ms=NOW)
    assert book.registry().active("r1") is None
    book.approve(change, by="B", now_ms=NOW)
    found = book.registry().active("r1")
    assert found is not None
    assert book.registry().by_proof_key(next(iter(found.proof_keys or ()))) == found


@pytest.mark.parametrize("person", ["A", "a", " A ", "Ａ"])
def test_the_same_person_in_another_spelling_is_the_same(book: Registrations, tmp_path: Path, person: str) -> None:
    change = book.propose(client(tmp_path), by="A", now_ms=NOW)
    with pytest.raises(FourEyesError):
        book.approve(change, by=person, now_ms=NOW)


def test_a_change_is_approved_once_and_must_exist(book: Registrations, tmp_path: Path) -> None:
    change = book.propose(client(tmp_path), by="A", now_ms=NOW)
    book.approve(change, by="B", now_ms=NOW)
    for wrong in (change, "nothing"):
        with pytest.raises(RegistrationError):
            book.approve(wrong, by="C", now_ms=NOW)
    with pytest.raises(RegistrationError):
        book.propose(client(tmp_path), by="  ", now_ms=NOW)


def test_stopping_raises_the_epoch_and_so_does_coming_back_but_new_keys_do_not(
    book: Registrations, tmp_path: Path
) -> None:
    assert admit(book, client(tmp_path)).epoch == 1
    assert admit(book, client(tmp_path, retailers=["10013", "10021"])).epoch == 1
    assert book.stop("r1", SUSPENDED, by="A", now_ms=NOW).epoch == 2
    assert book.registry().active("r1") is None
    assert admit(book, client(tmp_path)).epoch == 3
    assert book.stop("r1", REVOKED, by="A", now_ms=NOW).epoch == 4
    with pytest.raises(RegistrationError):
        book.stop("r1", SUSPENDED, by="A", now_ms=NOW)
    with pytest.raises(RegistrationError):
        book.stop("nobody", SUSPENDED, by="A", now_ms=NOW)


def test_revocation_is_for_good(book: Registrations, tmp_path: Path) -> None:
    """Neither a new proposal nor one from before lets the id in again, nor its key under another id."""
    key = ECKey.generate_key("P-256")
    admit(book, client(tmp_path, key=key))
    before = book.propose(client(tmp_path), by="A", now_ms=NOW)
    book.stop("r1", REVOKED, by="A", now_ms=NOW)
    with pytest.raises(RegistrationError, match=r"revoked for good.*Register a new id"):
        book.approve(before, by="B", now_ms=NOW)
    with pytest.raises(RegistrationError, match="revoked for good"):
        book.propose(client(tmp_path), by="A", now_ms=NOW)
    with pytest.raises(RegistrationError, match="same proof key"):
        admit(book, client(tmp_path, "r2", key))
    assert book.registry().active("r1") is None


def test_two_clients_share_no_proof_key(book: Registrations, tmp_path: Path) -> None:
    key = ECKey.generate_key("P-256")
    admit(book, client(tmp_path, "r1", key))
    with pytest.raises(RegistrationError, match="same proof key"):
        admit(book, client(tmp_path, "r2", key))


def test_another_process_sees_a_change_at_once(book: Registrations, tmp_path: Path) -> None:
    other = Registrations(tmp_path / "book.sqlite")
    assert other.registry().clients == ()
    admit(book, client(tmp_path))
    assert [each.id for each in other.registry().clients] == ["r1"]
    other.close()


def test_the_registry_crosses_the_zones_unchanged(book: Registrations, tmp_path: Path) -> None:
    admit(book, client(tmp_path))
    admit(book, client(tmp_path, "r2", proof=["any"]))
    registry = book.registry()
    assert registry_of(registry.as_json()) == registry
    found = registry.active("r2")
    assert found is not None
    assert (found.proof_keys, found.reads_data, found.accepts_proof_key("x")) == (None, False, True)
    assert EMPTY.active("r2") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"retailers": []},
        {"retailers": ["1001"]},
        {"retailers": ["../.."]},
        {"scope": ""},
        {"scope": "everything"},
        {"jwks": None},
    ],
)
def test_registrations_that_are_not_acceptable(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(RegistrationError):
        client(tmp_path, **wrong)


def test_private_keys_are_not_taken_in(tmp_path: Path) -> None:
    file = tmp_path / "private.json"
    file.write_text(json.dumps(ECKey.generate_key("P-256").as_dict(private=True)))
    with pytest.raises(KeyFormError):
        client(tmp_path, jwks=file)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["r1", "--retailer", "1", "2", "--by", "A"], ["r1", "--retailer", "1", "--retailer", "2", "--by", "A"]),
        (["--retailer", "1", "--retailer", "2", "r1"], ["--retailer", "1", "--retailer", "2", "r1"]),
        (["r1", "--cert", "a", "b", "c"], ["r1", "--cert", "a", "--cert", "b", "--cert", "c"]),
        (["r1", "--scope", "a", "--dpop=x"], ["r1", "--scope", "a", "--dpop=x"]),
    ],
)
def test_several_values_may_follow_one_option(given: list[str], expected: list[str]) -> None:
    assert spread(given) == expected
