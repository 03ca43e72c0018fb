# SPDX-License-Identifier: Apache-2.0
"""Reading the status file of a home: cheap, so that monitoring can ask often."""

import json
import os
from typing import Any, Final

from koma.errors import HomeError
from pipeline.alarms import latest_alarms
from pipeline.home import Home

FILE: Final = "status.json"
"""Below run/."""
STARTING, WAITING, TAKING_IN, ISSUING = "starting", "waiting", "taking_in", "issuing"
TROUBLED, STOPPED = "trouble", "stopped"


def read_status(home: Home) -> dict[str, Any] | None:
    """Return what the last watch of a home said, with `running`: is its process there? None if none ever ran.

    Raises:
        HomeError: it cannot be read.

    """
    path = home.path("run") / FILE
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise HomeError(f"{path} cannot be read: {error}", hint="remove it; a running watch writes it anew") from error
    facts["alarms"] = latest_alarms(home)
    facts["running"] = facts["phase"] != STOPPED and _there(int(facts["process"]))
    return facts


def _there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def lines_of(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the facts of a status as lines of name and words, for a table."""
    running = "" if facts["running"] else " (the process is gone)" if facts["phase"] != STOPPED else ""
    lines = [("phase", f"{facts['phase']} since {facts['since']}{running}"), ("written at", facts["written_at"])]
    backlog = facts.get("backlog")
    if backlog:
        kinds = ", ".join(f"{backlog[name]['files']:,} {name}" for name in ("current", "mixed", "backfill"))
        text = f"{backlog['files']:,} files, {backlog['bytes']:,} bytes, oldest {backlog['oldest_s']:,.0f} s ({kinds})"
        lines.append(("backlog", text))
    intake, issue = facts.get("last_intake"), facts.get("last_issue")
    if intake:
        lines.append(("last intake", f"{intake['at']}: {intake['files']:,} files, {intake['received']:,} reads"))
    if issue:
        lines.append(("last issue", f"{issue['instant']}: {issue['rows']:,} rows, {issue['lag_s']:,} s after its time"))
    lines += [
        (name.replace("_", " "), f"{facts[name]:,}" if isinstance(facts[name], int | float) else str(facts[name]))
        for name in ("lag_s", "next_instant", "clock_objection", "held_files", "waiting_files")
        if facts.get(name) not in (None, "")
    ]
    lines += [
        ("ALARM", f"{each['code']} of the slot {each['slot_start']}: {each['detail']}; {each['do']}")
        for each in facts.get("alarms", [])
    ]
    lines += [("waits", f"{each['file']}: {each['detail']}") for each in facts.get("waiting", [])]
    lines += [
        ("error", f"{each['last']} ({each['times']} times): {each['message']}; {each['what_to_do']}")
        for each in facts.get("errors", [])
    ]
    return lines
