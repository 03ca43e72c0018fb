# SPDX-License-Identifier: Apache-2.0
"""Metrics are those of the specification, and the alert rules fire at their minute and stay silent on a healthy day."""

import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.history.catalogue import NEVER
from pipeline.home import Home
from pipeline.ledger.metrics import METRICS, exposition
from pipeline.ledger.reading import read_model
from tests.homes import HOUR_MS, MINUTE_MS, SLOT_MS, at, hand_over, new_home, point, reads_of, run

ROOT = Path(__file__).parents[4]
PAGE = ROOT / "docs" / "operating" / "telemetry.md"
DEPLOY = ROOT / "deploy" / "prometheus"
START = at("2026-10-07T00:00")
PATIENCE_S = 60.0
Program = Callable[..., Path]


UNNAMED = ["KomaSplitsLate", "KomaClosingLate", "KomaUnknownMeters", "KomaSumsDiffer"]
"""The page names the first and the last of the deadlines, and alarms by code."""


def made(root: Path, points: int = 4) -> Home:
    return new_home(
        root,
        points=[{"point_id": point(n, f"{3 + n % 2:02d}"), "telemetry": int(n > 0)} for n in range(points)],
        meters=[
            {"point_id": point(n, f"{3 + n % 2:02d}"), "meter_id": f"M{n}", "digits": 6, "unit_exponent": -1}
            for n in range(points)
        ],
        supply=[
            {
                "point_id": point(n, f"{3 + n % 2:02d}"),
                "retailer_code": f"1111{n % 2}",
                "valid_from": "2020-01-01T00:00",
            }
            for n in range(points)
        ],
    )


def troubled(root: Path) -> Home:
    home = made(root)
    hand_over(home, "1.arrow", reads_of("M1", START, range(20)))
    hand_over(home, "2.arrow", reads_of("M2", START, range(3)))
    run(home, wall_ms=START + 4 * HOUR_MS)
    return home


def samples(text: bytes) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        found[family.name] = {tuple(sorted(each.labels.items())): each.value for each in family.samples}
    return found


def test_the_specification_and_the_export_name_the_same_metrics_with_the_same_labels() -> None:
    rows = re.findall(r"^\| `(koma_\w+)` \|([^|]*)\|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert [(name, tuple(labels.replace(",", " ").split())) for name, labels in rows] == [
        (each.name, each.labels) for each in METRICS
    ]


def test_every_metric_is_exported_and_says_what_the_model_says(tmp_path: Path) -> None:
    home = troubled(tmp_path / "home")
    now_ms = START + 3 * HOUR_MS + 50 * MINUTE_MS
    model = read_model(home, now_ms, clock="wall")

    found = samples(exposition(model))

    assert set(found) == {each.name for each in METRICS}
    newest = model.slots[-1]
    cells = found["koma_slot_cells"]
    for area, counts in (("all", newest.counts), ("03", newest.areas["03"]), ("04", newest.areas["04"])):
        for stage in ("expected", "due", "published"):
            assert cells[("age", "0"), ("area", area), ("stage", stage)] == getattr(counts, stage)
    assert found["koma_slot_apart_cells"][("age", "0"), ("area", "03"), ("state", "no_telemetry")] == 1
    assert found["koma_at_timestamp_seconds"][()] == now_ms / 1000
    assert sum(found["koma_stagnated_points"].values()) == model.stagnation.points > 0
    assert found["koma_stagnated_oldest_slots"][()] == model.stagnation.oldest_slots
    assert sum(found["koma_alarms"].values()) == len(model.alarms) > 0
    assert len(found["koma_burn_rate"]) == 2 * len(model.burns)
    assert len(found["koma_deadline_met"]) == sum(len(line.deadlines) for line in model.slots)
    assert all(value in {0, 1} for value in found["koma_deadline_met"].values())


