# SPDX-License-Identifier: Apache-2.0
"""What a reader could not take: file, line, reason and what to do; all are counted, the first thousands are told."""

from collections.abc import Iterable
from dataclasses import dataclass, field

TOLD_MAX = 10_000
"""A hostile file may hold a fault in every line; beyond so many they are counted only."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One record that was not taken."""

    file: str
    line: int
    code: str
    reason: str
    fix: str


@dataclass(slots=True)
class Refusals:
    """Refusals of a run, and what was passed over on purpose, by kind."""

    told: list[Refusal] = field(default_factory=list)
    count: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)

    def add(self, file: str, line: int, code: str, reason: str, fix: str) -> None:
        """Take up one."""
        self.count += 1
        if len(self.told) < TOLD_MAX:
            self.told.append(Refusal(file, int(line), code, reason, fix))

    def rows(self, file: str, lines: Iterable[int], code: str, reason: str, fix: str) -> None:
        """Take up many of one reason: those beyond the bound are counted without being looked at."""
        lines = list(lines)
        room = max(0, TOLD_MAX - len(self.told))
        self.told.extend(Refusal(file, int(line), code, reason, fix) for line in lines[:room])
        self.count += len(lines)

    def pass_over(self, kind: str, records: int = 1) -> None:
        """Count records that say nothing a table holds, such as reactive energy."""
        self.passed_over[kind] = self.passed_over.get(kind, 0) + records
