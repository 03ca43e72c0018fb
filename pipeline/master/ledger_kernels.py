# SPDX-License-Identifier: Apache-2.0
"""The rows of one table, point by point, key by key, in the order in which they were recorded.

Rows known from earlier imports have the numbers below `n_old`, those of the import the numbers from there on. `of`
(P+1,) and `order` list the rows of each point by key and then by recorded time; rows of one key form a *run*. `keys` is
a tuple of int64 columns.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipeline.jit import kernel
from pipeline.master.lookup_kernels import hash_key
from pipeline.master.view import OPEN_MS

NEW: Final = 0
SUPERSEDING: Final = 1
UNCHANGED: Final = 2
OLDER: Final = 3
CANCELLED: Final = 4
IDLE: Final = 5
"""Not looked at: the row or its point is in quarantine."""

NO_LOCAL: Final = 0xFFFFFFFF
_NO_ROW: Final = -1
_NOT_STATED: Final = 2**62

Keys = tuple[NDArray[np.int64], ...]
Bounds = NDArray[np.int64]
Rows = NDArray[np.int32]
Digests = NDArray[np.uint64]


@kernel
def count_rows(position: Rows, of: Bounds) -> None:
    """Turn zeros (P+1,) into the bounds of each point's rows; rows at position -1 stand nowhere."""
    for i in range(len(position)):
        if position[i] >= 0:
            of[position[i] + 1] += 1
    for p in range(len(of) - 1):
        of[p + 1] += of[p]


@kernel
def place_rows(position: Rows, of: Bounds, order: Rows) -> None:
    """Fill `order` with the rows by point, each point's in their own order."""
    free = of[:-1].copy()
    for i in range(len(position)):
        p = position[i]
        if p >= 0:
            order[free[p]] = i
            free[p] += 1


@kernel
def sort_rows(of: Bounds, order: Rows, columns: Keys) -> None:
    """Sort each point's rows by `columns`, keeping the order of equals. Meant for a few rows a point."""
    for p in range(len(of) - 1):
        for i in range(of[p] + 1, of[p + 1]):
            row = order[i]
            j = i
            while j > of[p]:
                other = order[j - 1]
                less = False
                for column in columns:
                    if column[row] != column[other]:
                        less = column[row] < column[other]
                        break
                if not less:
                    break
                order[j] = other
                j -= 1
            order[j] = row


@kernel
def run_end(order: Rows, start: int, end: int, keys: Keys) -> int:
    """End of the run that begins at `start`."""
    row = order[start]
    at = start + 1
    while at < end:
        for key in keys:
            if key[order[at]] != key[row]:
                return at
        at += 1
    return at


@kernel
def _is_known(order: Rows, start: int, end: int, row: int, n_old: int, when: NDArray[np.int64], says: Digests) -> bool:
    """Say whether a row known before, of the same run, was recorded at the same time and says the same."""
    for at in range(start, end):
        known = order[at]
        if known < n_old and when[known] == when[row] and says[known] == says[row]:
            return True
    return False


@kernel
def _note_twins(
    order: Rows,
    start: int,
    end: int,
    stated: NDArray[np.int64],
    content: Digests,
    active: NDArray[np.bool_],
    n_old: int,
    clash: Rows,
) -> int:
    """Note contradictions among the rows of the import that were recorded at the same time as the first one."""
    leader = order[start]
    other = _NO_ROW
    at = start
    while at < end and stated[order[at]] == stated[leader]:
        row = order[at]
        if row >= n_old and active[row] and content[row] != content[leader] and other < 0:
            other = row
        at += 1
    if other < 0:
        return 0
    found = 0
    for place in range(start, at):
        row = order[place]
        if row >= n_old and active[row]:
            clash[row] = other if content[row] == content[leader] else leader
            found += 1
    return found


