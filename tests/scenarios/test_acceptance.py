# SPDX-License-Identifier: Apache-2.0
"""The acceptance scenarios at suite size; `./dev bench scenario A4 --points 3000000` plays them at any other."""

from pathlib import Path

import pytest

from tests.acceptance import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", [pytest.param(each, id=each.name) for each in SCENARIOS.values()])
def test_what_must_hold_holds(tmp_path: Path, scenario: Scenario) -> None:
    world = scenario.play(tmp_path)

    assert {line: check(world) for line, check in scenario.then} == {line: "" for line, _ in scenario.then}
