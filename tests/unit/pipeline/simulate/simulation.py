# SPDX-License-Identifier: Apache-2.0
"""Small simulations for tests."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from koma.slots import parse_jst
from pipeline.simulate import PLAIN, Options, Summary, describe, simulate
from tests.unit.pipeline.simulate.reference import Reference

PLAIN_OPTIONS = Options(
    points=400, slots=6, seed=7, start_ms=parse_jst("2026-10-06T22:30"), cut_minutes=30, high_voltage=0, faults=PLAIN
)


def options(**changes: Any) -> Options:
    """Plain options with some faults or other fields changed."""
    faults = {name: value for name, value in changes.items() if hasattr(PLAIN, name)}
    others = {name: value for name, value in changes.items() if not hasattr(PLAIN, name)}
    return replace(PLAIN_OPTIONS, faults=replace(PLAIN, **faults), **others)


def run(out: Path, wanted: Options) -> tuple[Reference, Summary]:
    """Simulate and read the files back in plain Python."""
    summary = simulate(wanted, out)
    record = {"options": describe(wanted), "summary": asdict(summary)}
    (out / "simulation.json").write_text(json.dumps(record))
    return Reference(out), summary
