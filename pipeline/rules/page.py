# SPDX-License-Identifier: Apache-2.0
"""The page docs/reference/rules.md, made from the rules: every line of its table is an example that a test runs."""

from koma.settings import setting_fields, variable
from pipeline.rules.rule import CellExample, Example, RowExample, Rule
from pipeline.rules.table import RULES
from pipeline.rules.thresholds import OWN, Thresholds

HEAD = """\
<!-- Made from the code by `./dev docs`; edit the code instead. -->

# Rules

Every way a register can lie, and what is done about it. A rule flags and routes; it never changes a value. A row of a
hand-over file goes to quarantine, is held or is taken; a cell has its quality, with a value or without; the day of a
point gets a flag in `ledger/flags` (`koma flags list`), as it was known when its daily file was first issued.

Rules on rows are counted by code in `rules` of the closing line of `koma pipeline run` and in `run/status.json`; rules
on cells and days in `koma flags counts`. Thresholds that are settings hold for all days; the others are dated rows of
`pipeline/rules/thresholds.csv`, which a file `thresholds.csv` in the home replaces.

| code | looks at | severity | what it says | what becomes of it |
|---|---|---|---|---|
"""
TABLE = """
Every line below is run through the code by a test.

| code | severity | threshold | example | verdict |
|---|---|---|---|---|
"""
SOURCES = """
Where the dated thresholds come from:

| threshold | from | value | source |
|---|---|---|---|
"""


def outcome(example: Example) -> str:
    """Put into words what an example comes to."""
    if isinstance(example, RowExample):
        return counted(example.then)
    if isinstance(example, CellExample):
        return valued(*example.then)
    return flagged(example.then)


def counted(counts: object) -> str:
    """Put counters into words."""
    assert isinstance(counts, dict)
    return ", ".join(f"{code} {number}" for code, number in sorted(counts.items())) or "no read"


def valued(quality: str, energy_dwh: int) -> str:
    """Put the value of a cell into words."""
    return f"{quality}, {energy_dwh} dWh"


def flagged(flags: object) -> str:
    """Put flags of a day into words."""
    assert isinstance(flags, tuple)
    words = [f"flag {amount}" if slot < 0 else f"flag {amount} at slot {slot + 1}" for slot, amount in flags]
    return ", ".join(words) or "no flag"


def threshold_words(rule: Rule, thresholds: Thresholds) -> str:
    """Put a rule's threshold into words, with its dates."""
    if rule.fixed:
        return rule.fixed
    defaults = {variable(each.name): each.default for each in setting_fields()}
    if rule.threshold in defaults:
        return f"`{rule.threshold}`, {defaults[rule.threshold]}"
    rows = thresholds.of(rule.threshold)
    return "; ".join(f"{each.value} {each.unit} from {each.valid_from}" for each in rows)


def rules_page() -> str:
    """Return the text of docs/reference/rules.md."""
    thresholds = Thresholds.read(OWN)
    lines = [f"| `{rule.code}` | {rule.stage} | {rule.severity} | {rule.says} | {rule.routes} |\n" for rule in RULES]
    tried = [
        f"| `{rule.code}` | {rule.severity} | {threshold_words(rule, thresholds)} | {each.given} | {outcome(each)} |\n"
        for rule in RULES
        for each in rule.examples
    ]
    sources = [
        f"| {each.key} | {each.valid_from} | {each.value} {each.unit} | {each.source} |\n" for each in thresholds.rows
    ]
    return "".join([HEAD, *lines, TABLE, *tried, SOURCES, *sources])
