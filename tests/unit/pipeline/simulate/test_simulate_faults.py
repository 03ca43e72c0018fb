# SPDX-License-Identifier: Apache-2.0
"""Each thing that can go wrong is there when it is asked for, and not when it is not."""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from tests.unit.pipeline.simulate.reference import SLOT, Read, Reference, when
from tests.unit.pipeline.simulate.simulation import options, run

HALF_HOUR = timedelta(minutes=30)


def stamps(reference: Reference) -> set[datetime]:
    return {reference.start + SLOT * number for number in range(len(reference.slots) + 1)}


def metered(reference: Reference) -> set[tuple[str, str]]:
    return {(row["meter_id"], row["register"]) for point in reference.points.values() for row in point.meters}


def by_read(reference: Reference) -> dict[tuple[str, str, datetime], list[Read]]:
    found = defaultdict(list)
    for read in reference.reads:
        found[read.meter_id, read.register, read.read_at].append(read)
    return found


def qualities(out: Path) -> Counter[str]:
    return Counter(pq.read_table(out / "truth.parquet").column("quality").to_pylist())


def test_a_plain_simulation_brings_every_register_once_at_every_stamp_within_half_an_hour(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options())
    assert {(read.meter_id, read.register) for read in reference.reads} == metered(reference)
    assert len(reference.reads) == len(metered(reference)) * 7 == summary.reads == summary.unique_reads
    assert {read.read_at for read in reference.reads} == stamps(reference)
    assert all(timedelta(0) < read.received_at - read.read_at < HALF_HOUR for read in reference.reads)
    assert qualities(tmp_path) == {"actual": 400 * 6}


def test_most_reads_arrive_from_two_to_twenty_minutes_after_their_stamp(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options())
    delays = [read.received_at - read.read_at for read in reference.reads]
    usual = sum(timedelta(minutes=2) <= delay <= timedelta(minutes=20) for delay in delays)
    assert usual > 0.85 * len(delays)


def test_lost_reads_are_in_no_file_or_show_the_no_data_value(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(losses=0.2))
    assert len(by_read(reference)) < len(metered(reference)) * 7
    assert summary.lost > 300
    assert 0 < summary.no_data_rows < summary.lost
    assert qualities(tmp_path)["missing"] > 300


def test_late_reads_arrive_after_half_an_hour_and_not_after_the_last_hour(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(late=0.2, late_hours=3))
    delays = [read.received_at - read.read_at for read in reference.reads]
    late = [delay for delay in delays if delay >= HALF_HOUR]
    assert 0.15 < len(late) / len(delays) < 0.25
    assert timedelta(hours=2) < max(late) <= timedelta(hours=3)
    assert summary.late > 400


def test_duplicates_stand_in_another_file_with_the_same_value_some_with_a_later_arrival(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(duplicates=0.2))
    twice = [reads for reads in by_read(reference).values() if len(reads) > 1]
    assert summary.repeated == len(twice) > 400
    assert all(first.file != second.file and first.value == second.value for first, second in twice)
    assert {first.received_at == second.received_at for first, second in twice} == {True, False}


def test_conflicts_bring_another_value_later_and_in_a_later_file(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(conflicts=0.2))
    other = [reads for reads in by_read(reference).values() if len({read.value for read in reads}) > 1]
    assert summary.contradicting > len(other) > 300  # export registers come again unchanged
    for first, second in (sorted(reads, key=lambda read: read.received_at) for reads in other):
        assert first.file < second.file


def test_disorder_hands_reads_over_after_the_window_in_which_they_arrived(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options(disorder=0.2))
    lag = Counter(when(_clock(read.file)) - read.received_at > HALF_HOUR for read in reference.reads)
    assert 0.15 < lag[True] / lag.total() < 0.25


def _clock(name: str) -> str:
    digits = name.split("-")[1]
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}T{digits[9:11]}:{digits[11:13]}"


def test_skewed_stamps_lie_up_to_two_minutes_off_and_lose_no_cell(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options(skew=0.3))
    off = [abs((read.read_at - reference.start + SLOT / 2) % SLOT - SLOT / 2) for read in reference.reads]
    assert timedelta(seconds=60) < max(off) <= timedelta(seconds=120)
    assert qualities(tmp_path) == {"actual": 400 * 6}


def test_reads_between_slots_come_beside_the_good_ones(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(off_grid=0.1))
    between = [read for read in reference.reads if read.read_at not in stamps(reference)]
    assert len(between) == summary.off_grid > 200
    assert all(read.received_at > read.read_at for read in between)
    assert qualities(tmp_path) == {"actual": 400 * 6}


def test_registers_that_jump_and_fall_make_spikes_and_backward_cells(tmp_path: Path) -> None:
    _, summary = run(tmp_path, options(spikes=0.05, backward=0.05))
    assert summary.cells["spike"] > 50
    assert summary.cells["backward"] > 50


def test_registers_roll_over_inside_the_window(tmp_path: Path) -> None:
    _, summary = run(tmp_path, options(rollovers=0.5))
    assert summary.rollovers > 100


