"""Every constraint against trying every placement."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.partitioner.constraints import (
    Constraint,
    Deadline,
    Forbidden,
    LeastSegment,
    MemoryLimit,
    MostSegments,
    NoiseBudget,
    Together,
    is_kept,
    noise_of_snr,
)
from partita.partitioner.ilp import InfeasibleError
from partita.partitioner.memory import peak_bytes, weights_bytes
from partita.partitioner.objectives import Objective, Search, minimise
from partita.partitioner.problem import Candidate, Problem, Tensor
from tests.partitioner.problems import choices, full_problems

KINDS = ("deadline", "noise", "segments", "segments of a unit", "least segment", "memory", "together", "forbidden")


@st.composite
def constraints(draw: st.DrawFn, problem: Problem, kind: str) -> Constraint:
    unit = draw(st.integers(0, len(problem.call_us) - 1))
    if kind == "deadline":
        return Deadline("deadline", draw(st.integers(2, 60)))
    if kind == "noise":
        return NoiseBudget("noise", draw(st.integers(0, 6)) / 1000)
    if kind == "segments":
        return MostSegments("segments", draw(st.integers(1, 3)))
    if kind == "segments of a unit":
        return MostSegments("segments", draw(st.integers(0, 2)), unit)
    if kind == "least segment":
        return LeastSegment("least", unit, draw(st.integers(1, 4)))
    if kind == "memory":
        return MemoryLimit("memory", draw(st.integers(0, 40)), unit)
    if kind == "together":
        return Together("together", tuple(sorted(draw(st.sets(st.integers(0, problem.operators - 1), min_size=1)))))
    some = st.sets(st.integers(0, len(problem.candidates) - 1), max_size=3)
    return Forbidden("forbidden", tuple(sorted(draw(some))))


def check(problem: Problem, objective: Objective, kept: Sequence[Constraint]) -> None:
    values = [
        objective.value(problem, chosen)
        for chosen in choices(problem)
        if all(is_kept(c, problem, chosen) for c in kept)
    ]
    search = Search(gap=0.0, constraints=tuple(kept))
    if not values:
        with pytest.raises(InfeasibleError):
            minimise(problem, objective, search)
        return
    found = minimise(problem, objective, search)
    assert all(is_kept(c, problem, found.chosen) for c in kept)
    assert found.objective_us == pytest.approx(min(values), rel=1e-6, abs=1e-6)
    assert found.bound_us == pytest.approx(found.objective_us, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data(), problem=full_problems())
def test_no_placement_that_keeps_a_constraint_is_better(kind: str, data: st.DataObject, problem: Problem) -> None:
    check(problem, Objective("latency"), [data.draw(constraints(problem, kind))])


@pytest.mark.parametrize("name", ["energy", "throughput", "edp"])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data(), problem=full_problems())
def test_constraints_hold_under_every_objective_and_together(name: str, data: st.DataObject, problem: Problem) -> None:
    kinds = data.draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=3, unique=True))
    check(problem, Objective(name), [data.draw(constraints(problem, kind)) for kind in kinds])


def test_weights_that_two_kernels_read_are_held_once_per_location() -> None:
    candidates = tuple(Candidate((i,), a, 1.0, weights=(0,)) for i in range(2) for a in range(2))
    problem = Problem(2, (0, 1), 0, (0.0, 0.0), 0.0, candidates, (), weight_bytes=((100, 50),))
    assert weights_bytes(problem, (0, 2)) == (100, 0)
    assert weights_bytes(problem, (1, 3)) == (0, 50)
    assert weights_bytes(problem, (0, 3)) == (100, 50)


def test_a_tensor_takes_no_memory_after_its_last_reader() -> None:
    candidates = tuple(Candidate((i,), 0, 1.0) for i in range(3))
    tensors = tuple(Tensor(i, (i + 1,), ((0.0,),), size_bytes=(10 * 2**i,)) for i in range(2))
    problem = Problem(3, (0,), 0, (0.0,), 0.0, candidates, tensors)
    assert peak_bytes(problem, (0, 1, 2)) == (30,)


def test_a_tensor_inside_a_fused_kernel_takes_no_memory() -> None:
    candidates = (Candidate((0,), 0, 1.0), Candidate((1,), 0, 1.0), Candidate((0, 1), 0, 1.0))
    problem = Problem(2, (0,), 0, (0.0,), 0.0, candidates, (Tensor(0, (1,), ((0.0,),), size_bytes=(10,)),))
    assert peak_bytes(problem, (0, 1)) == (10,)
    assert peak_bytes(problem, (2,)) == (0,)


def test_noise_powers_follow_from_decibels() -> None:
    assert noise_of_snr(30.0) == pytest.approx(1e-3)
