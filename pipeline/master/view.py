# SPDX-License-Identifier: Apache-2.0
"""One version of the master as flat arrays: what every stage of the pipeline reads.

Two times stand on every fact. *Valid time* says when it holds in the world (slots for supply, milliseconds for
installations); *recorded time* says from when we knew it. A row counts at instant I when `rec_from <= I < rec_to`.
Rows of one point lie together (compressed rows: `x_of[p]:x_of[p + 1]`).

Points are numbered by *position*. Positions, shards and local installation indexes only ever grow: what a number
means in one version it means in every later one. All arrays are read-only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALWAYS_MS = -(2**62)
"""Recorded or installed since always."""

OPEN_MS = 2**62
"""No end known, in milliseconds."""

FIRST_SLOT = -(2**31)
"""The slot or stamp before all others: the start of what holds since always."""

OPEN_SLOT = 2**31 - 1
"""No end known, in slots or stamps."""

VOLTAGES: tuple[str, ...] = ("LV", "HV", "EHV")
"""`attr_voltage` indexes this tuple."""

REGISTERS: tuple[str, ...] = ("import", "export")
"""`install_register` and `chain_register` index this tuple."""

NO_INSTALL = 0xFFFFFFFF
"""In the lookup table: no installation on this register."""

CHAINED = 0xFFFFFFFE
"""In the lookup table, as the import installation: look into the chain rows instead."""

UNASSIGNED = "00000"
"""The retailer code of index 0: nobody is responsible."""


@dataclass(frozen=True, slots=True, eq=False)
class MasterView:
    """One immutable version of the master, its arrays mapped from files.

    P points, K shards, A attribute rows, S supply rows, R installation rows, C slots of the lookup table,
    L chain rows, G given registers, B blocks of points, D changes, M carries, F registers read more often than every
    slot, E device points.
    """

    version: int
    """0 where no master was imported yet."""
    retailers: tuple[str, ...]
    """Index to code, append-only over versions; index 0 is `UNASSIGNED`."""
    bgs: tuple[str, ...]
    """Index to balancing group code, append-only over versions; index 0 is the empty string."""

    shard_points: NDArray[np.int64]
    """(K+1,) shard k holds the positions `[shard_points[k], shard_points[k+1])`."""
    shard_installs: NDArray[np.int32]
    """(K,) how many local installation indexes shard k has given out."""

    point_id: NDArray[np.uint8]
    """(P, 22) ASCII digits."""
    rank: NDArray[np.uint32]
    """(P,) place of a position in ascending order of point_id."""
    order: NDArray[np.uint32]
    """(P,) positions in ascending order of point_id; the inverse of `rank`."""
    area: NDArray[np.uint8]
    """(P,) area 1 to 10."""

    attr_of: NDArray[np.int64]
    """(P+1,) attribute rows of a point."""
    attr_voltage: NDArray[np.uint8]
    """(A,) index into `VOLTAGES`."""
    attr_telemetry: NDArray[np.uint8]
    """(A,) 1 where the meter reports by itself, 0 where not."""
    attr_cap_dwh: NDArray[np.int64]
    """(A,) the plausible most of one 30-minute slot, dWh."""
    attr_read_day: NDArray[np.uint8]
    """(A,) day of the month on which the meter is read for the monthly file, 1 to 31; 0 = none."""
    attr_rec_from: NDArray[np.int64]
    """(A,) ms since the epoch, UTC; `ALWAYS_MS` = since always."""
    attr_rec_to: NDArray[np.int64]
    """(A,) ms, exclusive; `OPEN_MS` = still known so."""

    supply_of: NDArray[np.int64]
    """(P+1,) supply rows of a point, ascending `supply_from`, then `supply_rec_from`."""
    supply_from: NDArray[np.int32]
    """(S,) first slot supplied."""
    supply_to: NDArray[np.int32]
    """(S,) first slot no longer supplied; `OPEN_SLOT` = open."""
    supply_retailer: NDArray[np.uint16]
    """(S,) index into `retailers`."""
    supply_bg: NDArray[np.uint16]
    """(S,) index into `bgs`."""
    supply_rec_from: NDArray[np.int64]
    """(S,) ms. Of two rows that cover one slot at an instant in the past, the later recorded one holds."""
    supply_rec_to: NDArray[np.int64]
    """(S,) ms, exclusive."""
    supply_ref_off: NDArray[np.int64]
    """(S+1,) bytes of the row's customer_ref in `supply_ref_bytes`."""
    supply_ref_bytes: NDArray[np.uint8]
    """UTF-8, the customer_refs one after the other."""

    install_of: NDArray[np.int64]
    """(P+1,) installation rows of a point, ascending `install_from_ms`.

    An installation may have several rows, one behind the other, with disjoint ascending recorded ranges; they share
    `install_local`.
    A cancelled installation has no row from the instant of its cancellation on.
    """
    install_local: NDArray[np.uint32]
    """(R,) index in the register columns of the point's shard."""
    install_from_ms: NDArray[np.int64]
    """(R,) installed_at, ms UTC; `ALWAYS_MS` where the master gives none. Need not lie on a slot boundary."""
    install_to_ms: NDArray[np.int64]
    """(R,) removed_at, ms UTC; `OPEN_MS` = still installed."""
    install_modulus: NDArray[np.int64]
    """(R,) 10^digits, register units: where the register rolls over."""
    install_factor: NDArray[np.int64]
    """(R,) coefficient * 10^(unit_exponent + 4): dWh for one register unit. modulus * factor <= 2^62."""
    install_first: NDArray[np.int64]
    """(R,) register at installed_at, -1 where not given."""
    install_last: NDArray[np.int64]
    """(R,) register at removed_at, -1 where not given."""
    install_register: NDArray[np.uint8]
    """(R,) index into `REGISTERS`."""
    install_rec_from: NDArray[np.int64]
    """(R,) ms."""
    install_rec_to: NDArray[np.int64]
    """(R,) ms, exclusive."""

    table: NDArray[np.uint64]
    """(C, 4) lookup of current knowledge by meter id: open addressing, linear probing from even rows (see
    `lookup_kernels.first_row`), C a power of two, load <= 1/2.

    Columns k0, k1 (meter id, 16 NUL-padded ASCII bytes as two little-endian words; k0 = 0 marks a free slot),
    `import | export << 32` (each `shard << SHARD_LOCAL_BITS | local`, or `NO_INSTALL`), `lo | hi << 32` (int32 stamps,
    both included, that the installations cover). Where import is `CHAINED`, export is the first chain row and
    lo the number of chain rows.
    """
    chain_register: NDArray[np.uint8]
    """(L,) index into `REGISTERS`; the rows of one meter ascend by register, lo, install."""
    chain_lo: NDArray[np.int32]
    """(L,) first stamp of the installation. A stamp at a common boundary belongs to both neighbours."""
    chain_hi: NDArray[np.int32]
    """(L,) last stamp of the installation, included; `OPEN_SLOT` = open."""
    chain_install: NDArray[np.uint32]
    """(L,) `shard << SHARD_LOCAL_BITS | local`."""

    block_of: NDArray[np.int64]
    """(K+1,) blocks of a shard in `block_measures`."""
    block_measures: NDArray[np.int64]
    """(B * MEASURES,) how far the rows of each block of points hold alike (see `pipeline.plain_kernels`)."""

    given_stamp: NDArray[np.int32]
    """(G,) ascending: slot boundaries at which an installation begins or ends and the master gives its register."""
    given_install: NDArray[np.uint32]
    """(G,) `shard << SHARD_LOCAL_BITS | local`, ascending for one stamp. Current knowledge only."""
    given_value: NDArray[np.uint32]
    """(G,) the register; no read of this installation and stamp overrules it."""

    fine_install: NDArray[np.uint32]
    """(F,) ascending: installations read at least every 15 minutes, `shard << SHARD_LOCAL_BITS | local`. Current
    knowledge only, as in all of `fine_` and `device_`."""
    fine_minutes: NDArray[np.uint8]
    """(F,) minutes between two reads: 1, 5 or 15."""
    fine_from_ms: NDArray[np.int64]
    """(F,) as `install_from_ms`."""
    fine_to_ms: NDArray[np.int64]
    """(F,) as `install_to_ms`."""

    device_position: NDArray[np.uint32]
    """(E,) ascending: points that stand behind a main point (機器点)."""
    device_main: NDArray[np.uint8]
    """(E, 22) ASCII digits of the main point, which need not be known."""

    changed_position: NDArray[np.uint32]
    """(D,) the points that imports after the first one changed; grows at the end with every version."""
    changed_from_slot: NDArray[np.int32]
    """(D,) first slot whose cell may differ; `FIRST_SLOT` = since always."""
    changed_to_slot: NDArray[np.int32]
    """(D,) end of those slots, exclusive; `OPEN_SLOT` = open."""
    changed_rec_ms: NDArray[np.int64]
    """(D,) the instant from which the change counts."""
    changed_version: NDArray[np.uint32]
    """(D,) the version that brought the change."""

    carried_from: NDArray[np.uint32]
    """(M,) installation whose reads belong to `carried_to` as well now, `shard << SHARD_LOCAL_BITS | local`; grows at
    the end with every version."""
    carried_to: NDArray[np.uint32]
    """(M,) installation of the same register of the same meter."""
    carried_lo: NDArray[np.int32]
    """(M,) first stamp."""
    carried_hi: NDArray[np.int32]
    """(M,) last stamp, included; `OPEN_SLOT` = open."""
    carried_version: NDArray[np.uint32]
    """(M,) the version that brought it, ascending."""

    @property
    def n_points(self) -> int:
        """How many points there are."""
        return len(self.point_id)

    @property
    def n_shards(self) -> int:
        """How many shards the points are cut into."""
        return len(self.shard_installs)

    @property
    def n_installs(self) -> int:
        """How many installations have an index, over all shards."""
        return int(self.shard_installs.sum())

    @property
    def mask(self) -> int:
        """Capacity of the lookup table less one."""
        return len(self.table) - 1
