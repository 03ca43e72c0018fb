# SPDX-License-Identifier: Apache-2.0
"""Ways to break rules: each has to turn a line of its rule red."""

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.rules.day import DayRule
from pipeline.rules.table import RULES

ROOT: Final = Path(__file__).parent.parent
TABLE: Final = "pipeline/rules/table.py"
TESTS: Final = "tests/unit/pipeline/rules/test_rules.py"
DEADLINE_S: Final = 300
RED: Final = 1
"""Exit status of pytest where a test failed; others say that nothing was tried."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A text of a file in place of another, at one place."""

    rule: str
    file: str
    old: str
    new: str
    start: int
    """Where in the file the old text stands."""

    @property
    def name(self) -> str:
        """Say in one line what is broken."""
        return f"{self.rule}: {self.file}: {' '.join(self.old.split())} -> {' '.join(self.new.split()) or 'nothing'}"

    def source(self) -> str:
        """Return the broken text of the file; kernels of the file become plain functions unless all kernels do."""
        text = (ROOT / self.file).read_text(encoding="utf-8")
        assert text.startswith(self.old, self.start), self
        broken = text[: self.start] + self.new + text[self.start + len(self.old) :]
        return broken if self.plain else broken.replace("\n@kernel\n", "\n\n").replace("\n@inlined\n", "\n\n")

    @property
    def plain(self) -> bool:
        """Say whether all kernels have to be plain functions: those of cells are called by other kernels."""
        return self.file == "pipeline/cell_kernels.py"


