"""The least sum: operators take turns, every tensor goes once to each unit that reads it, in the order of the file.

Elimination where it can (no memory limit binds, tensors are not too entangled), else an integer program.
"""

import itertools
import time
from collections.abc import Sequence
from math import inf

import numpy as np

from partita.partitioner.engines.elimination import Elimination, TooWideError
from partita.partitioner.engines.nets import Nets, nets_of
from partita.partitioner.engines.outcome import OPTIMAL, Limits, Outcome
from partita.partitioner.engines.sum_program import solve_program
from partita.partitioner.instance import Floats, Instance

MOST_UNITS = 6
"""Tensors with three readers or more need tables with 2 to this power entries per axis."""


def solve(instance: Instance, limits: Limits) -> Outcome:
    """The assignment of least sum. Raises ProblemError if none fits the memory."""
    began = time.perf_counter()
    nets = nets_of(instance)
    try:
        unit_of, total = by_elimination(nets)
    except TooWideError:
        return solve_program(nets, limits, None)
    if not nets.fits(unit_of):
        return solve_program(nets, limits, total)
    return Outcome(
        choice=nets.choice(unit_of),
        objective=total,
        bound=total,
        status=OPTIMAL,
        solver="elimination",
        log=(f"elimination took {time.perf_counter() - began:.3f} s",),
    )


def by_elimination(nets: Nets, order: Sequence[int] | None = None) -> tuple[list[int], float]:
    """The units of the blocks in an optimum without memory limits, and its sum. Raises TooWideError.

    Calls are paid along `order`, else along the instance's. Of units that no number tells apart only the first is
    used, since that costs nothing.
    """
    units = sorted(set(nets.instance.alike))
    allowed = [[u for u in units if nets.times[b, u] < inf] for b in range(nets.blocks)]
    problem = Elimination([len(row) for row in allowed])
    for block, row in enumerate(allowed):
        problem.add((block,), nets.times[block, row])
    for net in range(len(nets.producers)):
        cost = moved(nets, net)
        if cost.any():
            add_net(problem, nets, net, allowed, units, cost)
    call = np.array([unit.call for unit in nets.instance.units])
    if call.any() and nets.blocks:
        add_calls(problem, nets, allowed, nets.instance.order if order is None else order, call)
    values, total = problem.solve()
    return [allowed[b][values[b]] for b in range(nets.blocks)], total


def moved(nets: Nets, net: int) -> Floats:
    """[from, to]: what it takes to bring a net's tensor to a unit; zero on the diagonal."""
    table = np.array(nets.receive[net]) + np.array(nets.send[net])[:, None]
    np.fill_diagonal(table, 0.0)
    return table


def add_net(  # noqa: PLR0913  (a net's price has two parts)
    problem: Elimination,
    nets: Nets,
    net: int,
    allowed: list[list[int]],
    units: Sequence[int],
    cost: Floats,
    once: Floats | None = None,
) -> None:
    """One reader: a table of two. Two: one of three, paid once if they share a unit. More: who has it, reader by
    reader. `cost` is by source and target; `once`, by source, is paid if there is any other target."""
    producer, consumers = nets.producers[net], nets.consumers[net]
    made = allowed[producer]
    first = np.zeros(nets.units) if once is None else once
    leaves = [np.array([[a != b for b in allowed[c]] for a in made]) for c in consumers]
    if len(consumers) == 1:
        table = cost[np.ix_(made, allowed[consumers[0]])] + first[made][:, None] * leaves[0]
        add_sorted(problem, (producer, consumers[0]), table)
    elif len(consumers) == 2:
        one, two = (allowed[c] for c in consumers)
        apart = np.array([[b != c for c in two] for b in one])
        table = cost[np.ix_(made, one)][:, :, None] + cost[np.ix_(made, two)][:, None, :] * apart[None]
        table = table + first[made][:, None, None] * (leaves[0][:, :, None] | leaves[1][:, None, :])
        add_sorted(problem, (producer, *consumers), table)
    else:
        wanted = [u for u in units if any(u in allowed[c] for c in consumers)]
        if len(wanted) > MOST_UNITS:
            raise TooWideError(f"tensors with several readers among {len(wanted)} different units")
        _add_shared(problem, (producer, consumers), cost, first, allowed, wanted)


def _add_shared(
    problem: Elimination,
    ends: tuple[int, tuple[int, ...]],
    cost: Floats,
    first: Floats,
    allowed: list[list[int]],
    units: Sequence[int],
) -> None:
    """Mask variables say which units have been asked for after each reader; the last one is paid."""
    producer, consumers = ends
    full = 1 << len(units)
    bit = {unit: 1 << place for place, unit in enumerate(units)}
    before = -1
    for consumer in consumers:
        mask = problem.variable(full)
        if before < 0:
            table = np.full((len(allowed[consumer]), full), np.inf)
            for value, unit in enumerate(allowed[consumer]):
                table[value, bit[unit]] = 0.0
            add_sorted(problem, (consumer, mask), table)
        else:
            steps = np.full((len(allowed[consumer]), full, full), np.inf)
            for value, unit in enumerate(allowed[consumer]):
                steps[value, np.arange(full), np.arange(full) | bit[unit]] = 0.0
            add_sorted(problem, (consumer, before, mask), steps)
        before = mask
    paid = np.zeros((len(allowed[producer]), full))
    for value, source in enumerate(allowed[producer]):
        for unit in units:
            if unit != source:
                paid[value, (np.arange(full) & bit[unit]) > 0] += cost[source, unit]
        paid[value, (np.arange(full) & ~bit.get(source, 0)) > 0] += first[source]
    add_sorted(problem, (producer, before), paid)


def add_calls(problem: Elimination, nets: Nets, allowed: list[list[int]], order: Sequence[int], call: Floats) -> None:
    """A run of one unit along the order pays its call once."""
    along = [nets.instance.group_of[i] for i in order]
    problem.add((along[0],), call[allowed[along[0]]])
    known: dict[tuple[tuple[int, ...], tuple[int, ...]], Floats] = {}
    for before, after in itertools.pairwise(along):
        if before != after:
            units = tuple(allowed[before]), tuple(allowed[after])
            if units not in known:
                changes = np.array([[a != b for b in units[1]] for a in units[0]])
                known[units] = changes * call[allowed[after]][None, :]
            add_sorted(problem, (before, after), known[units])


def add_sorted(problem: Elimination, variables: tuple[int, ...], table: Floats) -> None:
    places = sorted(range(len(variables)), key=lambda place: variables[place])
    problem.add(tuple(variables[place] for place in places), np.transpose(table, places))
