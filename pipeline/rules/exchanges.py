# SPDX-License-Identifier: Apache-2.0
"""Exchanges of meters on a day, as the master tells of them: an installation ends, the point's next one begins."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from koma.slots import MS_PER_SLOT
from pipeline.rules.day import DayFacts, Found


class Exchanges(NamedTuple):
    """Rows of installations, the one that ends and the one that begins, with the place of their point."""

    place: NDArray[np.int64]
    old: NDArray[np.int64]
    new: NDArray[np.int64]


def exchanges(facts: DayFacts) -> Exchanges:
    """Find the exchanges of a day; one at its first moment belongs to the day before, whose last slot it ends."""
    view = facts.view
    begin, end = int(view.install_of[facts.first]), int(view.install_of[facts.last])
    known = begin + np.flatnonzero(facts.known(view.install_rec_from[begin:end], view.install_rec_to[begin:end]))
    sizes = np.diff(view.install_of[facts.first : facts.last + 1])
    place = np.repeat(np.arange(len(sizes)), sizes)[known - begin]
    old, new = known[:-1], known[1:]
    until_ms, since_ms = view.install_to_ms[old], view.install_from_ms[new]
    met = (place[:-1] == place[1:]) & (until_ms <= since_ms)
    today = (facts.start_ms < until_ms) & (until_ms <= facts.end_ms) & (since_ms <= facts.end_ms)
    chosen = np.flatnonzero(met & today)
    return Exchanges(place[chosen], old[chosen], new[chosen])


def flagged(facts: DayFacts, found: Exchanges, chosen: NDArray[np.bool_], amount: NDArray[np.int64]) -> Found:
    """Flag the points of the chosen exchanges at the slot in which the old meter went."""
    slot = (facts.view.install_to_ms[found.old] - 1 - facts.start_ms) // MS_PER_SLOT
    return Found(facts.first + found.place[chosen], slot[chosen], amount[chosen])
