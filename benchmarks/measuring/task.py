# SPDX-License-Identifier: Apache-2.0
"""What an engine is asked to do, handed to its process as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

ONE: Final = "one"
TWO: Final = "two"


@dataclass(frozen=True, slots=True)
class Task:
    """One slot, to be taken from hand-over files to files by retailer.

    Attributes:
        area: folder of the generated area: `handover/`, `flat.arrow`, `flat.duckdb`.
        out: what the engine writes; for Koma its home, with the master imported and the files landed.
        workers: threads.
        stamps: `two`: the files hold the registers at both ends of the slot; `one`: those at its end, and an earlier
            run left the others where the engine finds them soonest.
    """

    area: Path
    out: Path
    workers: int
    stamps: str

    @property
    def handover(self) -> list[Path]:
        """The hand-over files to read."""
        return sorted((self.area / "handover").glob("reads-1-*.arrow" if self.stamps == ONE else "*.arrow"))

    def dump(self, path: Path) -> None:
        """Write the task to a file."""
        path.write_text(json.dumps(asdict(self), default=str))

    @classmethod
    def load(cls, path: Path) -> "Task":
        """Read a task."""
        facts = json.loads(path.read_text())
        return cls(Path(facts["area"]), Path(facts["out"]), facts["workers"], facts["stamps"])
