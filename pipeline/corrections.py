# SPDX-License-Identifier: Apache-2.0
"""Registers that a person enters: read at the site, from a photograph, after a repair. Each keeps who and why.

A correction is a read like any other and comes in by landing, as learned now. Where no register is known for its time
it counts from the next instant on; where another one is, it waits in quarantine as a conflict, which a person decides
with `koma quarantine replay --supersede`.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from koma.errors import HomeError
from koma.ids import meter_key
from koma.limits import SHARD_LOCAL_BITS
from koma.slots import MS_PER_SLOT, format_jst
from pipeline.columns import replace_file
from pipeline.handover.write import SCHEMA
from pipeline.home import Home
from pipeline.journal import read_state
from pipeline.landing import put
from pipeline.master import MasterView, open_master
from pipeline.master.view import OPEN_MS, REGISTERS
from pipeline.prefilter.install_kernels import find_installs
from pipeline.prefilter.minutes import installs_on

LOG: Final = "corrections.jsonl"
"""Below quarantine/."""


@dataclass(frozen=True, slots=True)
class Correction:
    """A register entered by a person."""

    number: int
    meter_id: str
    register: str
    read_at: str
    value: int
    by: str
    why: str
    at: str
    """When it was entered, by the machine's clock."""
    file: str


def corrections(home: Home) -> list[Correction]:
    """Return all that was entered, in order.

    Raises:
        HomeError: the record of it is damaged.

    """
    path = _log(home)
    try:
        return [Correction(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []
    except (ValueError, TypeError) as error:
        raise HomeError(f"{path} is damaged: {error}", hint="restore it from a copy of the home") from None


def _log(home: Home) -> Path:
    return home.path("quarantine") / LOG


def correct(home: Home, meter_id: str, register: str, at_ms: int, value: int, *, by: str, why: str) -> Correction:
    """Hand over a register that a person entered, and record who and why.

    Args:
        home: of the meter.
        meter_id: as in the master.
        register: import or export.
        at_ms: the boundary of a slot at which the meter showed it.
        value: in the meter's own unit.
        by: who entered it.
        why: for what reason.

    Raises:
        HomeError: the master has no such meter then, no slot begins there, the meter has fewer digits, or this home
            has no clock yet.

    """
    if at_ms % MS_PER_SLOT:
        raise HomeError(f"{format_jst(at_ms)} is no slot boundary", hint="registers count at the half-hours alone")
    modulus = _modulus(open_master(home.root, None), meter_id, REGISTERS.index(register), at_ms)
    if not 0 <= value < modulus:
        raise HomeError(
            f"{value} is no register of meter {meter_id}, which has {len(str(modulus)) - 1} digits",
            hint="give what the meter shows, in its own unit, or correct digits in meters.csv",
        )
    with home.in_turn("repair"):
        learned_ms = read_state(home.path("journal")).next_fact_ms
        if learned_ms is None or learned_ms < at_ms:
            raise HomeError(
                f"{format_jst(at_ms)} lies ahead of all that this home has taken in",
                hint="hand it over as any read, by landing",
            )
        before = corrections(home)
        number = len(before) + 1
        row = {
            "meter_id": [meter_id],
            "read_at": [at_ms],
            "import_register": [value if register == REGISTERS[0] else None],
            "export_register": [value if register == REGISTERS[1] else None],
            "received_at": [learned_ms],
        }
        table = pa.table({name: pa.array(row[name]).cast(SCHEMA.field(name).type) for name in SCHEMA.names})
        target = put(home.landing, f"correction-{number:08d}.arrow", table)  # again after a crash it is a duplicate
        now = datetime.now(UTC).isoformat(timespec="seconds")
        made = Correction(
            number, meter_id, register, format_jst(at_ms), value, by.strip(), why.strip(), now, target.name
        )
        lines = (json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in [*before, made])
        replace_file(_log(home), "".join(lines).encode())
    return made


def _modulus(view: MasterView, meter_id: str, register: int, at_ms: int) -> int:
    """Return 10^digits of the meter at a time; the greater of two where it changed at that moment."""
    found, key = np.empty((1, 2), np.uint64), np.array([meter_key(meter_id)], np.uint64)
    find_installs(view.table, key, found, np.empty(1, np.uint32))
    _, installs = installs_on(found, view, register)
    known = []
    for install in installs.tolist():
        shard, local = install >> SHARD_LOCAL_BITS, install & ((1 << SHARD_LOCAL_BITS) - 1)
        span = slice(*(int(view.install_of[view.shard_points[each]]) for each in (shard, shard + 1)))
        holds = (
            (view.install_local[span] == local)
            & (view.install_rec_to[span] == OPEN_MS)
            & (view.install_from_ms[span] <= at_ms)
            & (at_ms <= view.install_to_ms[span])
        )
        known += view.install_modulus[span][holds].tolist()
    if not known:
        raise HomeError(
            f"the master has no {REGISTERS[register]} register of a meter {meter_id} at {format_jst(at_ms)}",
            hint="look at the id, the register and the time; import the installation first",
        )
    return int(max(known))
