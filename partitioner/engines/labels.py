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
COVERED = -1.0
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
    """[place, label]: when a tensor is on a unit; infinite before it is made or, over a link, copied. COVERED where
    units are called, and nobody there has to wait or to call for it any more."""
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What tells whether one label leaves all that follows no later than another does."""

    makers: Ints
    """[place]: the operator, as a bit, that makes what arrives there."""
    matters: Ints
    """[place]: the operators, as bits, to which an arrival there matters until they have begun."""
    slack: float
    """Times that differ by less count as the same."""


def narrowed(labels: Labels, rules: Rules, width: int) -> tuple[Labels, float]:
    """Without dominated ones, and at most `width`; also the least bound of those dropped for being too many."""
    if len(labels) < 2:
        return labels, np.inf
    labels = labels.of(_undominated(labels, rules))
    if len(labels) <= width:
        return labels, np.inf
    best = np.argsort(labels.bound, kind="stable")
    return labels.of(np.sort(best[:width])), float(labels.bound[best[width]])


def _undominated(labels: Labels, rules: Rules) -> Ints:
    """The labels, in order of their operators, of which none near leaves nothing later."""
    labels_at = np.lexsort((labels.bound, labels.done))
    done = labels.done[labels_at]
    state = _states(labels, rules, labels_at)
    far = np.isinf(state)
    total = np.where(far, 0.0, state).sum(axis=0) + FAR * rules.slack * far.sum(axis=0)
    order = np.lexsort((total, done))
    labels_at, done, state = labels_at[order], done[order], state[:, order]
    for apart in range(1, RIVALS + 1):
        pairs = np.flatnonzero(done[apart:] == done[:-apart]) if apart < len(done) else np.zeros(0, np.int64)
        if not len(pairs):
            break
        beaten = _beaten(state, pairs, apart, rules.slack)
        if len(beaten):
            kept = np.ones(len(done), bool)
            kept[beaten] = False
            labels_at, done, state = labels_at[kept], done[kept], state[:, kept]
    return labels_at


def _states(labels: Labels, rules: Rules, at: Ints) -> Floats:
    """[row, label]: from when on units, links and what has been made are there; the same rows for the same operators.

    `at` has labels of the same operators side by side.
    """
    done, now = labels.done[at], labels.now[at]
    is_first = np.r_[True, done[1:] != done[:-1]]
    kinds, kind = done[is_first], np.cumsum(is_first) - 1
    needed = ((rules.matters[:, None] & ~kinds) != 0) & ((rules.makers[:, None] & kinds) != 0)
    count = needed.sum(axis=0)
    places = np.argsort(~needed, axis=0, kind="stable")[: count.max()]
    there = labels.arrival[places[:, kind], at]
    there = np.where(there == COVERED, there, np.maximum(there, now))
    there[np.arange(len(places))[:, None] >= count[kind]] = 0.0
    return np.concatenate([labels.free[:, at], now[None], there])


def _beaten(state: Floats, winner: Ints, apart: int, slack: float) -> Ints:
    """The labels that lie `apart` behind a winner and leave nothing sooner than it does."""
    for low in range(0, len(state), ROWS):
        rows = state[low : low + ROWS]
        winner = winner[(rows[:, winner] <= rows[:, winner + apart] + slack).all(axis=0)]
    return winner + apart
