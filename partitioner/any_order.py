"""The placement problem with the order of its operators free, relaxed to the engines' plain numbers.

Fusions are left out: an operator takes a share of the time of each kernel that could cover it, such that the shares
never add up to more than any kernel takes. So what an engine proves holds for every choice of kernels in every order,
and the order that it finds is one to solve the whole problem in.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf

from partita.partitioner.engines import free_order, makespan, sums
from partita.partitioner.engines.elimination import TooWideError
from partita.partitioner.engines.nets import nets_of
from partita.partitioner.engines.outcome import Limits, Outcome, OutOfTimeError
from partita.partitioner.instance import Instance, Link, Operator, Tensor, Unit
from partita.partitioner.problem import HOST, Problem

Table = tuple[tuple[float, ...], ...]
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What an engine found."""

    order: tuple[int, ...]
    location_of: tuple[int, ...]
    """Per operator."""
    bound_us: float
    """No placement in any order has less."""


def busiest(relaxed: Relaxed) -> int:
    """The location of most operators."""
    return max(sorted(set(relaxed.location_of)), key=relaxed.location_of.count)


def excursions(problem: Problem, relaxed: Relaxed) -> list[list[int]]:
    """The operators away from the busiest location, those together that tensors join; in the order of their first."""
    main = busiest(relaxed)
    group_of = {i: {i} for i in range(problem.operators) if relaxed.location_of[i] != main}
    for tensor in problem.tensors:
        joined = [i for i in (tensor.producer, *tensor.consumers) if i in group_of]
        for i in joined[1:]:
            both = group_of[joined[0]] | group_of[i]
            for member in both:
                group_of[member] = both
    return [sorted(members) for i, members in sorted(group_of.items()) if i == min(members)]


def least_in_any_order(problem: Problem, limits: Limits) -> Relaxed | None:
    """The least sum over all orders.

    None if a unit has several locations, between which no call is paid, or if nothing was found in time.
    """
    if _has_units_of_several_locations(problem):
        return None
    try:
        return _read(problem, free_order.solve(_instance(problem, waits_for_calls=False), limits))
    except OutOfTimeError:
        return None


def least_in_this_order(problem: Problem) -> tuple[tuple[int, ...], float] | None:
    """Per operator its location for the least sum of shares in the problem's own order, and that sum: a bound.

    None if a unit has several locations, or if too much is entangled.
    """
    if _has_units_of_several_locations(problem):
        return None
    nets = nets_of(_instance(problem, waits_for_calls=False))
    try:
        unit_of, total_us = sums.by_elimination(nets)
    except TooWideError:
        return None
    return nets.choice(unit_of)[1:-1], total_us * (1 - ROUNDING) + problem.fixed_us


def _has_units_of_several_locations(problem: Problem) -> bool:
    used = {location for locations in problem.locations_of for location in locations}
    return len({problem.unit_of_location[a] for a in used}) < len(used)


def bound_by_units(problem: Problem, value_us: float) -> float:
    """A quick bound over all orders, at most `value_us`: each unit that is used pays one call at least.

    For each set of units, what it takes without calls and the calls of the set. A set that cannot be below `value_us`
    with what all units together take is passed over.
    """
    instance = _instance(replace(problem, call_us=(0.0,) * len(problem.call_us)), waits_for_calls=False)
    used = sorted({problem.unit_of_location[a] for locations in problem.locations_of for a in locations})
    try:
        whole_us = _without_calls_us(problem, instance, used)
        bounds = [value_us]
        for count in range(1, len(used) + 1):
            for units in combinations(used, count):
                calls_us = problem.fixed_us + sum(problem.call_us[u] for u in units)
                if whole_us + calls_us < value_us:
                    bounds.append(_without_calls_us(problem, instance, units) + calls_us)
    except TooWideError:
        return 0.0
    return min(bounds) * (1 - ROUNDING)


def _without_calls_us(problem: Problem, instance: Instance, units: Sequence[int]) -> float:
    """The least sum on these units alone; infinite if some operator runs on none of them."""
    places = [problem.unit_of_location[a] in units for a in range(len(problem.unit_of_location))]
    operators = tuple(
        replace(o, times=tuple(us if there else inf for us, there in zip(o.times, (*places, True), strict=True)))
        for o in instance.operators
    )
    if any(min(operator.times) == inf for operator in operators):
        return inf
    return sums.by_elimination(nets_of(replace(instance, operators=operators)))[1]


def shortest_in_any_order(problem: Problem, limits: Limits) -> Relaxed:
    """The shortest schedule of units side by side, without shared memory; links carry one tensor after another."""
    if len(set(problem.unit_of_location)) < len(problem.unit_of_location):
        return _read(problem, makespan.solve(_instance(problem, waits_for_calls=True), limits))
    instance = _instance(problem, waits_for_calls=False)
    return _read(problem, makespan.solve(replace(instance, links=_links(problem)), limits))


def _links(problem: Problem) -> tuple[Link, ...]:
    """One for each way from a unit to another; the place of inputs and outputs is the host's unit."""
    places = [*range(len(problem.unit_of_location)), problem.host]
    pairs: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for a, source in enumerate(places):
        for b, target in enumerate(places):
            if source != target:
                pairs.setdefault((source, target), []).append((a, b))
    return tuple(Link(f"{source}->{target}", tuple(found)) for (source, target), found in pairs.items())