@kernel
def _classify_run(
    order: Rows,
    start: int,
    end: int,
    old: int,
    stated: NDArray[np.int64],
    content: Digests,
    closed: NDArray[np.bool_],
    active: NDArray[np.bool_],
    n_old: int,
    now_ms: int,
    status: NDArray[np.uint8],
    recorded: NDArray[np.int64],
    previous: Rows,
    clash: Rows,
) -> tuple[int, int]:
    """Classify one run, whose last known row is `old`; returns its last row and how many contradict each other."""
    clashes = 0
    last = old
    beside = _NO_ROW  # the row of the import before this one
    for at in range(start, end):
        row = order[at]
        if row < n_old or not active[row]:
            continue
        unstated = stated[row] == _NOT_STATED
        again = beside >= 0 and stated[beside] == stated[row]
        if not again:
            clashes += _note_twins(order, at, end, stated, content, active, n_old, clash)
        beside = row
        if clash[row] >= 0:
            continue
        if not unstated and old >= 0 and stated[row] <= recorded[old]:
            known = again or _is_known(order, start, end, row, n_old, stated, content)
            status[row - n_old] = UNCHANGED if known else OLDER
        elif again or (unstated and last >= 0 and content[last] == content[row]):
            status[row - n_old] = UNCHANGED
        else:
            recorded[row] = stated[row]
            if unstated:
                recorded[row] = now_ms if last < 0 else max(now_ms, recorded[last] + 1)
            status[row - n_old] = CANCELLED if closed[row] else (NEW if last < 0 else SUPERSEDING)
            previous[row] = last
            last = row
    return last, clashes


@kernel
def classify(
    of: Bounds,
    order: Rows,
    keys: Keys,
    stated: NDArray[np.int64],
    content: Digests,
    closed: NDArray[np.bool_],
    active: NDArray[np.bool_],
    n_old: int,
    now_ms: int,
    status: NDArray[np.uint8],
    recorded: NDArray[np.int64],
    previous: Rows,
    clash: Rows,
    current: NDArray[np.bool_],
) -> int:
    """Say of each row of the import what it does to what is known; returns how many contradict each other.

    Args:
        of: see above.
        order: see above.
        keys: see above.
        stated: recorded_at as given, ms; 2^62 = not given, that is later than everything known.
        content: digest of what the row says.
        closed: the row's end is its start: it cancels.
        active: rows that take part; all old ones do.
        n_old: rows known before.
        now_ms: recorded time of rows that state none.
        status: out, by row of the import: what it does.
        recorded: in for old rows, out for those of the import: recorded time, ascending within a run.
        previous: out, by row: the row it takes over from, -1 for none.
        clash: out, by row: a row of the import that it contradicts; left alone where there is none.
        current: out, by row: what is known once the import counts.

    """
    clashes = 0
    for p in range(len(of) - 1):
        start = of[p]
        while start < of[p + 1]:
            end = run_end(order, start, of[p + 1], keys)
            last = _NO_ROW
            for at in range(start, end):
                row = order[at]
                current[row] = False
                previous[row] = _NO_ROW
                if row < n_old:
                    last = row
                else:
                    status[row - n_old] = IDLE
            last, found = _classify_run(
                order, start, end, last, stated, content, closed, active, n_old, now_ms,
                status, recorded, previous, clash,
            )  # fmt: skip
            clashes += found
            if last >= 0 and not closed[last]:
                current[last] = True
            start = end
    return clashes


@kernel
def _note_clash(clash: Rows, n_old: int, one: int, other: int) -> int:
    """Note that two rows contradict each other, in those of the import; returns how many these are."""
    if one >= n_old:
        clash[one] = other
    if other >= n_old:
        clash[other] = one
    return (one >= n_old) + (other >= n_old)


@kernel
def overlap_in_points(
    of: Bounds,
    order: Rows,
    start: NDArray[np.int32],
    end: NDArray[np.int32],
    current: NDArray[np.bool_],
    n_old: int,
    clash: Rows,
) -> int:
    """Mark rows of the import whose time overlaps that of another row of the point; rows ascend by start."""
    found = 0
    for p in range(len(of) - 1):
        longest = _NO_ROW
        for at in range(of[p], of[p + 1]):
            row = order[at]
            if not current[row]:
                continue
            if longest >= 0 and start[row] < end[longest]:
                found += _note_clash(clash, n_old, row, longest)
            if longest < 0 or end[row] > end[longest]:
                longest = row
    return found


@kernel
def mark_shared(
    k0: NDArray[np.uint64],
    k1: NDArray[np.uint64],
    register: NDArray[np.uint8],
    current: NDArray[np.bool_],
    first: Rows,
    shared: NDArray[np.bool_],
) -> int:
    """Mark the current rows whose meter and register another current row has too; returns how often that was met.

    `first` is an open-addressing table of row numbers, filled with -1; its size is a power of two, twice the rows.
    """
    mask = np.uint64(len(first) - 1)
    found = 0
    for i in range(len(k0)):
        if not current[i]:
            continue
        at = hash_key(k0[i], k1[i] ^ np.uint64(register[i])) & mask
        while first[at] >= 0:
            j = first[at]
            if k0[j] == k0[i] and k1[j] == k1[i] and register[j] == register[i]:
                shared[i] = True
                shared[j] = True
                found += 1
                break
            at = (at + np.uint64(1)) & mask
        if first[at] < 0:
            first[at] = i
    return found


