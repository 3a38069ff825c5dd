"""Every objective against trying every placement."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from partita.errors import PlacementError
from partita.partitioner.loads import period_us
from partita.partitioner.objectives import Objective, Search, minimise, parse_objective
from partita.partitioner.problem import Problem, evaluate
from tests.partitioner.problems import choices, full_problems

OBJECTIVES = ("latency", "energy", "latency=1,energy=0.2", "energy=3", "throughput", "edp")


@pytest.mark.parametrize("text", OBJECTIVES)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(problem=full_problems())
def test_no_placement_is_better_than_the_one_found(text: str, problem: Problem) -> None:
    objective = parse_objective(text)
    best = min(objective.value(problem, chosen) for chosen in choices(problem))
    found = minimise(problem, objective, Search(gap=0.0))
    assert found.objective_us == pytest.approx(best, rel=1e-6, abs=1e-6)
    assert objective.value(problem, found.chosen) == pytest.approx(found.objective_us)
    assert best * (1 - 1e-5) - 1e-5 <= found.bound_us <= found.objective_us
    assert found.status == "optimal"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(problem=full_problems())
def test_of_equally_frequent_frames_a_placement_within_2_percent_of_the_quickest_is_taken(problem: Problem) -> None:
    found = minimise(problem, Objective("throughput"), Search(gap=0.0))
    equal = [c for c in choices(problem) if period_us(problem, c) <= found.objective_us + 1e-9]
    least_us = min(evaluate(problem, c).total_us for c in equal)
    assert evaluate(problem, found.chosen).total_us <= least_us * 1.02 + 1e-5


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problem=full_problems(most_operators=5))
def test_the_makespan_bound_holds_for_every_placement(problem: Problem) -> None:
    problem = replace(problem, candidates=tuple(c for c in problem.candidates if len(c.operators) == 1))

    def longest_chain_us(chosen: tuple[int, ...]) -> float:
        """A lower bound of every schedule of a choice: the longest chain without any waiting, or the largest load."""
        kernel_of = {i: c for c in chosen for i in problem.candidates[c].operators}
        ends: dict[int, float] = {}
        last_us = problem.fixed_us
        for c in sorted(chosen, key=lambda c: problem.candidates[c].operators[-1]):
            here = problem.candidates[c]
            ready_us = problem.fixed_us
            for tensor in problem.tensors:
                if set(here.operators) & set(tensor.consumers) and tensor.producer not in here.operators:
                    made_by = problem.candidates[kernel_of[tensor.producer]] if tensor.producer >= 0 else None
                    source = problem.host if made_by is None else made_by.location
                    before_us = problem.fixed_us if tensor.producer < 0 else ends.get(kernel_of[tensor.producer], 0.0)
                    ready_us = max(ready_us, before_us + tensor.transfer_us[source][here.location])
            ends[c] = ready_us + here.cost_us
            last_us = max(last_us, ends[c])
        for tensor in problem.tensors:
            if -1 in tensor.consumers and tensor.producer >= 0:
                c = kernel_of[tensor.producer]
                last_us = max(last_us, ends[c] + tensor.transfer_us[problem.candidates[c].location][problem.host])
        return last_us

    found = minimise(problem, Objective("makespan"), Search(gap=0.0, timed=lambda c: evaluate(problem, c).total_us))
    for chosen in choices(problem):
        assert found.bound_us <= max(longest_chain_us(chosen), problem.fixed_us + period_us(problem, chosen)) + 1e-5


@pytest.mark.parametrize(
    "text", ["speed", "", "latency=", "latency=-1", "latency=1,latency=2", "power=1", "energy=nan"]
)
def test_an_objective_that_is_not_known_is_an_error_that_names_the_known_ones(text: str) -> None:
    with pytest.raises(PlacementError, match="there is: latency, makespan, throughput, energy, edp, or weights"):
        parse_objective(text)


def test_weights_of_nothing_are_an_error() -> None:
    with pytest.raises(PlacementError, match="weighs nothing"):
        parse_objective("latency=0")