SWAPS: Final = {
    ast.Lt: ("<", "<=", ">"),
    ast.LtE: ("<=", "<", ">"),
    ast.Gt: (">", ">=", "<"),
    ast.GtE: (">=", ">", "<"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"),
}
"""Operators of expressions over columns, and what they become."""

BROKEN: Final = (
    ("no_data", "pipeline/prefilter/kernels.py", "value[i] >= NO_DATA", "value[i] > NO_DATA"),
    ("no_data", "pipeline/intake.py", '"no_data": counts.no_data', '"no_data": 0'),
    ("no_data", "pipeline/intake_graph.py", "+= decoded.no_data", "+= 0"),
    ("off_grid", "pipeline/rules/row_kernels.py", "far = distance > most", "far = distance > most + 1000"),
    ("off_grid", "pipeline/rules/row_kernels.py", "far = distance > most", "far = distance > 4 * most"),
    ("off_grid", "pipeline/rules/row_kernels.py", "np.uint8(code) if far &", "np.uint8(0) if far &"),
    ("off_grid", "pipeline/rules/row_kernels.py", "np.uint8(code) if far &", "np.uint8(code) if (not far) &"),
    ("off_grid", "pipeline/rules/rows.py", "settings.stamp_tolerance_s * 1000", "settings.stamp_tolerance_s * 1010"),
    ("moved", "pipeline/rules/row_kernels.py", "far = distance > most", "far = distance >= most"),
    ("moved", "pipeline/rules/row_kernels.py", "np.uint32((distance != 0)", "np.uint32((distance == 0)"),
    ("moved", "pipeline/intake.py", '"moved": counts.moved', '"moved": 0'),
    ("moved", "pipeline/rules/rows.py", "settings.stamp_tolerance_s * 1000", "settings.stamp_tolerance_s * 990"),
    ("future", "pipeline/rules/row_kernels.py", "read_at_ms[i] > received_ms[i] + slack_ms", "False"),
    ("future", "pipeline/rules/row_kernels.py", "> received_ms[i] + slack", ">= received_ms[i] + slack"),
    ("future", "pipeline/rules/rows.py", "FUTURE_SLACK_MS: Final = 180_000", "FUTURE_SLACK_MS: Final = 182_000"),
    ("future", "pipeline/rules/rows.py", "FUTURE_SLACK_MS: Final = 180_000", "FUTURE_SLACK_MS: Final = 179_000"),
    ("too_old", "pipeline/rules/row_kernels.py", "read_at_ms[i] < received_ms[i] - age_ms", "False"),
    ("too_old", "pipeline/rules/row_kernels.py", "< received_ms[i] - age", "<= received_ms[i] - age"),
    ("too_old", "pipeline/rules/rows.py", "too_old_days * MS_PER_DAY", "too_old_days * MS_PER_DAY * 2"),
    ("too_old", "pipeline/rules/rows.py", "too_old_days * MS_PER_DAY", "too_old_days * MS_PER_DAY // 2"),
    ("late", "pipeline/rules/row_kernels.py", "received_ms[i] > stamp[i]", "received_ms[i] >= stamp[i]"),
    ("late", "pipeline/rules/row_kernels.py", "late & (verdict[i] == 0)", "late & (verdict[i] >= 0)"),
    ("late", "pipeline/rules/row_kernels.py", "MS_PER_SLOT + slack_ms\n        count", "MS_PER_SLOT\n        count"),
    ("late", "pipeline/rules/late.py", "CLOSING_MS = 2_700_000", "CLOSING_MS = 2_760_000"),
    ("late", "pipeline/intake.py", '"late": counts.late', '"late": 0'),
    ("unknown_meter", "pipeline/prefilter/kernels.py", "if count == before:", "if False:"),
    ("unknown_meter", "pipeline/intake.py", '"unknown_meter": counts.held', '"unknown_meter": 0'),
    ("unknown_meter", "pipeline/prefilter/kernels.py", "held_reads += 1", "held_reads += 0"),
    ("duplicate", "pipeline/register_kernels.py", "verdict[i] = DUPLICATE", "verdict[i] = ACCEPTED"),
    ("duplicate", "pipeline/register_kernels.py", "seen[k] == 1 or (", "False or ("),
    ("duplicate", "pipeline/register_kernels.py", "verdict[i] = DUPLICATE", "verdict[i] = CONFLICT"),
    ("duplicate", "pipeline/intake.py", '"duplicate": counts.duplicate', '"duplicate": 0'),
    ("conflict", "pipeline/register_kernels.py", "verdict[i] = CONFLICT", "verdict[i] = DUPLICATE"),
    ("conflict", "pipeline/register_kernels.py", "verdict[i] = CONFLICT", "verdict[i] = ACCEPTED"),
    ("conflict", "pipeline/prefilter/cut_kernels.py", "given_value[at] != value", "given_value[at] == value"),
    ("conflict", "pipeline/prefilter/cut_kernels.py", "contradicted[i] = 1", "contradicted[i] = 0"),
    ("missing", "pipeline/cell_kernels.py", "if not (start_known and last_known)", "if not start_known"),
    ("missing", "pipeline/cell_kernels.py", "if not (start_known and last_known)", "if not last_known"),
    ("missing", "pipeline/cell_kernels.py", "\nMISSING = 3", "\nMISSING = 0"),
    ("rollover", "pipeline/cell_kernels.py", "end - start + modulus\n", "end - start + 2 * modulus - 1\n"),
    ("rollover", "pipeline/cell_kernels.py", "(ACTUAL if end >= start else ROLLOVER)", "ACTUAL"),
    ("rollover", "pipeline/cell_kernels.py", "if energy > cap_dwh:", "if energy >= cap_dwh:"),
    ("backward", "pipeline/cell_kernels.py", "if end >= start else (BACKWARD, 0)", "if True else (BACKWARD, 0)"),
    ("backward", "pipeline/cell_kernels.py", "else (BACKWARD, 0)", "else (BACKWARD, energy)"),
    ("backward", "pipeline/cell_kernels.py", "if energy > cap_dwh:", "if energy > cap_dwh + 1_000:"),
    ("backward", "pipeline/cell_kernels.py", "if part == BACKWARD:", "if part == MISSING:"),
    ("spike", "pipeline/cell_kernels.py", "if energy > cap_dwh:", "if energy > cap_dwh + 1_000:"),
    ("spike", "pipeline/cell_kernels.py", "if energy > cap_dwh:", "if energy >= cap_dwh:"),
    ("spike", "pipeline/cell_kernels.py", "(SPIKE, energy)", "(ACTUAL, energy)"),
    ("spike", "pipeline/cell_kernels.py", "(SPIKE, energy)", "(SPIKE, cap_dwh)"),
    ("digits", "pipeline/cell_kernels.py", "start >= modulus or end", "end"),
    ("digits", "pipeline/cell_kernels.py", "or end >= modulus", "or end > modulus"),
    ("digits", "pipeline/cell_kernels.py", "return DIGITS, energy", "return ACTUAL, energy"),
    ("digits", "pipeline/cell_kernels.py", "return DIGITS, energy", "return DIGITS, 0"),
    ("no_meter", "pipeline/cell_kernels.py", "quality = NO_METER\n", "quality = MISSING\n"),
    ("no_meter", "pipeline/cell_kernels.py", "and dated.install_to_ms[row] <= slot_start_ms", "and True"),
    ("removed", "pipeline/cell_kernels.py", "quality = REMOVED\n", "quality = NO_METER\n"),
    (
        "removed",
        "pipeline/cell_kernels.py",
        "install_to_ms[row] <= slot_start_ms",
        "install_to_ms[row] < slot_start_ms",
    ),
    ("removed", "pipeline/cell_kernels.py", "if begin >= end:", "if begin > end:"),
    ("no_telemetry", "pipeline/cell_kernels.py", "quality = NO_TELEMETRY", "quality = MISSING"),
    ("no_telemetry", "pipeline/cell_kernels.py", "attr_telemetry[attribute] == 0", "attr_telemetry[attribute] == 1"),
    ("frozen", "pipeline/rules/fact_kernels.py", "if dwh > 0:", "if dwh >= 0:"),
    ("frozen", "pipeline/rules/fact_kernels.py", "dwh == last_dwh[k]", "dwh >= last_dwh[k]"),
    ("frozen", "pipeline/rules/fact_kernels.py", "longest[k] = max(", "longest[k] = min("),
    ("silent", "pipeline/rules/fact_kernels.py", "cells[k, word] += 1", "cells[k, word] = 1"),
    ("unregistered_exchange", "pipeline/rules/fact_kernels.py", "if word == BACKWARD:", "if False:"),
    ("unregistered_exchange", "pipeline/rules/fact_kernels.py", "after[k] += 1", "after[k] += 2"),
    ("use_inactive", "pipeline/rules/fact_kernels.py", "owner[i] == 0 and", "owner[i] == 1 and"),
    ("use_inactive", "pipeline/rules/fact_kernels.py", "unowned_dwh[k] += energy[i]", "unowned_dwh[k] = 1"),
    ("use_inactive", "pipeline/rules/fact_kernels.py", "unowned_first[k] = number", "unowned_first[k] = 0"),
    (
        "zero_active",
        "pipeline/rules/fact_kernels.py",
        "register_of(b) == register_of(c)",
        "register_of(b) <= register_of(c)",
    ),
    ("zero_active", "pipeline/rules/fact_kernels.py", "register_of(a) != register_of(b)", "True"),
    ("zero_active", "pipeline/rules/fact_kernels.py", "rows != 1 or", "rows > 2 or"),
    ("exchange", "pipeline/rules/exchanges.py", "facts.start_ms < until_ms", "facts.start_ms <= until_ms"),
    ("exchange", "pipeline/rules/exchanges.py", "until_ms <= facts.end_ms", "until_ms < facts.end_ms"),
    ("exchange", "pipeline/rules/exchanges.py", "install_to_ms[found.old] - 1 -", "install_to_ms[found.old] -"),
    ("reverse", "pipeline/rules/exports.py", "grown = up > 0", "grown = up > 1"),
    ("reverse", "pipeline/rules/exports.py", "value[ends] - value[starts]", "value[starts] - value[ends]"),
    ("reverse", "pipeline/rules/exports.py", "(installs[:, 1] == NONE)", "(installs[:, 1] != NONE)"),
)
"""Rule, file, text, broken text: of what is decided outside the rules' own files."""


def mutants() -> list[Mutant]:
    """Return all of them: each rule taken out of the table, each operator of a rule on days changed, and `BROKEN`."""
    found = []
    for rule in RULES:
        found.append(_at(rule.code, TABLE, f"    {rule.code}.RULE,\n", "\n"))
        if isinstance(rule, DayRule):
            found += _operators(rule.code, f"pipeline/rules/{rule.code}.py")
    return found + [_at(*each) for each in BROKEN]


def _at(rule: str, file: str, old: str, new: str) -> Mutant:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert old in text, f"{file} does not hold {old!r}"
    return Mutant(rule, file, old, new, text.index(old))


def _operators(rule: str, file: str) -> Iterator[Mutant]:
    """Change one operator of a rule's file at a time."""
    text = (ROOT / file).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare):
            pairs = zip([node.left, *node.comparators], node.comparators, node.ops, strict=False)
        elif isinstance(node, ast.BinOp):
            pairs = iter([(node.left, node.right, node.op)])  # type: ignore[assignment]
        else:
            continue
        for left, right, operator in pairs:
            old, *others = SWAPS.get(type(operator), ("",))
            start = text.find(old, _place(text, left.end_lineno, left.end_col_offset))
            assert start < _place(text, right.lineno, right.col_offset), file
            yield from (Mutant(rule, file, old, new, start) for new in others)


def _place(text: str, line: int | None, column: int | None) -> int:
    assert line is not None
    assert column is not None
    return sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column


def outcome(rule: str, *, mutant: Mutant | None = None, plain: bool = False) -> int:
    """Run the lines of a rule, broken or whole, in a process of their own; returns pytest's exit status."""
    plain = plain or (mutant is not None and mutant.plain)
    with tempfile.TemporaryDirectory(prefix="koma-mutant-") as folder:
        environment = {**os.environ, "MUTANT_RULE": rule, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": str(int(plain))}
        if mutant is not None:
            source = Path(folder) / "source.py"
            source.write_text(mutant.source(), encoding="utf-8")
            module = mutant.file.removesuffix(".py").replace("/", ".")
            environment |= {"MUTANT_MODULE": module, "MUTANT_SOURCE": str(source)}
        options = ["-x", "-q", "-n0", "-p", "tests.mutated", "-p", "no:randomly", "-p", "no:cacheprovider"]
        options += ["-W", "ignore::RuntimeWarning", f"--basetemp={folder}/made"]
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", *options, TESTS],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=DEADLINE_S,
        )
    return ran.returncode