@kernel
def overlap_in_groups(
    rows: NDArray[np.int64],
    group: NDArray[np.int64],
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    n_old: int,
    clash: Rows,
) -> int:
    """Mark rows of the import whose time overlaps that of another of `rows` in the same group.

    `rows` ascend by group and start; `group` goes along with `rows`.
    """
    found = 0
    longest = _NO_ROW
    for i in range(len(rows)):
        row = rows[i]
        if i == 0 or group[i] != group[i - 1]:
            longest = row
            continue
        if start[row] < end[longest]:
            found += _note_clash(clash, n_old, row, longest)
        if end[row] > end[longest]:
            longest = row
    return found


@kernel
def date_rows(
    of: Bounds,
    order: Rows,
    keys: Keys,
    applied: NDArray[np.bool_],
    content: NDArray[np.uint64],
    closed: NDArray[np.bool_],
    rec_from: NDArray[np.int64],
    out_of: Bounds,
    out_row: Rows,
    out_from: NDArray[np.int64],
    out_to: NDArray[np.int64],
) -> int:
    """List the rows that count at some instant, with the instants from which and to which they do.

    A row ends where the next of its key begins to count. Rows that never count, cancelling rows, and repetitions of
    the row before are left out. Returns how many rows there are; `out_of` (P+1,) are their bounds by point.
    """
    count = 0
    for p in range(len(of) - 1):
        out_of[p] = count
        start = of[p]
        while start < of[p + 1]:
            end = run_end(order, start, of[p + 1], keys)
            opened = False
            earliest = -OPEN_MS
            for at in range(start, end):
                row = order[at]
                if not applied[row]:
                    continue
                if opened and content[out_row[count - 1]] == content[row]:
                    continue
                earliest = max(earliest, rec_from[row])
                if opened:
                    out_to[count - 1] = earliest
                    if earliest <= out_from[count - 1]:
                        count -= 1
                    opened = False
                if closed[row]:
                    continue
                out_row[count] = row
                out_from[count] = earliest
                out_to[count] = OPEN_MS
                count += 1
                opened = True
            start = end
    out_of[len(of) - 1] = count
    return count


@kernel
def count_new_runs(
    of: Bounds, order: Rows, keys: Keys, applied: NDArray[np.bool_], first: int, count: NDArray[np.int64]
) -> None:
    """Count the keys with an applied row of each point from `first` on."""
    for p in range(first, len(of) - 1):
        start = of[p]
        while start < of[p + 1]:
            end = run_end(order, start, of[p + 1], keys)
            for at in range(start, end):
                if applied[order[at]]:
                    count[p - first] += 1
                    break
            start = end


@kernel
def cut_shards(
    installs: NDArray[np.int64],
    alive: NDArray[np.bool_],
    shard: int,
    points: int,
    taken: int,
    limit: int,
    out: NDArray[np.uint16],
) -> int:
    """Give new points, in their order, to shards; a shard is full with `limit` points or installations.

    Args:
        installs: (n,) installations of each new point.
        alive: (n,) points that stay.
        shard: the last shard so far, -1 for none.
        points: points in it.
        taken: installations in it.
        limit: most points, and most installations, at this time, of a shard.
        out: (n,) shard of each new point.

    Returns the number of shards.

    """
    for i in range(len(installs)):
        if not alive[i]:
            continue
        if shard < 0 or points + 1 > limit or (points > 0 and taken + installs[i] > limit):
            shard, points, taken = shard + 1, 0, 0
        points += 1
        taken += installs[i]
        out[i] = shard
    return shard + 1


@kernel
def give_locals(
    of: Bounds,
    order: Rows,
    keys: Keys,
    applied: NDArray[np.bool_],
    shard: NDArray[np.uint16],
    taken: NDArray[np.int32],
    local: NDArray[np.uint32],
) -> None:
    """Give each key that has none the next index of its point's shard; all rows of a key share it."""
    for p in range(len(of) - 1):
        start = of[p]
        while start < of[p + 1]:
            end = run_end(order, start, of[p + 1], keys)
            mine = np.uint32(NO_LOCAL)
            wanted = False
            for at in range(start, end):
                if applied[order[at]]:
                    wanted = True
                    if local[order[at]] != NO_LOCAL:
                        mine = local[order[at]]
            if wanted and mine == NO_LOCAL:
                mine = np.uint32(taken[shard[p]])
                taken[shard[p]] += 1
            for at in range(start, end):
                if applied[order[at]]:
                    local[order[at]] = mine
            start = end
