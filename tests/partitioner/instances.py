"""Random small instances, and all their placements tried."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from math import inf

from hypothesis import strategies as st

from partita.partitioner.instance import Instance, Operator, Tensor, Unit

TIMES = st.integers(0, 24).map(lambda quarter: quarter / 4)


@st.composite
def instances(
    draw: st.DrawFn,
    *,
    most_operators: int = 6,
    calls: bool = False,
    groups: bool = True,
    memory: bool = False,
    callers: bool = False,
) -> Instance:
    """Operators 0..n-1 in order, tensors to later operators, units that refuse some operators, groups of two."""
    n, units = draw(st.integers(1, most_operators)), draw(st.integers(1, 3))
    sides = st.tuples(*[TIMES] * units)
    held = tuple(
        Unit(
            f"u{u}",
            memory=draw(st.sampled_from([3.0, 6.0, inf])) if memory and u else inf,
            call=draw(TIMES) if calls else 0.0,
            subgraphs=1 if callers and u else None,
        )
        for u in range(units)
    )
    together = draw(st.sets(st.integers(0, n - 1), max_size=2)) if groups else set()
    operators = []
    for i in range(n):
        times = [draw(TIMES), *(inf if draw(st.integers(0, 5)) == 0 else draw(TIMES) for _ in range(units - 1))]
        operators.append(Operator(f"o{i}", tuple(times), draw(st.sampled_from([0.0, 1.0, 2.0])), _group(i, together)))
    tensors = []
    for producer in range(n - 1):
        consumers = draw(st.sets(st.integers(producer + 1, n - 1), max_size=3))
        if consumers:
            move = tuple(draw(sides) for _ in range(units)) if draw(st.booleans()) else ()
            tensors.append(Tensor(producer, tuple(sorted(consumers)), draw(sides), draw(sides), move))
    return Instance("random", "us", held, tuple(operators), tuple(tensors))


def _group(operator: int, together: set[int]) -> str | None:
    return "pair" if operator in together else None


def choices(instance: Instance) -> Iterator[tuple[int, ...]]:
    """Every choice of units that every operator supports and that keeps groups and memory."""
    units = range(len(instance.units))
    for choice in itertools.product(units, repeat=len(instance.operators)):
        runs = all(instance.times[i, u] < inf for i, u in enumerate(choice))
        joined = all(len({choice[i] for i in members}) == 1 for members in instance.groups)
        held = [sum(o.memory for o, u in zip(instance.operators, choice, strict=True) if u == unit) for unit in units]
        if runs and joined and all(h <= u.memory for h, u in zip(held, instance.units, strict=True)):
            yield choice


def total(instance: Instance, choice: tuple[int, ...]) -> float:
    """Operators, every tensor once per unit that reads it, and a call for each run along the order."""
    found = sum(float(instance.times[i, u]) for i, u in enumerate(choice))
    for number, tensor in enumerate(instance.tensors):
        source = choice[tensor.producer]
        found += sum(float(instance.moves[number][source, u]) for u in {choice[c] for c in tensor.consumers})
    before = -1
    for i in instance.order:
        if choice[i] != before:
            found += instance.units[choice[i]].call
        before = choice[i]
    return found


def largest_load(instance: Instance, choice: tuple[int, ...]) -> float:
    """The load of the unit that has most to do: `send` once per tensor, the rest per receiver."""
    loads = [0.0] * len(instance.units)
    for i, unit in enumerate(choice):
        loads[unit] += float(instance.times[i, unit])
    for number, tensor in enumerate(instance.tensors):
        source = choice[tensor.producer]
        targets = {choice[c] for c in tensor.consumers} - {source}
        send = tensor.send[source] if tensor.send else 0.0
        if targets:
            loads[source] += send
        for target in targets:
            loads[target] += float(instance.moves[number][source, target]) - send
    return max(loads)


def makespan(instance: Instance, choice: tuple[int, ...]) -> float:
    """The shortest schedule of a choice: every order of the operators tried.

    An operator that reads from elsewhere what arrived after its unit's last call began waits for a call.
    """
    best = inf
    producers: list[list[tuple[int, int]]] = [[] for _ in choice]
    for producer, consumer, tensor in instance.edges:
        producers[consumer].append((producer, tensor))
    for order in itertools.permutations(range(len(choice))):
        ends: dict[int, float] = {}
        free = [0.0] * len(instance.units)
        called = [-inf] * len(instance.units)
        for i in order:
            if any(p not in ends for p, _ in producers[i]):
                break
            unit = choice[i]
            arrivals = [ends[p] + float(instance.moves[t][choice[p], unit]) for p, t in producers[i]]
            ready = max([free[unit], *arrivals])
            elsewhere = [a for a, (p, _) in zip(arrivals, producers[i], strict=True) if choice[p] != unit]
            if any(arrival > called[unit] for arrival in elsewhere):
                called[unit] = ready
                ready += instance.units[unit].call
            ends[i] = free[unit] = ready + float(instance.times[i, unit])
        else:
            best = min(best, max(ends.values()))
    return best


def shuffled(instance: Instance, chance: random.Random) -> Instance:
    """The same problem with its operators and tensors in another order."""
    order = list(range(len(instance.operators)))
    chance.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    return replace(
        instance,
        operators=tuple(instance.operators[old] for old in order),
        tensors=tuple(
            replace(t, producer=place[t.producer], consumers=tuple(sorted(place[c] for c in t.consumers)))
            for t in reversed(instance.tensors)
        ),
    )
