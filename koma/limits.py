# SPDX-License-Identifier: Apache-2.0
"""A named limit on everything, in one place, with the relations between the limits.

Limits are properties of formats and of memory plans and never change at run time; what an operator may change is a
setting and stands in `koma.settings`, with its bounds taken from here. Units stand last in the names.
"""

SLOT_MINUTES = 30
"""Length of the market's slot (コマ)."""
INTERVAL_MINUTES_ALLOWED = (1, 5, 15, 30)
"""Interval lengths a channel may have; all divide the slot."""

ENERGY_DWH_MAX = 2**62
"""Bound of modulus x factor of one installation, so that a few of them can be added in int64."""
UNIT_EXPONENT_MIN, UNIT_EXPONENT_MAX = -4, 4
"""A register counts 10^n kWh; dWh are 10^-4 kWh."""
COEFFICIENT_MAX = 999_999
REGISTER_DIGITS_MAX = 8
REGISTER_MAX = 99_999_999
"""Largest value a register shows: eight digits."""
REGISTER_BITS, ARRIVAL_BITS = 27, 37
"""A register and when it arrived in one word: four years of ms after a stamp."""
NO_READ = 0xFFFF_FFFF
"""Null in a uint32 register column."""
NO_DATA = 0xFFFF_FFFE
"""The meter's own no-data value in a uint32 register column."""

METER_ID_BYTES = 16
POINT_ID_DIGITS = 22
RETAILER_CODE_DIGITS = 5
BG_CODE_CHARS = 16
CUSTOMER_REF_CHARS = 21
"""Length of JP06119 in the delivery format."""

BATCH_READS_MAX = 65_536
"""Readings in one element of the graph."""
TURN_FILES_MAX = 4_096
"""Hand-over files that one turn of `--watch` takes in: each is opened, planned and moved by itself."""
TURN_ROWS, TURN_ROWS_MIN, TURN_ROWS_MAX = 8_000_000, 1, 1_000_000_000
TURN_BYTES, TURN_BYTES_MIN, TURN_BYTES_MAX = 1 << 30, 1, 1 << 40
SHARD_INSTALLATIONS = 524_288
"""Installations one worker holds at once."""
SHARD_LOCAL_BITS = 20
"""Bits of the index inside a shard; the shard number stands above them in 32 bits."""
INSTALLATIONS_MAX = 200_000_000
"""Installations of one home: the country's 80 M points, solar and exchanged meters on top."""
POINTS_MAX = 100_000_000
RETAILERS_MAX = 65_535
"""Retailers of one home; the index is a u16, 0 is `unassigned`."""

ROWS_PER_FILE_MAX = 100_000
SPLITS_MAX = 9_999
"""分割番号 has four digits and starts at 1."""
MONTHLY_SPLITS_MAX = 99_999
"""That of a monthly file has five."""
READ_DAY_MAX = 31
"""計量日: a day of the month, in a shorter month its last one."""
REVISIONS_MAX = 99
"""更新番号 has two digits."""

STAMP_TOLERANCE_S = 180
TOO_OLD_DAYS = 45
CLOCK_JUMP_DAYS = 7
ISSUE_GRID_MINUTES = 5
"""Every instant of issue is a multiple of this."""
HISTORY_MONTHS = 13
SLOT_ID_MAX = 2**31 - 1
"""Slot ids are int32; this value means an open end."""
TIME_MS_MAX = 2**62
"""Open end of a time range in ms; its negative means always."""

FRAME_BYTES_MAX = 65_535
"""A record of an .echonet container: its length is a u16."""


def _shards_max() -> int:
    """Shard numbers that leave the two highest 32-bit values free for markers."""
    return (1 << (32 - SHARD_LOCAL_BITS)) - 1


def check() -> None:
    """Assert the relations the code relies on.

    Raises:
        AssertionError: two limits contradict each other.

    """
    relations = {
        "a register value is never a marker": REGISTER_MAX < NO_DATA < NO_READ <= 2**32 - 1,
        "a register and its arrival are one word": REGISTER_BITS + ARRIVAL_BITS == 64
        and REGISTER_MAX < 1 << REGISTER_BITS,
        "the register shows its digits": REGISTER_MAX == 10**REGISTER_DIGITS_MAX - 1,
        "every interval length divides the slot": all(SLOT_MINUTES % m == 0 for m in INTERVAL_MINUTES_ALLOWED),
        "a day is a whole number of slots": 24 * 60 % SLOT_MINUTES == 0,
        "an installation's index fits its bits": 1 << SHARD_LOCAL_BITS >= SHARD_INSTALLATIONS,
        "shard and index fit 32 bits below the markers": _shards_max() << SHARD_LOCAL_BITS < NO_DATA,
        "all installations fit the shards": _shards_max() * SHARD_INSTALLATIONS >= INSTALLATIONS_MAX,
        "a retailer index is a u16": RETAILERS_MAX <= 2**16 - 1,
        "every point of a slot fits one retailer's splits": SPLITS_MAX * ROWS_PER_FILE_MAX >= POINTS_MAX,
        "a stamp belongs to one boundary": 2 * STAMP_TOLERANCE_S < SLOT_MINUTES * 60,
        "revisions of a slot fit two digits": 7 + TOO_OLD_DAYS + HISTORY_MONTHS <= REVISIONS_MAX,
        "a slot's instants lie on the grid": SLOT_MINUTES % ISSUE_GRID_MINUTES == 0,
        "a plausible register fits a cell": 2 * ENERGY_DWH_MAX <= 2**63,
        "the clock may jump less than a reading may be late": CLOCK_JUMP_DAYS < TOO_OLD_DAYS,
        "a turn holds an element": TURN_ROWS_MIN <= BATCH_READS_MAX <= TURN_ROWS <= TURN_ROWS_MAX,
        "a meter id is two words": METER_ID_BYTES == 2 * 8,
    }
    broken = [sentence for sentence, holds in relations.items() if not holds]
    if broken:
        message = "; ".join(broken)
        raise AssertionError(message)
