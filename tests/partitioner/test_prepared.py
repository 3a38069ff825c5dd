"""Problems solved again with a few numbers changed: as if they were solved anew."""

import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import ProblemError
from partita.partitioner.engines.outcome import Limits
from partita.partitioner.engines.prepared import Changes, Prepared
from partita.partitioner.engines.solve import solve
from partita.partitioner.instance import Instance, Operator, Tensor, Unit
from tests.partitioner.instances import instances, total

NEAR = pytest.approx


def changed(instance: Instance, chance: random.Random) -> tuple[Changes, Instance]:
    """One time, one call and, if there is a tensor, one move drawn anew; and the instance with them."""
    units = range(len(instance.units))
    i, u = chance.randrange(len(instance.operators)), chance.choice(units)
    times = {(i, u): chance.uniform(0, 9)} if instance.times[i, u] < inf else {}
    called, moves = chance.choice(units), {}
    tensors = list(instance.tensors)
    if tensors and len(units) > 1:
        number, (a, b) = chance.randrange(len(tensors)), chance.sample(units, 2)
        moves[number, a, b] = chance.uniform(0, 9)
        table = instance.moves[number].copy()
        table[a, b] = moves[number, a, b]
        tensors[number] = replace(tensors[number], send=(), receive=(), move=tuple(map(tuple, table.tolist())))
    calls = {called: chance.uniform(0, 9)}
    operators = list(instance.operators)
    for (operator, unit), time in times.items():
        row = list(operators[operator].times)
        row[unit] = time
        operators[operator] = replace(operators[operator], times=tuple(row))
    held = tuple(replace(unit, call=calls.get(n, unit.call)) for n, unit in enumerate(instance.units))
    new = replace(instance, units=held, operators=tuple(operators), tensors=tuple(tensors))
    return Changes(times, moves, calls), new


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances(calls=True, most_operators=10), st.randoms(use_true_random=False))
def test_a_prepared_problem_is_solved_as_if_anew(instance: Instance, chance: random.Random) -> None:
    prepared = Prepared(instance)
    assert prepared.solve().objective == NEAR(solve(instance, "sum", Limits()).objective)
    for _ in range(3):
        changes, instance = changed(instance, chance)
        found = prepared.solve(changes)
        assert found.objective == NEAR(solve(instance, "sum", Limits()).objective)
        assert total(instance, found.choice) == NEAR(found.objective)


def chain(count: int) -> Instance:
    operators = tuple(Operator(str(i), (1.0 + i % 3, 2.0)) for i in range(count))
    tensors = tuple(Tensor(i, (i + 1,), (0.5, 0.5), (0.5, 0.5)) for i in range(count - 1))
    return Instance("chain", "us", (Unit("a"), Unit("b")), operators, tensors)


def test_one_changed_number_renews_few_tables() -> None:
    prepared = Prepared(chain(300))
    assert prepared.solve().log == ("300 of 300 tables renewed",)
    assert prepared.solve().log == ("0 of 300 tables renewed",)
    renewed = int(prepared.solve(Changes(times={(40, 0): 1.5})).log[0].split()[0])
    assert 1 <= renewed < 30


def test_what_cannot_be_prepared_is_an_error() -> None:
    instance = chain(3)
    with pytest.raises(ProblemError, match="memory limits"):
        Prepared(replace(instance, units=(Unit("a", memory=1.0), Unit("b"))))
    with pytest.raises(ProblemError, match="what a unit can run"):
        Prepared(instance).solve(Changes(times={(0, 1): inf}))
