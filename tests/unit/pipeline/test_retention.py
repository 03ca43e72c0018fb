# SPDX-License-Identifier: Apache-2.0
"""Delivery folders go when the last file in them was issued long enough ago, not before."""

import json
from pathlib import Path

from koma.slots import MS_PER_DAY, format_jst, parse_jst
from pipeline.home import Home, open_home
from pipeline.retention import forget_deliveries

NOW_MS = parse_jst("2026-10-07T00:10:00")


def delivered(home: Home, day: str, *ages_days: int) -> Path:
    folder = home.deliveries / "90013" / day
    folder.mkdir(parents=True)
    lines = [json.dumps({"issued_at": format_jst(NOW_MS - age * MS_PER_DAY)}) for age in ages_days]
    (folder / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_a_folder_goes_when_all_its_files_are_old_enough(tmp_path: Path) -> None:
    home = open_home(tmp_path)
    old = delivered(home, "20260801", 60, 50)
    revised = delivered(home, "20260802", 60, 3)
    recent = delivered(home, "20261001", 6)

    assert [old] == forget_deliveries(home, NOW_MS, 45)
    assert (old.exists(), revised.exists(), recent.exists()) == (False, True, True)
