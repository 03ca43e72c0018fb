# SPDX-License-Identifier: Apache-2.0
"""Why a row of the master files is refused: one code a rule, with what is wrong and how to put it right."""

from enum import IntEnum
from typing import Final

SHOWN_CHARS_MAX: Final = 80
"""A value of a million characters is not repeated in a sentence; the row itself keeps it."""


class Fault(IntEnum):
    """What is wrong with a row; the lower-case name is the code that reports and quarantine carry."""

    NONE = 0
    COLUMNS = 1
    POINT_ID = 2
    POINT_UNKNOWN = 3
    METER_ID = 4
    REGISTER = 5
    RETAILER_CODE = 6
    BG_CODE = 7
    AREA = 8
    VOLTAGE = 9
    CONTRACT_KW = 10
    TELEMETRY = 11
    TIME = 12
    SLOT_BOUNDARY = 13
    END_BEFORE_START = 14
    DIGITS = 15
    UNIT_EXPONENT = 16
    COEFFICIENT = 17
    REGISTER_VALUE = 18
    ENERGY_RANGE = 19
    TEXT = 20
    DUPLICATE = 21
    SUPPLY_OVERLAP = 22
    METER_OVERLAP = 23
    POINT_IN_QUARANTINE = 24
    METER_READ_DAY = 25
    INTERVAL_MINUTES = 26
    MAIN_POINT_ID = 27

    @property
    def code(self) -> str:
        """Stable name of the rule."""
        return self.name.lower()

    def detail(self, column: str, value: str, other: str) -> str:
        """Say what is wrong and how to put it right.

        Args:
            column: the column at fault, may be empty.
            value: what stands there.
            other: the row this one contradicts, in words.

        """
        wrong, repair = SENTENCES[self]
        shown = repr(value if len(value) <= SHOWN_CHARS_MAX else value[:SHOWN_CHARS_MAX] + "…")
        return wrong.format(column=column, value=shown, other=other) + ". " + repair


SENTENCES: Final[dict[Fault, tuple[str, str]]] = {
    Fault.COLUMNS: (
        "The row has more or fewer values than the header has columns",
        "Put values that hold commas between double quotes; write one row a line",
    ),
    Fault.POINT_ID: (
        "{column} {value} is not a supply point id",
        "Write 22 digits, the first two the area, 01 to 10",
    ),
    Fault.POINT_UNKNOWN: (
        "Point {value} is neither in this import's points nor known from an earlier one",
        "Add it to points.csv, or correct the id",
    ),
    Fault.METER_ID: ("{column} {value} is not a meter id", "Write 1 to 16 printable ASCII characters"),
    Fault.REGISTER: ("{column} {value} is no register of a meter", "Write import or export; empty means import"),
    Fault.RETAILER_CODE: (
        "{column} {value} is not a retailer code",
        "Write five digits: four of the operator, one of the area; 00000 stands for nobody and has no rows",
    ),
    Fault.BG_CODE: (
        "{column} {value} is not a balancing group",
        "Write 1 to 16 printable ASCII characters, or nothing",
    ),
    Fault.AREA: ("{column} {value} is no area", "Write 01 to 10; empty means the first two digits of point_id"),
    Fault.VOLTAGE: ("{column} {value} is no voltage", "Write LV, HV or EHV; empty means LV"),
    Fault.CONTRACT_KW: (
        "{column} {value} is not a contract power",
        "Write kW as a decimal number from 0 with at most four decimals, such as 4.5; empty means the default cap",
    ),
    Fault.TELEMETRY: (
        "{column} {value} is neither 0 nor 1",
        "Write 0 where the meter does not report by itself, else 1",
    ),
    Fault.METER_READ_DAY: (
        "{column} {value} is no day of a month",
        "Write 1 to 31, in a shorter month its last day is meant; empty means that the point has no monthly file",
    ),
    Fault.INTERVAL_MINUTES: (
        "{column} {value} is no interval of a register",
        "Write 1, 5, 15 or 30: how many minutes lie between two reads; empty means 30",
    ),
    Fault.MAIN_POINT_ID: (
        "{column} {value} is not the id of another point",
        "Write the 22 digits of the main point that this device point (機器点) stands behind; empty means none",
    ),
    Fault.TIME: (
        "{column} {value} is not a time",
        "Write ISO 8601 such as 2026-08-22T16:30:00+09:00; JST where no zone stands",
    ),
    Fault.SLOT_BOUNDARY: (
        "{column} {value} does not lie on a slot boundary",
        "Supply begins and ends at :00 or :30",
    ),
    Fault.END_BEFORE_START: (
        "{column} {value} lies before the start",
        "Correct it; an end equal to the start cancels the row",
    ),
    Fault.DIGITS: ("{column} {value} is not a number of register digits", "Write 1 to 8"),
    Fault.UNIT_EXPONENT: (
        "{column} {value} is not the exponent of a register's unit",
        "Write -4 to 4: the register counts 10^n kWh",
    ),
    Fault.COEFFICIENT: ("{column} {value} is not a coefficient", "Write 1 to 999999; empty means 1"),
    Fault.REGISTER_VALUE: (
        "{column} {value} is not what the register can show",
        "Write a whole number from 0 with no more digits than the column digits says",
    ),
    Fault.ENERGY_RANGE: (
        "10^digits x coefficient x 10^(unit_exponent + 4) is more than 2^62",
        "Correct digits, coefficient or unit_exponent: a turn of such a register cannot be counted in dWh",
    ),
    Fault.TEXT: (
        "{column} {value} is too long or holds control characters",
        "Shorten it and take line ends and control characters out",
    ),
    Fault.DUPLICATE: (
        "The row contradicts {other}: same key and same recorded_at, other content",
        "Keep the right one, or give the later one a later recorded_at",
    ),
    Fault.SUPPLY_OVERLAP: (
        "The supply overlaps that of {other}",
        "Nothing is closed implicitly: give the earlier row, recorded later, a valid_to that is not after this start",
    ),
    Fault.METER_OVERLAP: (
        "The register of this meter is installed at the same time by {other}",
        "Give the earlier installation, recorded later, a removed_at that is not after this installed_at",
    ),
    Fault.POINT_IN_QUARANTINE: (
        "Another row of the point is bad: {other}",
        "Correct that row and import all rows of the point again",
    ),
}
"""What is wrong, with the places `{column}`, `{value}` and `{other}`; and how to put it right."""
