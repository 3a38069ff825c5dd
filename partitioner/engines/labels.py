"""Partial schedules as columns of arrays: which of two leaves nothing later than the other?"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from partita.partitioner.instance import Floats

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
RIVALS = 48
"""Labels of the same operators that each label is compared with, on either side."""
ROWS = 4
"""Rows that are compared at a time."""
FAR = 1e15
"""So many times the slack stands for what has not arrived, when sums are compared."""


@dataclass
class Labels:
    """One column per partial schedule."""

    done: Ints
    """[label]: bits of the operators that have begun."""
    now: Floats
    """[label]: when the last operator or copy began."""
    free: Floats
    """[unit or link, label]: from when on it is free, `now` at the earliest."""
    arrival: Floats
    """[place, label]: when a tensor is on a unit; infinite before it is made or, over a link, copied."""
    source: Ints
    """[tensor, label]: the unit that made it, -1 before."""
    action: Ints
    """[label]: the number of its last action."""
    bound: Floats
    """[label]: it ends no sooner."""

    def of(self, chosen: Ints | Bools) -> "Labels":
        """The chosen columns."""
        return Labels(*(getattr(self, field.name)[..., chosen] for field in fields(self)))

    def __len__(self) -> int:
        return len(self.done)


def together(parts: list[Labels]) -> Labels:
    """All columns side by side."""
    return Labels(*(np.concatenate([getattr(p, field.name) for p in parts], axis=-1) for field in fields(Labels)))


def narrowed(labels: Labels, matters: Ints, slack: float, width: int) -> tuple[Labels, float]:
    """Without dominated ones, and at most `width`; also the least bound of those dropped for being too many.

    `matters[place]` are the operators, as bits, to which an arrival there matters until they have begun.
    """
    if len(labels) < 2:
        return labels, np.inf
    labels = labels.of(np.lexsort((labels.now, labels.bound, labels.done)))
    labels = labels.of(~_dominated(labels, matters, slack))
    if len(labels) <= width:
        return labels, np.inf
    best = np.argsort(labels.bound, kind="stable")
    return labels.of(np.sort(best[:width])), float(labels.bound[best[width]])


def _dominated(labels: Labels, matters: Ints, slack: float) -> Bools:
    """Whether a label of the same operators, near in the order, leaves nothing later."""
    count = len(labels)
    there = np.maximum(labels.arrival, labels.now)
    there[(matters[:, None] & ~labels.done) == 0] = 0.0
    state = np.concatenate([labels.free, labels.now[None], there])
    total = np.where(np.isinf(state), 0.0, state).sum(axis=0) + FAR * slack * np.isinf(state).sum(axis=0)
    dominated = np.zeros(count, bool)
    for apart in range(1, min(RIVALS, count - 1) + 1):
        winner = np.flatnonzero(labels.done[apart:] == labels.done[:-apart])
        if not len(winner):
            break
        loser = winner + apart
        is_less = total[winner] <= total[loser]
        winner, loser = np.where(is_less, winner, loser), np.where(is_less, loser, winner)
        live = ~(dominated[winner] | dominated[loser])
        dominated[_beaten(state, winner[live], loser[live], slack)] = True
    return dominated


def _beaten(state: Floats, winner: Ints, loser: Ints, slack: float) -> Ints:
    for low in range(0, len(state), ROWS):
        rows = state[low : low + ROWS]
        holds = (rows[:, winner] <= rows[:, loser] + slack).all(axis=0)
        winner, loser = winner[holds], loser[holds]
    return loser