def _read(problem: Problem, outcome: Outcome) -> Relaxed:
    inner = range(1, problem.operators + 1)
    return Relaxed(
        order=as_data_flows(problem, [i - 1 for i in outcome.order if i in inner]),
        location_of=tuple(outcome.choice[i] for i in inner),
        bound_us=outcome.bound * (1 - ROUNDING) + problem.fixed_us,
    )


def as_data_flows(problem: Problem, order: Sequence[int]) -> tuple[int, ...]:
    """The order, mended where a reader stands before what it reads: operators without time may start together."""
    rank = {i: place for place, i in enumerate(order)}
    readers: dict[int, set[int]] = {i: set() for i in order}
    waiting = dict.fromkeys(order, 0)
    for tensor in problem.tensors:
        for reader in tensor.consumers:
            if HOST not in (tensor.producer, reader) and reader not in readers[tensor.producer]:
                readers[tensor.producer].add(reader)
                waiting[reader] += 1
    ready = [rank[i] for i, count in waiting.items() if not count]
    heapq.heapify(ready)
    found: list[int] = []
    while ready:
        found.append(order[heapq.heappop(ready)])
        for reader in readers[found[-1]]:
            waiting[reader] -= 1
            if not waiting[reader]:
                heapq.heappush(ready, rank[reader])
    return tuple(found)


def _instance(problem: Problem, *, waits_for_calls: bool) -> Instance:
    """Units are locations, and last the host, on which a first operator gives the inputs and a last takes the outputs.

    With `waits_for_calls` no call is paid; but what crosses to a unit, or begins there, waits for a call of that unit:
    a segment's call comes after all that the segment reads from elsewhere. The engine for makespans knows that calls
    keep a unit busy too, if a unit is one location only.
    """
    calls = [problem.call_us[u] for u in problem.unit_of_location]
    host = len(calls)
    units = tuple(Unit(str(a), call=0.0 if waits_for_calls else call) for a, call in enumerate(calls))
    here = (*(inf for _ in calls), 0.0)
    shares = shares_us(problem)
    operators = (
        Operator("inputs", here),
        *(Operator(str(i), (*(row.get(a, inf) for a in range(host)), inf)) for i, row in enumerate(shares)),
        Operator("outputs", here),
    )
    waits = calls if waits_for_calls else [0.0] * host
    known: dict[int, Table] = {}

    def moves(table: Table) -> Table:
        if id(table) not in known:
            known[id(table)] = _moves(problem, table, waits)
        return known[id(table)]

    tensors: list[Tensor] = []
    read: set[int] = set()
    written: set[int] = set()
    for tensor in problem.tensors:
        readers = tuple(i + 1 for i in tensor.consumers if i != HOST)
        if HOST in tensor.consumers and not any(problem.host in problem.locations_of[i - 1] for i in readers):
            readers = (*readers, problem.operators + 1)
        made = 0 if tensor.producer == HOST else tensor.producer + 1
        tensors.append(Tensor(made, readers, move=moves(tensor.transfer_us)))
        read.update(readers)
        if any(i <= problem.operators for i in readers):
            written.add(made)
    inner = range(1, problem.operators + 1)
    begins = tuple(i for i in inner if i not in read)
    if begins:
        first = (*((0.0,) * (host + 1) for _ in range(host)), (*waits, 0.0))
        tensors.append(Tensor(0, begins, move=first))
    tensors += [Tensor(i, (problem.operators + 1,)) for i in inner if i not in written]
    found = tuple(tensor for tensor in tensors if tensor.consumers)
    return Instance("relaxed", "us", (*units, Unit("host")), operators, found)


def _moves(problem: Problem, table: Table, waits: list[float]) -> Table:
    """A tensor's table with the host as a further place, and the wait for a call on every way between units."""
    unit_of, host = problem.unit_of_location, problem.host

    def way_us(a: int, b: int) -> float:
        return table[a][b] + (waits[b] if unit_of[a] != unit_of[b] else 0.0)

    places = range(len(waits))
    rows = [(*(way_us(a, b) for b in places), table[a][host]) for a in places]
    return (*rows, (*(table[host][b] + waits[b] for b in places), 0.0))


def shares_us(problem: Problem) -> list[dict[int, float]]:
    """Per operator and location a time, such that those of a candidate's operators are never more than it takes."""
    found: list[dict[int, float]] = [{} for _ in range(problem.operators)]
    fused: list[tuple[float, int]] = []
    for candidate in problem.candidates:
        if len(candidate.operators) == 1:
            row = found[candidate.operators[0]]
            row[candidate.location] = min(row.get(candidate.location, inf), candidate.cost_us)
    for c, candidate in enumerate(problem.candidates):
        for i in candidate.operators:
            found[i].setdefault(candidate.location, candidate.cost_us)
        if len(candidate.operators) > 1:
            saved_us = sum(found[i][candidate.location] for i in candidate.operators) - candidate.cost_us
            fused.append((-saved_us, c))
    for _, c in sorted(fused):
        candidate = problem.candidates[c]
        total_us = sum(found[i][candidate.location] for i in candidate.operators)
        if total_us > candidate.cost_us:
            for i in candidate.operators:
                found[i][candidate.location] *= candidate.cost_us / total_us
    return found
