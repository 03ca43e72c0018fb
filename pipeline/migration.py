# SPDX-License-Identifier: Apache-2.0
"""Bringing a home of an older layout to this Koma's. Nothing that was issued is touched or issued again.

- Layout 1 (until 0.1): the journal is one file, read whole at every start. Layout 2 has checkpoints, parts, and records
  that an older Koma does not know.
- Layout 3: master versions date the day on which a point's meter is read, and the journal tells of monthly files.
- Layout 4: master versions say which reads an import moves, and the journal up to which version that was done; the
  first slot is recorded, also where a setting decided it.
- Layout 5: master versions list registers read more often than every slot, and the journal tells of their files.

Registers of a home from before register files held several shards cannot be read; such a home is refused by name.
"""

import json
from pathlib import Path

from koma.errors import HomeError
from pipeline.checkpoint import JOURNAL, read_part
from pipeline.first_slot import recover_first_slot
from pipeline.home import FOLDERS, HOME_VERSION, Home, layout_of, mark_layout, refuse_later
from pipeline.journal import Journal
from pipeline.master.rebuild import rebuild


def migrate(root: Path) -> int:
    """Bring the home at `root` to this Koma's layout; return the layout it had.

    A migration that is cut off is run again.

    Raises:
        HomeError: there is no home, a newer Koma made it, or it cannot be brought here.

    """
    root = root.absolute()
    layout = layout_of(root)
    if layout is None:
        raise HomeError(f"{root} is not a Koma home", hint="set KOMA_HOME to one")
    refuse_later(root, layout)
    if layout == HOME_VERSION:
        return layout
    for folder in FOLDERS:
        (root / folder).mkdir(exist_ok=True)
    home = Home(root)
    with home.sole_writer("home migrate"):
        _refuse_shards(home)
        journal = Journal(home.path("journal"))
        try:
            recover_first_slot(home, journal)
            if not journal.checkpoint():
                raise HomeError(
                    f"an issue of {root} was cut off and would be finished by another Koma than began it",
                    hint="let the Koma that wrote it finish (koma pipeline run --once), then migrate",
                )
        finally:
            journal.close()
        rebuild(root)
        mark_layout(root)
    return layout


def _refuse_shards(home: Home) -> None:
    """Refuse a home whose register files hold one shard each, as early builds of 0.1 wrote them."""
    for line in read_part(home.path("journal") / JOURNAL).data.splitlines():
        if b'"shard"' not in line:
            continue
        record = json.loads(line)
        if record["kind"] == "intake" and any("shard" in each for each in record["segments"]):
            raise HomeError(
                f"{home.root} holds registers of a form that no Koma reads any more (a file a shard)",
                hint="keep it for what it delivered, and begin a new home beside it with KOMA_FIRST_SLOT after the "
                "last slot it issued: import the master, then hand over from its taken/ the reads since that slot",
            )
