# SPDX-License-Identifier: Apache-2.0
"""Random registers, lost reads, exchanges and orders: finer slots against plain Python, and against coarser ones."""

import random
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.channels import day_values, known_now
from pipeline.quality import ROLLOVER
from tests.finer import DAY, LENGTHS, START_MS, finer_home, interval
from tests.homes import MINUTE_MS, Read, hand_over, iso, run

DIGITS, FACTOR = 5, 100
METERS, DAY_MINUTES = 8, 1440
Shown = dict[int, int]
"""What is known of a register, by minute of the day."""


def house(
    chance: random.Random, number: int
) -> tuple[list[dict[str, object]], list[Read], list[tuple[int, int, Shown, bool]]]:
    """Make the meters of one point: master rows, reads, and of each (from, to, registers known, master gives them)."""
    minutes = LENGTHS[number % len(LENGTHS)]
    changed = chance.choice([0, chance.randrange(1, DAY_MINUTES)])
    spans = [(0, changed), (changed, DAY_MINUTES)] if changed else [(0, DAY_MINUTES)]
    rows, reads, known = [], [], []
    for place, (begin, end) in enumerate(spans):
        meter = f"M{number}-{place}"
        row = interval(number, minutes, meter_id=meter, digits=DIGITS)
        register = chance.choice([0, 10**DIGITS - chance.randrange(1, 300)])
        shown = {begin: register}
        for minute in range(begin + 1, end + 1):
            shown[minute] = (shown[minute - 1] + chance.choice([0, 0, 1, 3])) % 10**DIGITS
        kept = {at: value for at, value in shown.items() if at % minutes == 0 and chance.random() > 0.02}
        given = changed > 0 and chance.random() < 0.7
        if changed:
            edge = "removed_at" if place == 0 else "installed_at"
            row[edge] = iso(START_MS + changed * MINUTE_MS)
            if given:
                row["removal_register" if place == 0 else "install_register"] = shown[changed]
                kept[changed] = shown[changed]
        rows.append(row)
        reads += [
            Read(meter, START_MS + at * MINUTE_MS, START_MS + (at + 1) * MINUTE_MS, value)
            for at, value in kept.items()
            if at % minutes == 0
        ]
        known.append((begin, end, kept, given))
    return rows, reads, known


def expected(known: list[tuple[int, int, Shown, bool]], first: int, last: int) -> int | None:
    """Energy of a slot by the contract: the sum over its installations, None where one end is not known.

    What a meter showed when it was exchanged inside the slot is known from the master alone.
    """
    total = 0
    for begin, end, shown, told in known:
        since, until = max(begin, first), min(end, last)
        if since < until:
            if any(at not in shown or not (told or at in (first, last)) for at in (since, until)):
                return None
            total += (shown[until] - shown[since]) % 10**DIGITS * FACTOR
    return total


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_finer_slots_are_what_registers_say_and_add_up_to_coarser_ones(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    houses = [house(chance, number) for number in range(METERS)]
    with tempfile.TemporaryDirectory() as name:
        home = finer_home(Path(name) / "home", [row for rows, _, _ in houses for row in rows])
        reads = [read for _, mine, _ in houses for read in mine]
        reads += chance.sample(reads, len(reads) // 10)
        chance.shuffle(reads)
        cut = chance.randrange(len(reads))
        for part in (reads[:cut], reads[cut:]):
            hand_over(home, f"{len(part)}-{chance.random()}.arrow", part)
            run(home, xml=False)
        now = known_now(home)
        for number, (_, _, known) in enumerate(houses):
            coarser = None
            for minutes in LENGTHS:
                if minutes < LENGTHS[number % len(LENGTHS)]:
                    continue
                (values,) = day_values(now, np.array([number], np.uint32), date.fromisoformat(DAY), minutes)
                energy = [
                    dwh if quality <= ROLLOVER else None
                    for dwh, quality in zip(values.energy[0].tolist(), values.quality[0].tolist(), strict=True)
                ]
                slots = [expected(known, at, at + minutes) for at in range(0, DAY_MINUTES, minutes)]
                assert energy == slots, (number, minutes)
                if coarser is not None:
                    parts = values.coarser(30)
                    both = [k for k in range(48) if parts.quality[0, k] <= ROLLOVER and coarser[k] is not None]
                    assert [int(parts.energy[0, k]) for k in both] == [coarser[k] for k in both]
                else:
                    coarser = energy
