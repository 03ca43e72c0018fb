# SPDX-License-Identifier: Apache-2.0
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import ReplayStoreError
from gateway.launch import _find_redis, _redis_command
from gateway.replay import LIFE_MAX_S, ReplayMemory
from tests.gateway_world import until


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real redis-server."""
    socket = tmp_path_factory.mktemp("r") / "redis.sock"
    with subprocess.Popen(_redis_command(_find_redis(), socket), stdout=subprocess.DEVNULL) as process:
        until(socket.exists, "redis")
        yield f"unix://{socket}"
        process.terminate()


@pytest.fixture
def memories(store: str) -> Iterator[tuple[ReplayMemory, ReplayMemory]]:
    """Two processes of one zone."""
    pair = ReplayMemory(store, "test"), ReplayMemory(store, "test")
    yield pair
    for each in pair:
        each.close()


def test_a_name_passes_once_in_all_processes(memories: tuple[ReplayMemory, ReplayMemory]) -> None:
    one, other = memories
    assert one.answers()
    assert one.first_use("proof", "a", 60)
    assert not one.first_use("proof", "a", 60)
    assert not other.first_use("proof", "a", 60)
    assert other.first_use("assertion", "a", 60)
    assert other.known("proof", "a")
    assert not other.known("revoked", "a")


def test_zones_do_not_share_names(store: str, memories: tuple[ReplayMemory, ReplayMemory]) -> None:
    inner = ReplayMemory(store, "inner")
    assert memories[0].first_use("proof", "both", 60)
    assert inner.first_use("proof", "both", 60)
    inner.close()


def test_nothing_is_remembered_for_years(memories: tuple[ReplayMemory, ReplayMemory]) -> None:
    one, _ = memories
    one.first_use("proof", "long", 10**9)
    assert one._redis.ttl("koma:test:proof:long") <= LIFE_MAX_S


def test_without_redis_only_who_may_go_alone_passes_and_only_once(tmp_path: Path) -> None:
    lonely = ReplayMemory(f"unix://{tmp_path / 'none.sock'}", "test")
    assert not lonely.answers()
    with pytest.raises(ReplayStoreError):
        lonely.first_use("proof", "a", 60)
    assert not lonely.first_use("proof", "a", 60, alone=True)
    assert lonely.first_use("proof", "b", 60, alone=True)
    assert not lonely.first_use("proof", "b", 60, alone=True)
    assert lonely.known("proof", "b")
    assert not lonely.known("proof", "c", alone=True)
    with pytest.raises(ReplayStoreError):
        lonely.known("proof", "c")
    lonely.close()
