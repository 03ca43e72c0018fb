# SPDX-License-Identifier: Apache-2.0
"""Replace the files that many small intakes left by few, and forget what has been kept long enough."""

from pathlib import Path
from typing import Annotated

import typer

from koma.errors import KomaError
from koma.output import emit, fail, progress
from koma.settings import load_settings

EPILOG = "Example: koma pipeline compact --forget"


def compact(
    *,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Also remove what has been kept long enough, as of the last instant issued."),
    ] = False,
    home: Annotated[Path | None, typer.Option(metavar="PATH", help="Data directory, instead of KOMA_HOME.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Nothing but JSON on standard output.")] = False,
) -> None:
    """Replace the register files of many small intakes by few that say the same, and write a checkpoint.

    A `koma pipeline run --watch` does all this by itself when it has nothing else to do; this is for homes that are run
    with `--once`. Needs the home for itself. No value changes, whenever it is called.
    """
    from pipeline.compaction import Compacted, compact_held  # noqa: PLC0415  numba loads only when the command runs
    from pipeline.compaction import compact as compact_home  # noqa: PLC0415
    from pipeline.home import open_home  # noqa: PLC0415
    from pipeline.journal import NEVER, Journal  # noqa: PLC0415
    from pipeline.retention import Forgotten  # noqa: PLC0415
    from pipeline.retention import forget as forget_old  # noqa: PLC0415

    try:
        settings = load_settings(home=home)
        opened = open_home(settings.home, create=False)
        done, gone = Compacted(more=True), Forgotten()
        with opened.sole_writer("pipeline compact"), progress("compacting", None):
            journal = Journal(opened.path("journal"))
            try:
                if forget and journal.state.issued_ms != NEVER:
                    gone = forget_old(opened, journal, settings, journal.state.issued_ms)
                while done.more:
                    done.add(compact_home(opened, journal, settings))
                held = compact_held(opened, journal)
                journal.checkpoint()
            finally:
                journal.close()
        emit(
            {
                "stamps": done.stamps,
                "reads": done.reads,
                "files_removed": done.gone,
                "files_written": done.made,
                "held_files_joined": held,
                "damaged": list(done.damaged.values()),
                "forgotten": {name: len(getattr(gone, name)) for name in Forgotten.__slots__},
            }
        )
    except KomaError as error:
        fail(error, as_json=json)
