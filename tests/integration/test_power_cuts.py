# SPDX-License-Identifier: Apache-2.0
"""A power cut at any change of checkpoint, compaction, retention or clock: what was said to be durable is there."""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from koma.clock import KeptClock
from koma.slots import parse_jst
from pipeline import journal
from pipeline.checking import check_home
from pipeline.home import Home
from pipeline.journal import Journal, read_state
from pipeline.retention import forget_deliveries
from tests.faults import forget, unfounded
from tests.filelayer import Fault, FileLayer
from tests.homes import HOUR_MS, iso
from tests.power import Recorder, cut_power
from tests.unit.pipeline.test_checkpoint import LIFE, after
from tests.unit.pipeline.test_compaction import FIRST, House, cells

NOW_MS = parse_jst("2026-10-07T00:10")
TIMES_MS = (NOW_MS, NOW_MS + HOUR_MS, NOW_MS + 2 * HOUR_MS)
DEEP = settings().max_examples >= 1000
MOMENTS = 400 if DEEP else 6
PATIENCE_S = 120.0
Act = Callable[[Path, Path], None]


def write_life(root: Path, told: Path) -> None:
    """Append the records of a life, with a checkpoint after each, and tell how many are durable."""
    journal.CHECKPOINT_BYTES = 1
    opened = Journal(root)
    for number, record in enumerate(LIFE, 1):
        opened.append(record)
        told.write_text(str(number))


def compact_house(root: Path, _: Path) -> None:
    House(root).compact()


def set_clock_twice(root: Path, told: Path) -> None:
    """Move a home's clock, and tell how far it is said to stand."""
    for now_ms in TIMES_MS:
        KeptClock(root).set(now_ms)
        told.write_text(str(now_ms))


def forget_folders(root: Path, told: Path) -> None:
    told.write_text("\n".join(str(path) for path in forget_deliveries(Home(root), NOW_MS, 2)))


def _child(act: Act, root: Path, told: Path, at: int) -> None:
    layer = FileLayer(str(root), Fault("power", "", at))
    layer.synced = Recorder(root, root.with_name(f"{root.name}.durable")).synced
    layer.install()
    act(root, told)
    told.with_suffix(".count").write_text(json.dumps(layer.count["all"]))
    os._exit(0)


def cut_off(act: Act, root: Path, at: int) -> tuple[Path, bool]:
    """Let a process act below a folder until its `at`-th change; returns where it told how far it got, and its end."""
    told = root.with_name(f"{root.name}.told")
    told.unlink(missing_ok=True)
    process = multiprocessing.get_context("forkserver").Process(target=_child, args=(act, root, told, at))
    process.start()
    process.join(PATIENCE_S)
    assert process.exitcode is not None
    return told, process.exitcode == 0


def moments(act: Act, root: Path) -> list[int]:
    """Draw some changes of all that an act makes."""
    told, ended = cut_off(act, root, 1 << 30)
    assert ended
    count = int(told.with_suffix(".count").read_text())
    chance = random.Random(11)  # noqa: S311
    return sorted(chance.sample(range(count), min(MOMENTS, count)))


@pytest.mark.parametrize("names", ["all", "none", "some"])
def test_a_journal_says_what_it_said_was_durable(tmp_path: Path, names: str) -> None:
    (tmp_path / "whole").mkdir()
    for at in moments(write_life, tmp_path / "whole"):
        root = tmp_path / f"cut{at}"
        root.mkdir()
        told, ended = cut_off(write_life, root, at)
        assert not ended
        acknowledged = int(told.read_text()) if told.exists() else 0

        cut_power(root, root.with_name(f"{root.name}.durable"), random.Random(at), names=names)  # noqa: S311

        state = read_state(root)
        known = [count for count in (acknowledged, acknowledged + 1) if state == after(LIFE[:count])]
        assert known, f"after {acknowledged} records, cut at change {at}"
        opened = Journal(root, checkpoint_bytes=1)
        for record in LIFE[known[0] :]:
            opened.append(record)
        opened.close()
        assert read_state(root) == after(LIFE)
        forget(root)


@pytest.mark.parametrize("names", ["all", "none", "some"])
def test_registers_say_the_same_after_a_compaction_that_was_cut_off(tmp_path: Path, names: str) -> None:
    house = House(tmp_path / "before")
    house.take(*([(k % 3, k, FIRST + stamp, 7, 3)] for k in range(4) for stamp in range(2)))
    house.take([(0, 0, FIRST, 9, 1), (1, 1, FIRST + 1, 9, 1)])
    known = house.cells()
    house.journal.close()
    shutil.copytree(house.home.root, tmp_path / "whole")
    for at in moments(compact_house, tmp_path / "whole"):
        root = Path(shutil.copytree(house.home.root, tmp_path / f"cut{at}"))
        _, ended = cut_off(compact_house, root, at)
        assert not ended

        cut_power(root, root.with_name(f"{root.name}.durable"), random.Random(at), names=names)  # noqa: S311

        opened = Journal(root / "journal")
        assert cells(Home(root), opened) == known
        opened.close()
        assert [each for each in check_home(Home(root)) if each.severity == "harm"] == []
        forget(root)


@pytest.mark.parametrize("names", ["all", "none", "some"])
def test_the_clock_stands_where_it_was_said_to_stand(tmp_path: Path, names: str) -> None:
    (tmp_path / "whole").mkdir()
    for moment in [*moments(set_clock_twice, tmp_path / "whole"), 1 << 30]:
        root = tmp_path / f"cut{moment}"
        root.mkdir()
        told, _ = cut_off(set_clock_twice, root, moment)
        said = int(told.read_text()) if told.exists() else None

        cut_power(root, root.with_name(f"{root.name}.durable"), random.Random(moment), names=names)  # noqa: S311

        stands = KeptClock(root).stands_at()
        assert said is None or (stands is not None and stands >= said), f"cut at change {moment}"
        KeptClock(root).set(TIMES_MS[-1])
        forget(root)


def delivered(root: Path) -> None:
    """Make a home of three days for two retailers, two of them old; each day's files stand in two manifests."""
    for code in ("11113", "22223"):
        for days in (5, 4, 1):
            folder = root / "deliveries" / code / iso(NOW_MS - days * 24 * HOUR_MS)[:10].replace("-", "")
            folder.mkdir(parents=True)
            for name in ("manifest.jsonl", "manifest-W41120.jsonl"):
                files = [folder / f"{name}-{number}.zip" for number in range(2)]
                for file in files:
                    file.write_text(str(file))
                lines = [
                    {
                        "file": file.name,
                        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
                        "issued_at": iso(NOW_MS - (days - 1) * 24 * HOUR_MS - HOUR_MS),
                    }
                    for file in files
                ]
                (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("names", ["all", "none", "some"])
def test_no_manifest_tells_of_a_file_that_retention_took(tmp_path: Path, names: str) -> None:
    delivered(tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "whole")
    for moment in [*moments(forget_folders, tmp_path / "whole"), 1 << 30]:
        root = Path(shutil.copytree(tmp_path / "before", tmp_path / f"cut{moment}"))
        cut_off(forget_folders, root, moment)

        cut_power(root, root.with_name(f"{root.name}.durable"), random.Random(moment), names=names)  # noqa: S311

        assert unfounded(Home(root)) == [], f"cut at change {moment}"
        forget_deliveries(Home(root), NOW_MS, 2)
        left = {path.relative_to(root / "deliveries").as_posix() for path in root.glob("deliveries/*/*")}
        assert left == {"11113/20261006", "22223/20261006"}, "what was cut off is made good"
        assert unfounded(Home(root)) == []
        forget(root)
