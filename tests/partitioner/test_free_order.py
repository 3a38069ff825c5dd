"""Calls when the order is free: against every order and every placement tried."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.partitioner.engines import call_blocks, free_order
from partita.partitioner.engines.nets import nets_of
from partita.partitioner.engines.outcome import Limits, Outcome
from partita.partitioner.engines.separators import comparable
from partita.partitioner.engines.solve import solve
from partita.partitioner.instance import Instance, Operator, Tensor, Unit
from tests.partitioner.instances import choices, instances, shuffled, total

NEAR = pytest.approx
EXACT = Limits(gap=0.0, time_s=20.0)


def free(instance: Instance, limits: Limits = EXACT) -> Outcome:
    return solve(instance, "sum", limits, order_is_free=True)


def orders(instance: Instance) -> Iterator[tuple[int, ...]]:
    """Every topological order."""
    for order in itertools.permutations(range(len(instance.operators))):
        place = {i: position for position, i in enumerate(order)}
        if all(place[producer] < place[consumer] for producer, consumer, _ in instance.edges):
            yield order


def runs(instance: Instance, units: list[int]) -> float:
    return sum(instance.units[unit].call for unit, _ in itertools.groupby(units))


def least(instance: Instance) -> float:
    """Every order and every placement tried."""
    silent = replace(instance, units=tuple(replace(unit, call=0.0) for unit in instance.units))
    every = list(orders(instance))
    return min(
        total(silent, choice) + min(runs(instance, [choice[i] for i in order]) for order in every)
        for choice in choices(instance)
    )


def check(instance: Instance, found: Outcome) -> None:
    """The objective is what the choice costs in the order told."""
    place = {i: position for position, i in enumerate(found.order)}
    assert sorted(place) == list(range(len(instance.operators)))
    assert all(place[producer] < place[consumer] for producer, consumer, _ in instance.edges)
    nets = nets_of(instance)
    unit_of = [found.choice[members[0]] for members in instance.groups]
    assert free_order.total_along(nets, unit_of, found.order) == NEAR(found.objective)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances(calls=True, most_operators=5))
def test_no_order_and_no_placement_costs_less(instance: Instance) -> None:
    found = free(instance)
    assert found.objective == NEAR(least(instance), abs=1e-9)
    assert found.bound == NEAR(found.objective)
    assert found.status == "optimal"
    if found.order:
        check(instance, found)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(instances(calls=True, most_operators=5, memory=True))
def test_with_memory_limits_the_bound_holds_and_the_limits_are_kept(instance: Instance) -> None:
    found = free(instance)
    best = least(instance)
    assert found.bound <= best + 1e-6
    assert found.objective >= best - 1e-6
    assert found.choice in set(choices(instance))


@settings(max_examples=12, deadline=None, derandomize=True)
@given(instances(calls=True, most_operators=8), st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_matter_when_it_is_free(instance: Instance, chance: random.Random) -> None:
    first, second = free(instance), free(shuffled(instance, chance))
    assert first.objective == NEAR(second.objective)
    assert first.objective <= solve(instance, "sum", EXACT).objective + 1e-9


def branches(count: int, length: int) -> Instance:
    """Branches side by side between one operator and another; every second operator is for unit b alone."""
    units = (Unit("a", call=1.0), Unit("b", call=10.0))
    rows = [(1.0, inf)] + [(1.0, inf) if step % 2 else (inf, 1.0) for _ in range(count) for step in range(length)]
    operators = tuple(Operator(str(i), row) for i, row in enumerate([*rows, (1.0, inf)]))
    last = len(rows)
    heads = [1 + b * length for b in range(count)]
    tensors = [Tensor(0, tuple(heads))]
    tensors += [Tensor(i, (last if i + 1 in heads else i + 1,)) for i in range(1, last)]
    return Instance("branches", "us", units, operators, tuple(tensors))


def test_runs_of_parallel_branches_are_drawn_together() -> None:
    instance = branches(3, 2)
    assert solve(instance, "sum", EXACT).objective == 8 + 3 * 10 + 4 * 1
    found = free(instance)
    assert found.objective == 8 + 10 + 2 * 1
    check(instance, found)


def test_a_block_with_too_many_orders_leaves_a_bound_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    instance = branches(4, 3)
    exact = free(instance)
    monkeypatch.setattr(call_blocks, "MOST_IDEALS", 20)
    found = free(instance)
    assert found.status == "stopped"
    assert found.bound <= exact.objective <= found.objective
    assert found.objective <= solve(instance, "sum", EXACT).objective
    assert any("too many orders" in line for line in found.log)
    check(instance, found)


def test_operators_comparable_with_every_other_are_found() -> None:
    assert comparable([[], [0], [0], [1, 2], [3]]) == [0, 3, 4]
    assert comparable([[], []]) == []