def test_exchanged_meters_change_equipment_at_stamps_and_inside_slots_with_and_without_registers(
    tmp_path: Path,
) -> None:
    reference, summary = run(tmp_path, options(exchanges=0.5))
    pairs = [point.meters for point in reference.points.values() if len(point.meters) == 2]
    assert summary.exchanges == len(pairs) > 150
    equipment = [[(row["digits"], row["unit_exponent"], row["coefficient"]) for row in pair] for pair in pairs]
    assert any(old != new for old, new in equipment)
    assert {bool(old["removal_register"]) for old, _ in pairs} == {True, False}
    assert {bool(new["install_register"]) for _, new in pairs} == {True, False}
    at_stamp = [when(old["removed_at"]) in stamps(reference) for old, _ in pairs]
    assert set(at_stamp) == {True, False}
    for (old, new), together in zip(pairs, at_stamp, strict=True):
        assert (old["removed_at"] == new["installed_at"]) == together
        assert old["meter_id"] != new["meter_id"]
        if together:  # both meters were read at the stamp of the exchange
            for row in (old, new):
                assert (row["meter_id"], row["register"], when(old["removed_at"])) in reference.known


def test_removed_meters_leave_a_point_that_is_still_expected(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(removed=0.3))
    gone = {key for key, point in reference.points.items() if point.meters[-1]["removed_at"]}
    assert summary.removed == len(gone) > 80
    cells = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    assert all(cell["expected"] for cell in cells)
    assert {cell["point_id"] for cell in cells if cell["quality"] == "removed"} <= gone


def test_points_without_meter_or_telemetry_never_report(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options(no_meter=0.1, no_telemetry=0.1))
    bare = [point for point in reference.points.values() if not point.meters]
    silent = [point for point in reference.points.values() if point.row["telemetry"] == "0"]
    assert len(bare) > 20
    assert len(silent) > 20
    reporting = {read.meter_id for read in reference.reads}
    assert not reporting & {row["meter_id"] for point in silent for row in point.meters}
    assert qualities(tmp_path) == {
        "actual": 6 * (400 - len(bare) - len(silent)),
        "no_meter": 6 * len(bare),
        "no_telemetry": 6 * len(silent),
    }


def test_retailers_change_at_midnight_without_gap_and_some_contracts_just_end_or_begin(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(switches=0.5))
    midnight = "2026-10-07T00:00:00"
    rows = [point.supply for point in reference.points.values()]
    changed = [supply for supply in rows if any(midnight in (row["valid_from"], row["valid_to"]) for row in supply)]
    assert summary.switches == len(changed) > 150
    both = [supply for supply in changed if len(supply) == 2]
    assert all(old["valid_to"] == midnight == new["valid_from"] and not new["valid_to"] for old, new in both)
    assert all(old["retailer_code"] != new["retailer_code"] for old, new in both)
    alone = [supply[0] for supply in changed if len(supply) == 1]
    assert {row["valid_from"] == midnight for row in alone} == {True, False}


def test_unassigned_points_have_no_supply_and_stand_under_nobody(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options(unassigned=0.1))
    nobody = {key for key, point in reference.points.items() if not point.supply}
    assert len(nobody) > 20
    cells = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    assert {cell["point_id"] for cell in cells if cell["retailer_code"] == "00000"} == nobody
    assert not any(cell["expected"] for cell in cells if cell["point_id"] in nobody)


def test_unknown_meters_report_and_are_not_in_the_master(tmp_path: Path) -> None:
    reference, summary = run(tmp_path, options(unknown=0.1))
    known = {meter for meter, _ in metered(reference)}
    strange = [read for read in reference.reads if read.meter_id not in known]
    assert len(strange) == summary.unknown > 100


def test_during_an_outage_one_carrier_is_silent_and_then_hands_over_what_it_held(tmp_path: Path) -> None:
    plain, _ = run(tmp_path / "plain", options())
    wanted = options(outage_share=0.4, outage_minutes=60)
    out, _ = run(tmp_path / "out", wanted)
    start, end = (out.start + timedelta(milliseconds=ms - wanted.start_ms) for ms in wanted.outage_ms())
    before = {(read.meter_id, read.register, read.read_at): read.received_at for read in plain.reads}
    after = {(read.meter_id, read.register, read.read_at): read.received_at for read in out.reads}
    assert set(before) == set(after)
    moved = {key for key in before if before[key] != after[key]}
    in_time = [key for key in before if start <= before[key] < end]
    assert moved <= set(in_time)
    assert 0.3 < len(moved) / len(in_time) < 0.5
    assert all(after[key] >= end for key in moved)


def test_high_voltage_points_are_in_the_master_and_expected_of_nobody(tmp_path: Path) -> None:
    reference, _ = run(tmp_path, options(high_voltage=0.1))
    high = {key for key, point in reference.points.items() if point.row["voltage"] == "HV"}
    assert len(high) > 20
    cells = pq.read_table(tmp_path / "truth.parquet").to_pylist()
    assert {cell["point_id"] for cell in cells if not cell["expected"]} == high
