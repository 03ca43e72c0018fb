# SPDX-License-Identifier: Apache-2.0
"""Making a master version of an older layout again, as far as this Koma's differs, from the log.

- Layout 5 dates the day on which a point's meter is read. Layout 4 knew it as a text of the log only, so the attribute
  rows of all points are made again.
- Layout 6 says which reads an import moves to another installation. What earlier imports would have moved is not known
  any more; reads are carried from the next import on.
- Layout 7 lists registers that are read more often than every slot, and device points: earlier Komas knew none.

All other arrays stay as they are.
"""

import json
from pathlib import Path

import numpy as np

from koma.errors import MasterError
from pipeline.master.build import attribute_arrays
from pipeline.master.ledger import Ledger, Moment
from pipeline.master.log import read_log
from pipeline.master.store import LAYOUT, MasterStore, empty_arrays

_OLDEST = 4
_DATED_READ_DAY = 5
_CARRIED = 6


def rebuild(home: Path) -> int:
    """Make the home's current version again if it has an older layout; return the number of the current one.

    The new version has a number of its own and counts only when it is whole; one that was cut off is begun anew. Older
    versions stay as they are: nobody needs them who has no issue under way.

    Raises:
        MasterError: the version is of a layout that cannot be made again, or it cannot be read.
        BusyError: an import is running.

    """
    store = MasterStore(home.absolute())
    current = store.current()
    if not current or store.layout(current) == LAYOUT:
        return current
    with store.importing():
        folder = store.version_folder(current)
        layout = store.layout(current)
        if not _OLDEST <= layout < LAYOUT:
            raise MasterError(
                f"{folder} has layout {layout}, which this Koma cannot bring to layout {LAYOUT}",
                hint="Use the Koma that wrote it",
            )
        words = json.loads((folder / "version.json").read_text(encoding="utf-8"))
        number = store.next_number()
        version = store.stage_version(number, current)
        if layout < _DATED_READ_DAY:
            known = read_log(store.logged(), "points")
            none = {name: column[:0] for name, column in known.items()} | {"position": np.zeros(0, np.int32)}
            points = len(np.load(folder / "rank.npy", mmap_mode="r"))
            version.put(attribute_arrays(Ledger("points", known, none, points, Moment(None, first=False))))
        since = ("fine_", "device_") if layout >= _CARRIED else ("fine_", "device_", "carried_")
        version.put({name: column for name, column in empty_arrays().items() if name.startswith(since)})
        version.close({"retailers": words["retailers"], "bgs": words["bgs"]})
        store.publish_version(number)
        return number
