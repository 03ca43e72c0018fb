# SPDX-License-Identifier: Apache-2.0
"""The whole line against a slow reference in plain Python, over small random worlds."""

import random
import tempfile
from pathlib import Path

from hypothesis import given, note, settings
from hypothesis import strategies as st

from pipeline.home import Home
from tests.homes import Read, hand_over, iso, learn, new_home, run
from tests.independent_reader import closings, files
from tests.property.worlds import World, handed, tables, worlds
from tests.reference_model import Reference

FEW = settings(max_examples=settings().max_examples // 3)  # each runs the line a few times
Issued = tuple[str, str, int, int, str, tuple[tuple[str, int | None, str, str], ...]]
FORMATS = (".arrow", ".csv", ".parquet")


def land(home: Home, name: str, reads: list[Read], seed: int, parts: int = 2) -> None:
    """Hand over reads in random order in a few files."""
    chance = random.Random(seed)  # noqa: S311
    shuffled = chance.sample(reads, len(reads))
    for part in range(parts):
        if mine := shuffled[part::parts]:
            hand_over(home, f"{name}-{part}{chance.choice(FORMATS)}", mine)


def issued(home: Home) -> list[Issued]:
    return [
        (f.retailer, f.slot_start, f.revision, f.split, f.issued_at,
         tuple((r.point_id, r.energy_dwh, r.quality, r.customer_ref) for r in f.rows))
        for f in files(home.deliveries)
    ]  # fmt: skip


def expected(reference: Reference) -> list[Issued]:
    found = [
        (
            f.retailer,
            iso(f.slot_ms),
            f.revision,
            f.split,
            iso(f.issued_ms),
            tuple((row.point, row.energy, row.quality, row.ref) for row in f.rows),
        )
        for f in reference.files
    ]
    return sorted(found, key=lambda f: (f[0], f[1][:10], f[4], f[1], f[2], f[3]))


@FEW
@given(worlds(), st.integers(0, 1000))
def test_what_is_issued_is_what_the_contract_says(world: World, seed: int) -> None:
    reference = Reference(rows_per_file=world.rows_per_file)
    with tempfile.TemporaryDirectory() as folder:
        home = new_home(Path(folder) / "home")
        for number, (rows, reads) in enumerate(zip(world.imports, world.landings, strict=True)):
            if rows:
                note(f"learned: {rows}")
                report = learn(home, **tables(rows))
                assert report.quarantined == 0, report
                reference.learn(rows)
            note(f"landed: {reads}")
            land(home, f"landing{number}", reads, seed)
            found = run(home, rows_per_file=world.rows_per_file).summary()
            counts = reference.run(handed(reads))
            assert counts == {name: found[name] for name in counts}
        assert expected(reference) == issued(home)
        said = {
            (retailer, iso(slot_ms)): (line.expected, line.available, line.missing, iso(line.issued_ms))
            for (retailer, slot_ms), line in reference.closed.items()
        }
        lines = {k: (c.expected, c.available, c.missing, c.issued_at) for k, c in closings(home.deliveries).items()}
        assert said == lines
