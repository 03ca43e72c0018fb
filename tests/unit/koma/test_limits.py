# SPDX-License-Identifier: Apache-2.0
import pytest

from koma import limits


def test_limits_fit_together() -> None:
    limits.check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SHARD_INSTALLATIONS", 2**21),
        ("SHARD_LOCAL_BITS", 31),
        ("REGISTER_MAX", 2**32 - 2),
        ("SPLITS_MAX", 99),
        ("STAMP_TOLERANCE_S", 900),
        ("REVISIONS_MAX", 9),
        ("INTERVAL_MINUTES_ALLOWED", (7, 30)),
        ("METER_ID_BYTES", 20),
    ],
)
def test_a_limit_that_breaks_a_relation_is_found(monkeypatch: pytest.MonkeyPatch, name: str, value: object) -> None:
    monkeypatch.setattr(limits, name, value)
    with pytest.raises(AssertionError):
        limits.check()
