# SPDX-License-Identifier: Apache-2.0
"""All rules; those on rows in the order in which they judge. A new rule is a file and a line here."""

from typing import Final

from pipeline.rules import (
    backward,
    conflict,
    digits,
    duplicate,
    future,
    late,
    missing,
    moved,
    no_data,
    no_meter,
    no_telemetry,
    off_grid,
    removed,
    rollover,
    spike,
    too_old,
    unknown_meter,
)
from pipeline.rules.rule import Rule

RULES: Final[tuple[Rule, ...]] = (
    no_data.RULE,
    off_grid.RULE,
    moved.RULE,
    future.RULE,
    too_old.RULE,
    late.RULE,
    unknown_meter.RULE,
    duplicate.RULE,
    conflict.RULE,
    missing.RULE,
    rollover.RULE,
    backward.RULE,
    spike.RULE,
    digits.RULE,
    no_meter.RULE,
    removed.RULE,
    no_telemetry.RULE,
)