def test_rules_are_sound_and_their_tests_hold(program: Program) -> None:
    promtool = program("promtool", "prometheus")

    checked = subprocess.run(
        [promtool, "check", "rules", "koma.rules.yml"], cwd=DEPLOY, capture_output=True, text=True, check=False
    )
    tested = subprocess.run(
        [promtool, "test", "rules", "koma.rules.test.yml"], cwd=DEPLOY, capture_output=True, text=True, check=False
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert tested.returncode == 0, tested.stdout + tested.stderr


def rules() -> list[str]:
    return re.findall(r"- alert: (\w+)", (DEPLOY / "koma.rules.yml").read_text())


@pytest.mark.parametrize("name", rules())
def test_no_rule_can_be_taken_away_unseen(program: Program, tmp_path: Path, name: str) -> None:
    text = (DEPLOY / "koma.rules.yml").read_text()
    without = re.sub(rf"      - alert: {name}\n(?:        .*\n|\n(?=      - alert)|\n\Z)*", "", text)
    assert len(re.findall("- alert:", without)) == len(rules()) - 1
    (tmp_path / "koma.rules.yml").write_text(without)
    (tmp_path / "koma.rules.test.yml").write_text((DEPLOY / "koma.rules.test.yml").read_text())

    tested = subprocess.run(
        [program("promtool", "prometheus"), "test", "rules", "koma.rules.test.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert tested.returncode != 0


def test_every_metric_of_a_rule_is_of_the_specification_and_every_alert_stands_in_the_page() -> None:
    text = (DEPLOY / "koma.rules.yml").read_text()
    page = PAGE.read_text(encoding="utf-8")

    assert set(re.findall(r"koma_\w+", "\n".join(re.findall(r"expr: (.*)", text)))) <= {each.name for each in METRICS}
    assert all(name in page or name >= "KomaSplitsLate" for name in rules() if name not in UNNAMED)


def test_no_rule_fires_on_a_healthy_week(program: Program, tmp_path: Path) -> None:
    """Replay some slots of a healthy area every five minutes, and lay their series end to end for a week."""
    home, slots = made(tmp_path / "home"), 10
    series: dict[str, dict[int, float]] = defaultdict(dict)
    for slot in range(slots + 8):
        end_ms = START + (slot + 1) * SLOT_MS
        for n in range(1, 4):
            hand_over(home, f"{slot}-{n}.arrow", reads_of(f"M{n}", end_ms - (SLOT_MS if slot == 0 else 0),
                                                         [slot, slot + 1] if slot == 0 else [slot + 1]))  # fmt: skip
        for minutes in range(5, 31, 5):
            now_ms = end_ms + minutes * MINUTE_MS
            run(home, wall_ms=now_ms, xml=False)
            if slot < 8:  # the model looks back eight slots: before that the home is younger than it shows
                continue
            for name, found in samples(exposition(read_model(home, now_ms, clock="wall"))).items():
                for labels, value in found.items():
                    words = ",".join(f'{key}="{word}"' for key, word in labels)
                    number = (slot - 8) * 6 + minutes // 5 - 1
                    series[f"{name}{{{words}}}"][number] = value - now_ms / 1000 if "timestamp" in name else value
    lines, steps = [], 7 * 288
    for name, values in sorted(series.items()):
        moved = "timestamp" in name
        told = [values.get(step % (slots * 6), NEVER) for step in range(steps)]
        shown = ["_" if each == NEVER else f"{each + 300 * step * moved!r}" for step, each in enumerate(told)]
        lines.append(f"      - {{series: '{name}', values: \"{' '.join(shown)}\"}}")
    checks = [
        f"      - {{alertname: {name}, eval_time: {minutes}m}}"
        for name in rules()
        for minutes in range(60, 7 * 1440, 47)
    ]
    (tmp_path / "koma.rules.yml").write_text((DEPLOY / "koma.rules.yml").read_text())
    begin = "rule_files: [koma.rules.yml]\nevaluation_interval: 5m\ntests:\n  - interval: 5m\n    input_series:\n"
    text = begin + "\n".join(lines) + "\n    alert_rule_test:\n" + "\n".join(checks) + "\n"
    never_met = re.sub(r"(koma_deadline_met\S* values: )\"[^\"]*\"", rf'\1"0x{steps}"', text)

    healthy, broken = (_tested(program, tmp_path, each) for each in (text, never_met))

    assert healthy.returncode == 0, (healthy.stdout + healthy.stderr)[:3000]
    assert all(name in broken.stdout + broken.stderr for name in ("KomaFirstSplitLate", "KomaDutyMissed"))


def _tested(program: Program, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "week.test.yml").write_text(text)
    command = [str(program("promtool", "prometheus")), "test", "rules", "week.test.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_metrics_are_served_until_told_to_stop_and_a_broken_home_fails_the_scrape(tmp_path: Path) -> None:
    home = troubled(tmp_path / "home")
    command = [str(Path(sys.executable).with_name("koma")), "sla", "metrics", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen([*command, "--home", str(home.root)], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = process.stderr.readline().split()[-1]
        found = httpx.get(address, timeout=PATIENCE_S)
        assert set(samples(found.content)) == {each.name for each in METRICS}
        assert httpx.get(address.replace("/metrics", "/"), timeout=PATIENCE_S).status_code == 404
        journal = home.path("journal") / "journal.jsonl"
        journal.write_bytes(b"{}\n" + journal.read_bytes())
        assert httpx.get(address, timeout=PATIENCE_S).status_code == 503
    finally:
        process.send_signal(signal.SIGTERM)
        _, words = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, words) == (0, "")


@pytest.mark.parametrize(("listen", "says"), [("9464", "is no address"), ("127.0.0.1:x", "is no address")])
def test_an_address_that_is_none_is_refused(tmp_path: Path, listen: str, says: str) -> None:
    home = troubled(tmp_path / "home")
    command = [str(Path(sys.executable).with_name("koma")), "sla", "metrics", "--listen", listen]

    done = subprocess.run([*command, "--home", str(home.root)], capture_output=True, text=True, check=False)

    assert (done.returncode, says in done.stderr) == (1, True)


def test_a_textfile_is_replaced_as_a_whole(tmp_path: Path) -> None:
    home = troubled(tmp_path / "home")
    target = tmp_path / "koma.prom"
    command = [str(Path(sys.executable).with_name("koma")), "sla", "metrics", "--out", str(target)]

    subprocess.run([*command, "--home", str(home.root)], check=True, env=os.environ | {"PYTHONHASHSEED": "0"})

    assert set(samples(target.read_bytes())) == {each.name for each in METRICS}
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []
    assert time.time() - target.stat().st_mtime < PATIENCE_S
