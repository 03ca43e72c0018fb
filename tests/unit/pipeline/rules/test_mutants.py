# SPDX-License-Identifier: Apache-2.0
"""Broken rules turn their lines red: a sample of what `./dev bench mutants` shows for all."""

from collections import Counter

import pytest

from pipeline.rules.table import RULES
from tests.mutants import RED, Mutant, mutants, outcome

ALL = mutants()
SAMPLE = [
    next(each for each in ALL if each.rule == rule and fragment in each.name)
    for rule, fragment in (("silent", "table.py"), ("frozen", "<"), ("spike", "SPIKE"), ("future", "row_kernels"))
]


@pytest.mark.parametrize("mutant", SAMPLE, ids=lambda mutant: mutant.name)
def test_a_broken_rule_turns_a_line_red(mutant: Mutant) -> None:
    assert outcome(mutant.rule, mutant=mutant) == RED


@pytest.mark.parametrize(("rule", "plain"), [("frozen", False), ("spike", True)])
def test_a_whole_rule_stays_green(rule: str, *, plain: bool) -> None:
    assert outcome(rule, plain=plain) == 0


def test_every_rule_is_broken_in_several_ways() -> None:
    broken = Counter(each.rule for each in ALL)

    assert {each.code: broken[each.code] for each in RULES if broken[each.code] < 2} == {}
    assert len({(each.file, each.source()) for each in ALL if not each.plain}) == sum(not each.plain for each in ALL)
