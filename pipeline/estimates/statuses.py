# SPDX-License-Identifier: Apache-2.0
"""What a value is called, and what that is to those who read 提供可否, NEM12 or Green Button ESPI.

Every value that leaves the house has one of these statuses. The first are those of cells that were measured; the file
of estimates holds the others.
"""

from dataclasses import dataclass
from typing import Final

AVAILABLE: Final = 0
NOT_AVAILABLE: Final = 1
"""提供可否 as the market's messages say it."""


@dataclass(frozen=True, slots=True)
class Status:
    """One status and its names elsewhere.

    Attributes:
        name: the word in our files.
        at_first: 提供可否 in the files of the day itself, which hold measured values only.
        later: 提供可否 in later products.
        nem12: quality and method of NEM12; two where the method tells one day from an average of several.
        espi: ReadingQuality of ESPI; None for no value.
        meaning: in words.
    """

    name: str
    at_first: int
    later: int
    nem12: tuple[str, ...]
    espi: int | None
    meaning: str


STATUSES: Final[tuple[Status, ...]] = (
    Status("actual", AVAILABLE, AVAILABLE, ("A",), 17, "difference of two registers"),
    Status("rollover", AVAILABLE, AVAILABLE, ("A",), 17, "the same over a register's highest value"),
    Status("split", NOT_AVAILABLE, AVAILABLE, ("S17",), 9, "two slots whose exact sum is known, shared out"),
    Status("linear", NOT_AVAILABLE, NOT_AVAILABLE, ("S17",), 9, "between the neighbours, scaled to a known sum"),
    Status("like_day", NOT_AVAILABLE, NOT_AVAILABLE, ("S14", "S15"), 8, "one or several reference days"),
    Status("agreed", NOT_AVAILABLE, AVAILABLE, ("F16",), 7, "entered by a person after an agreement (協議値)"),
    Status("missing", NOT_AVAILABLE, NOT_AVAILABLE, ("N",), None, "there is nothing to estimate from"),
)
"""Index to status. The order is stored in files and only ever grows at the end."""


def status_of(name: str) -> Status:
    """Return the status of a name.

    >>> status_of("agreed").nem12
    ('F16',)
    """
    return next(each for each in STATUSES if each.name == name)


def nem12_of(status: Status, days: int) -> str:
    """Return the NEM12 quality and method of a value that came from so many reference days.

    >>> nem12_of(status_of("like_day"), 1), nem12_of(status_of("like_day"), 3), nem12_of(status_of("split"), 0)
    ('S14', 'S15', 'S17')
    """
    return status.nem12[-1] if days > 1 else status.nem12[0]


def statuses_table() -> str:
    """Return the table of the page on estimates; a test compares them."""
    heads = ("status", "提供可否 in the files of the day", "in later products", "NEM12", "ESPI", "meaning")
    return f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|\n" + "".join(
        f"| `{each.name}` | {each.at_first} | {each.later} | {'/'.join(each.nem12)} | "
        f"{'—' if each.espi is None else each.espi} | {each.meaning} |\n"
        for each in STATUSES
    )
