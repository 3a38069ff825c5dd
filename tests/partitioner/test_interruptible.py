"""A search that nobody waits for any more ends."""

import numpy as np
import pytest

from partita.partitioner.program import Program, interruptible


def hard() -> Program:
    """Forty knapsacks over sixty things: seconds of branching."""
    random = np.random.default_rng(0)
    program = Program()
    things = [program.variable(-float(random.integers(10, 100)), whole=True) for _ in range(60)]
    for _ in range(40):
        weights = [float(weight) for weight in random.integers(5, 100, len(things))]
        program.row(things, weights, high=sum(weights) / 3)
    return program


def test_a_search_ends_soon_after_it_is_told_to() -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    with interruptible(stop):
        answer = hard().solve(gap=0.0)
    assert asked > 3
    assert not answer.is_infeasible
    assert answer.bound < answer.objective, "it did not come to its end"


def test_a_search_that_is_not_told_to_end_finds_the_best() -> None:
    program = Program()
    things = [program.variable(-cost, whole=True) for cost in (3.0, 2.0, 2.0)]
    program.row(things, [2.0, 1.0, 1.0], high=2.0)
    with interruptible(lambda: False):
        assert program.solve().objective == pytest.approx(-4.0)
    assert program.solve().objective == pytest.approx(-4.0)
