# SPDX-License-Identifier: Apache-2.0
"""The statuses of values: one table in code, the same on its page, with words of its own for all that is estimated."""

from pathlib import Path

from pipeline.estimates import estimate_kernels
from pipeline.estimates.statuses import STATUSES, statuses_table

PAGE = Path(__file__).parents[4] / "docs" / "resources" / "estimates.md"


def test_the_page_on_estimates_holds_the_table_of_the_code() -> None:
    assert statuses_table() in PAGE.read_text(encoding="utf-8")


def test_statuses_say_what_the_market_and_other_formats_make_of_them() -> None:
    assert {each.name: (each.later, each.nem12, each.espi) for each in STATUSES} == {
        "actual": (0, ("A",), 17),
        "rollover": (0, ("A",), 17),
        "split": (0, ("S17",), 9),
        "linear": (1, ("S17",), 9),
        "like_day": (1, ("S14", "S15"), 8),
        "agreed": (0, ("F16",), 7),
        "missing": (1, ("N",), None),
    }


def test_nothing_that_is_estimated_is_available_in_the_files_of_the_day() -> None:
    assert [each.name for each in STATUSES if each.at_first == 0] == ["actual", "rollover"]


def test_kernels_number_statuses_as_the_table_does() -> None:
    numbers = {name.lower(): getattr(estimate_kernels, name) for name in ("SPLIT", "LINEAR", "LIKE_DAY", "AGREED")}
    numbers["missing"] = estimate_kernels.LEFT
    assert {name: STATUSES[number].name for name, number in numbers.items()} == {name: name for name in numbers}
