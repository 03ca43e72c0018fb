# SPDX-License-Identifier: Apache-2.0
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.runtime import PREFIX, remove_stale, runtime_folder


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="koma-") as short:  # sockets need short names
        monkeypatch.setattr(tempfile, "tempdir", short)
        yield Path(short)


def test_a_run_removes_what_killed_runs_left_and_nothing_else(parent: Path) -> None:
    killed, foreign = parent / f"{PREFIX}killed", parent / f"{PREFIX}foreign"
    for folder in (killed, foreign):
        (folder / "edge").mkdir(parents=True)
    (killed / "running.lock").write_text("")
    with runtime_folder() as first:
        assert sorted(each.name for each in parent.iterdir()) == sorted([foreign.name, first.name])
        assert first.stat().st_mode & 0o777 == 0o700
        with runtime_folder() as second:
            assert first.exists()
            assert second.exists()
        remove_stale(parent)
        assert first.exists()
        assert not second.exists()
    assert list(parent.iterdir()) == [foreign]


def test_a_run_that_is_killed_leaves_a_folder_that_can_be_told(parent: Path) -> None:
    child = os.fork()
    if not child:
        with runtime_folder():
            os._exit(0)
    os.waitpid(child, 0)
    (left,) = parent.iterdir()
    assert left.name.startswith(PREFIX)
    remove_stale(parent)
    assert list(parent.iterdir()) == []
