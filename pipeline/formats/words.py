# SPDX-License-Identifier: Apache-2.0
"""What a quality word is called in NEM12 and in Green Button: one table for readers and writers."""

from dataclasses import dataclass
from typing import Final

from pipeline.estimates.statuses import STATUSES, Status


@dataclass(frozen=True, slots=True)
class Word:
    """A quality word and its forms elsewhere.

    Args:
        word: as it stands in the table and in Parquet.
        flag: NEM12's letter; empty where NEM12 has none.
        methods: NEM12 methods that are this word's own; empty where the word says none or the row names one.
        espi: ReadingQuality; None where Green Button has none.
        nem12_own: NEM12's form comes back as this word.
        espi_own: Green Button's form comes back as this word.

    """

    word: str
    flag: str
    methods: tuple[str, ...] = ()
    espi: int | None = None
    nem12_own: bool = False
    espi_own: bool = False

    @property
    def value(self) -> bool:
        """Whether energy stands beside it."""
        return self.flag != "N"


_IN_NEM12: Final = frozenset({"actual", "linear", "like_day", "agreed", "missing"})
_IN_ESPI: Final = _IN_NEM12 - {"missing"}
"""Of the statuses that share a form with another, the one that the form comes back as."""


def _of_status(status: Status) -> Word:
    """Give the word of a status of our own products; what it is elsewhere stands with the status."""
    methods = tuple(each[1:] for each in status.nem12 if each[1:])
    name, flag = status.name, status.nem12[0][0]
    return Word(name, flag, methods, status.espi, nem12_own=name in _IN_NEM12, espi_own=name in _IN_ESPI)


WORDS: Final[tuple[Word, ...]] = (
    *(_of_status(each) for each in STATUSES),
    Word("spike", "A", espi=10),
    Word("digits", "A", espi=10),
    Word("substitute", "S", espi=16, nem12_own=True),
    Word("final_substitute", "F", espi=16, nem12_own=True),
    Word("estimate", "E", espi=12, nem12_own=True),
    Word("unstated", "", espi_own=True),
    Word("valid", "A", espi=0, espi_own=True),
    Word("questionable", "", espi=10, espi_own=True),
    Word("derived", "", espi=11, espi_own=True),
    Word("projected", "", espi=12, espi_own=True),
    Word("mixed", "", espi=13, espi_own=True),
    Word("raw", "", espi=14, espi_own=True),
    Word("weather_normalised", "", espi=15, espi_own=True),
    Word("other", "", espi=16, espi_own=True),
    Word("verified", "A", espi=18, espi_own=True),
    Word("revenue_quality", "A", espi=19, espi_own=True),
    Word("backward", "N"),
    Word("no_meter", "N"),
    Word("removed", "N"),
    Word("no_telemetry", "N"),
    Word("withdrawn", "N"),
)
"""Every word a row may have; a row marked own stands for its form when a file is read."""

BY_WORD: Final[dict[str, Word]] = {each.word: each for each in WORDS}
_OF_ESPI: Final[dict[int, str]] = {each.espi: each.word for each in WORDS if each.espi_own and each.espi is not None}
_OF_FLAG: Final[dict[str, str]] = {
    each.flag: each.word for each in WORDS if each.nem12_own and not each.methods and each.flag
}
_OF_METHOD: Final[dict[tuple[str, str], str]] = {
    (each.flag, method): each.word for each in WORDS if each.nem12_own for method in each.methods
}


def of_nem12(flag: str, method: str) -> str | None:
    """Return the word of a NEM12 flag and method; None where the flag is none.

    >>> of_nem12("A", ""), of_nem12("S", "17"), of_nem12("S", "52"), of_nem12("X", "")
    ('actual', 'linear', 'substitute', None)
    """
    return _OF_METHOD.get((flag, method)) or _OF_FLAG.get(flag)


def of_espi(quality: int) -> str | None:
    """Return the word of a ReadingQuality; None where it is none.

    >>> of_espi(17), of_espi(8), of_espi(99)
    ('actual', 'like_day', None)
    """
    return _OF_ESPI.get(quality)
