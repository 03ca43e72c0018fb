# SPDX-License-Identifier: Apache-2.0
"""Why a row or a record is refused: the number a kernel writes, the stable code, and the words.

The numbers of frames stand in `pipeline.telegram.kernels`, those of records in `pipeline.handover.telegram_kernels`;
those of rows, from 40 on, here.
"""

from typing import Final

from koma.limits import METER_ID_BYTES, REGISTER_MAX

NO_REASON: Final = 0
ID_NULL: Final = 40
ID_LONG: Final = 41
ID_CHARACTERS: Final = 42
READ_AT_NULL: Final = 43
READ_AT_INVALID: Final = 44
RECEIVED_AT_NULL: Final = 45
RECEIVED_AT_INVALID: Final = 46
IMPORT_RANGE: Final = 47
EXPORT_RANGE: Final = 48
IMPORT_TEXT: Final = 49
EXPORT_TEXT: Final = 50
FIELD_COUNT: Final = 51
QUOTES: Final = 52

_RANGE: Final = f"is not in 0 to {REGISTER_MAX}"
_TEXT: Final = "is not a whole number"

ROW_REASONS: Final[dict[int, tuple[str, str]]] = {
    ID_NULL: ("meter_id", "meter_id is empty"),
    ID_LONG: ("meter_id", f"meter_id is longer than {METER_ID_BYTES} characters"),
    ID_CHARACTERS: ("meter_id", "meter_id is not printable ASCII, or starts or ends with a blank"),
    READ_AT_NULL: ("read_at", "read_at is empty"),
    READ_AT_INVALID: (
        "read_at",
        "read_at is not a time of the years 1 to 9999; write it like 2026-08-22T16:30:00+09:00",
    ),
    RECEIVED_AT_NULL: ("received_at", "received_at is empty"),
    RECEIVED_AT_INVALID: (
        "received_at",
        "received_at is not a time of the years 1 to 9999; write it like 2026-08-22T07:30:00Z",
    ),
    IMPORT_RANGE: ("register_range", f"import_register {_RANGE}"),
    EXPORT_RANGE: ("register_range", f"export_register {_RANGE}"),
    IMPORT_TEXT: ("register_range", f"import_register {_TEXT}"),
    EXPORT_TEXT: ("register_range", f"export_register {_TEXT}"),
    FIELD_COUNT: ("row", "the row has not as many fields as the header"),
    QUOTES: (
        "row",
        "a quote stands inside a field, or a quoted field does not end in its line or goes on behind its quote",
    ),
}
"""Code and words of what can be wrong with a row."""
