# SPDX-License-Identifier: Apache-2.0
"""The graph on two separate worker processes, as a cluster would run it: nothing rides on shared memory."""

from pathlib import Path

from tests.towns import build_town, delivered, differing


def test_worker_processes_give_the_same_bytes_as_threads(tmp_path: Path) -> None:
    town = build_town(tmp_path / "town", points=40, slots=4)

    threads = delivered(tmp_path / "threads", town, seed=1)
    processes = delivered(tmp_path / "processes", town, seed=2, cut=False, beam_mode="processes", workers=2)

    assert len(threads) > 50
    assert differing(threads, processes) == []
