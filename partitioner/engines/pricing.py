"""What one unit can achieve: the least load of any set of blocks on it, by the profit of the set.

Blocks come one by one in an order that keeps few nets open. A state says, for every open net, what is known of its
pins; `steps` holds how states follow one another, which does not depend on the profits. One `table` is then a few
numpy operations per block, exact for whole-number profits.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partita.partitioner.engines.nets import Nets
from partita.partitioner.instance import Floats

Ints = NDArray[np.int64]
MOST_STATES = 2000
Known = tuple[int, int, int]
"""Of an open net: is its producer in the set (1), outside (0), or not seen (-1); is some consumer in; is one out.
A flag that can no longer matter is 0."""


@dataclass(frozen=True, slots=True)
class Step:
    """From the states before a block to those after it."""

    block: int
    source: Ints
    """Per transition, the state before; transitions into one state stand together."""
    is_in: NDArray[np.bool_]
    added: Floats
    """Per transition, the load that it adds."""
    first: Ints
    """Per state after, its first transition."""

    later: tuple[tuple[Ints, Ints], ...]
    """The states after that have a second transition, a third, and so on; and these transitions."""

    def least(self, rows: Floats) -> Floats:
        """The least row of each state's transitions; `np.minimum.reduceat`, but several times as fast."""
        found = rows[self.first]
        for states, transitions in self.later:
            found[states] = np.minimum(found[states], rows[transitions])
        return found


class TooManyStatesError(Exception):
    """The nets are too entangled for this order."""


class Pricing:
    """Sets of blocks on one unit."""

    def __init__(self, nets: Nets, unit: int, order: list[int]) -> None:
        self.steps = _steps(nets, unit, order)

    @property
    def size(self) -> int:
        """Transitions of all steps."""
        return sum(len(step.source) for step in self.steps)

    def table(self, profits: list[int], most: int) -> list[Floats]:
        """Per step, [state, profit] -> least load; the last column stands for every profit from `most` up."""
        table = np.full((1, most + 1), np.inf)
        table[0, 0] = 0.0
        tables = [table]
        for step in self.steps:
            profit = min(profits[step.block], most)
            reached = table[step.source]
            if profit:
                chosen = reached[step.is_in]
                shifted = np.full_like(chosen, np.inf)
                shifted[:, profit:] = chosen[:, : most + 1 - profit]
                shifted[:, most] = chosen[:, most - profit :].min(axis=1)
                reached[step.is_in] = shifted
            reached += step.added[:, None]
            table = step.least(reached)
            tables.append(table)
        return tables

    def set_with(self, tables: list[Floats], profits: list[int], profit: int) -> list[int]:
        """A set of least load among those of this profit (or more, in the last column)."""
        most = tables[0].shape[1] - 1
        state, found = 0, []
        for number in range(len(self.steps) - 1, -1, -1):
            step, before = self.steps[number], tables[number]
            first = int(step.first[state])
            last = int(step.first[state + 1]) if state + 1 < len(step.first) else len(step.source)
            gain = min(profits[step.block], most)
            best = (np.inf, -1, 0)
            for transition in range(first, last):
                spent = gain if step.is_in[transition] else 0
                low, high = profit - spent, (most if profit == most else profit - spent)
                if high < 0:
                    continue
                row = before[step.source[transition], max(low, 0) : high + 1]
                at = int(row.argmin())
                best = min(best, (float(row[at] + step.added[transition]), transition, max(low, 0) + at))
            _, transition, profit = best
            if step.is_in[transition]:
                found.append(step.block)
            state = int(step.source[transition])
        return found


def _steps(nets: Nets, unit: int, order: list[int]) -> list[Step]:
    send = [row[unit] for row in nets.send]
    receive = [min((row[a][unit] for a in range(nets.units) if a != unit), default=0.0) for row in nets.receive]
    dear = [s > 0 or r > 0 for s, r in zip(send, receive, strict=True)]
    left = [1 + len(consumers) for consumers in nets.consumers]
    opened: list[int] = []
    states: dict[tuple[Known, ...], int] = {(): 0}
    steps = []
    for block in order:
        touched = [j for j in nets.nets_of[block] if dear[j]]
        for j in touched:
            left[j] -= 1
        after = [j for j in opened if left[j]] + [j for j in touched if j not in opened and left[j]]
        place = {j: p for p, j in enumerate(opened)}
        found: dict[tuple[Known, ...], int] = {}
        moves: list[tuple[int, int, bool, float]] = []
        can = bool(np.isfinite(nets.times[block, unit]))
        for state, number in states.items():
            for is_in in (False, True) if can else (False,):
                added = float(nets.times[block, unit]) if is_in else 0.0
                known: dict[int, Known] = {}
                for j in touched:
                    before = state[place[j]] if j in place else (-1, 0, 0)
                    known[j], paid = _seen(before, is_in, nets.producers[j] == block, send[j], receive[j])
                    added += paid
                target = tuple(known[j] if j in known else state[place[j]] for j in after)
                moves.append((found.setdefault(target, len(found)), number, is_in, added))
        if len(found) > MOST_STATES:
            raise TooManyStatesError
        moves.sort()
        targets = np.array([move[0] for move in moves])
        first = np.flatnonzero(np.r_[True, targets[1:] != targets[:-1]])
        steps.append(
            Step(
                block,
                np.array([move[1] for move in moves]),
                np.array([move[2] for move in moves], bool),
                np.array([move[3] for move in moves]),
                first,
                _later(first, len(moves)),
            )
        )
        states, opened = found, after
    return steps


def _later(first: Ints, transitions: int) -> tuple[tuple[Ints, Ints], ...]:
    count = np.diff(first, append=transitions)
    more = [np.flatnonzero(count > k) for k in range(1, int(count.max(initial=1)))]
    return tuple((states, first[states] + k) for k, states in enumerate(more, 1))


def _seen(known: Known, is_in: bool, is_producer: bool, send: float, receive: float) -> tuple[Known, float]:
    """What is known of a net after one more pin, and what becomes due."""
    producer, some_in, some_out = known
    if is_producer:
        paid = (send if some_out else 0.0) if is_in else (receive if some_in else 0.0)
        return (int(is_in), 0 if is_in else some_in, some_out if is_in else 0), paid
    if producer == -1:
        return (producer, some_in | is_in, some_out | (not is_in)), 0.0
    if producer == 1 and not is_in and not some_out:
        return (1, 0, 1), send
    if producer == 0 and is_in and not some_in:
        return (0, 1, 0), receive
    return known, 0.0
