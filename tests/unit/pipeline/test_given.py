# SPDX-License-Identifier: Apache-2.0
"""Reads against the registers that the master gives: those that differ are taken out, all others stay."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.master import open_master
from pipeline.prefilter import Found, Routed
from pipeline.prefilter.given import split_contradicted
from tests.homes import SLOT_MS, at, new_home, point

NO_MASTER = open_master(Path("/nonexistent"))
Reading = tuple[int, int, int]  # installation, stamp, value
readings = st.tuples(st.integers(0, 5), st.integers(50, 53), st.integers(0, 2))


def routed(reads: list[Reading]) -> Routed:
    install, stamp, value = (np.array([read[k] for read in reads], np.int64) for k in range(3))
    rows = np.arange(len(reads), dtype=np.uint32)
    nothing = np.zeros(len(reads), np.uint8)
    found = Found(
        install.astype(np.uint32), rows, stamp.astype(np.int32), value.astype(np.uint32), stamp * 10, 0, counted=True
    )
    return Routed((found,), (), nothing, nothing, len(reads), 0)


@given(
    st.lists(readings, min_size=1, max_size=30),
    st.dictionaries(st.tuples(st.integers(0, 5), st.integers(49, 54)), st.integers(0, 2), max_size=12),
)
def test_a_read_stays_unless_the_master_gives_another_register(
    reads: list[Reading], registers: dict[tuple[int, int], int]
) -> None:
    ordered = sorted((stamp, install, value) for (install, stamp), value in registers.items())
    view = replace(
        NO_MASTER,
        given_stamp=np.array([each[0] for each in ordered], np.int32),
        given_install=np.array([each[1] for each in ordered], np.uint32),
        given_value=np.array([each[2] for each in ordered], np.uint32),
    )

    agreeing, against = split_contradicted(routed(reads), view)

    bad = [k for k, (install, stamp, value) in enumerate(reads) if registers.get((install, stamp), value) != value]
    assert [k for each in against for k in each.reads.tolist()] == bad
    assert agreeing.found[0].row.tolist() == [k for k in range(len(reads)) if k not in bad]


def test_the_master_keeps_the_registers_given_on_slot_boundaries(tmp_path: Path) -> None:
    meters = [
        {"point_id": point(0), "meter_id": "OLD", "digits": 6, "unit_exponent": -1,
         "removed_at": "2026-10-06T12:00", "removal_register": "77", "installed_at": "", "install_register": ""},
        {"point_id": point(0), "meter_id": "NEW", "digits": 6, "unit_exponent": -1,
         "installed_at": "2026-10-06T12:00", "install_register": "5", "removed_at": "", "removal_register": ""},
        {"point_id": point(1), "meter_id": "INSIDE", "digits": 6, "unit_exponent": -1,
         "installed_at": "2026-10-06T12:10", "install_register": "9", "removed_at": "", "removal_register": ""},
    ]  # fmt: skip
    home = new_home(tmp_path / "home", points=[{"point_id": point(n)} for n in range(2)], meters=meters)

    view = open_master(home.root)

    stamp = at("2026-10-06T12:00") // SLOT_MS
    assert view.given_stamp.tolist() == [stamp, stamp]
    assert sorted(view.given_value.tolist()) == [5, 77]
    assert sorted(view.given_install.tolist()) == view.given_install.tolist()
