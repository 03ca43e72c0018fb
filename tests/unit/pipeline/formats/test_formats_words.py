# SPDX-License-Identifier: Apache-2.0
"""Every word that our own products use has a form elsewhere, and a delivery with it can be exported."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.estimates.statuses import STATUSES
from pipeline.formats.exchange import write_file
from pipeline.formats.losses import Losses
from pipeline.formats.series import SCHEMA, assemble
from pipeline.formats.words import BY_WORD
from pipeline.quality import QUALITIES, WITH_VALUE
from tests.format_tables import DAY_MS


@pytest.mark.parametrize("word", sorted({*QUALITIES, *(each.name for each in STATUSES)}))
def test_a_word_of_ours_is_a_word_of_the_table(word: str) -> None:
    valued = {QUALITIES[each] for each in WITH_VALUE} | {each.name for each in STATUSES if each.espi is not None}
    assert BY_WORD[word].value == (word in valued)


@pytest.mark.parametrize("form", ["nem12", "greenbutton", "csv-long", "parquet"])
def test_a_day_with_every_quality_of_a_delivery_is_written(tmp_path: Path, form: str) -> None:
    slots = range(48)
    qualities = [QUALITIES[each % len(QUALITIES)] for each in slots]
    valued = [BY_WORD[each].value for each in qualities]
    rows = assemble(
        {
            "point_id": pa.repeat(pa.scalar("NMI1234567"), 48),
            "register": pa.repeat(pa.scalar("import"), 48),
            "slot_start": pa.array([DAY_MS + each * 1_800_000 for each in slots], SCHEMA.field("slot_start").type),
            "interval_minutes": pa.array([30] * 48, pa.int16()),
            "energy_dwh": pa.array([1000 if each else None for each in valued], pa.int64()),
            "available": pa.array(valued),
            "quality": pa.array(qualities),
        }
    )

    write_file(rows, form, tmp_path / "out", Losses(nearest=True))

    assert (tmp_path / "out").stat().st_size > 100
