"""The ILP against trying everything."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings

from partita.errors import PlacementError
from partita.partitioner.brute_force import solve_by_brute_force
from partita.partitioner.ilp import solve
from partita.partitioner.problem import Candidate, Problem, evaluate
from partita.partitioner.sweep import solve_by_sweep
from tests.partitioner.problems import problems


@settings(max_examples=250, deadline=None, derandomize=True)
@given(problems())
def test_the_ilp_is_as_good_as_trying_every_placement(problem: Problem) -> None:
    _, best_us = solve_by_brute_force(problem)
    solution = solve(problem, gap=0.0)
    assert solution.objective_us == pytest.approx(best_us, abs=1e-6)
    assert solution.bound_us == pytest.approx(best_us, abs=1e-4)
    assert evaluate(problem, solution.chosen).total_us == pytest.approx(solution.objective_us)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems())
def test_a_start_changes_nothing_but_the_way_there(problem: Problem) -> None:
    chosen, best_us = solve_by_brute_force(problem)
    assert solve(problem, start=chosen, gap=0.0).objective_us == pytest.approx(best_us, abs=1e-6)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(problems())
def test_the_sweep_is_as_good_as_trying_every_placement(problem: Problem) -> None:
    _, best_us = solve_by_brute_force(problem)
    chosen, sweep_us = solve_by_sweep(problem)
    assert sweep_us == pytest.approx(best_us, abs=1e-6)
    assert evaluate(problem, chosen).total_us == pytest.approx(sweep_us)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problems(most_operators=13))
def test_two_exact_solvers_that_share_nothing_agree(problem: Problem) -> None:
    assert solve(problem, gap=0.0).objective_us == pytest.approx(solve_by_sweep(problem)[1], abs=1e-6)


@pytest.mark.parametrize("solver", [solve, solve_by_sweep, solve_by_brute_force])
def test_an_operator_that_nothing_covers_is_an_error(solver: Callable[[Problem], object]) -> None:
    problem = Problem(2, (0,), 0, (0.0,), 0.0, (Candidate((0,), 0, 1.0),), ())
    with pytest.raises(PlacementError, match="no choice of kernels covers every operator"):
        solver(problem)
