"""Bounds over all orders, and plans in the orders that their engines find."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings

from partita.devices import load_soc
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.partitioner import Wishes, partition
from partita.partitioner.any_order import (
    Relaxed,
    as_data_flows,
    bound_by_units,
    busiest,
    excursions,
    least_in_any_order,
    shares_us,
    shortest_in_any_order,
)
from partita.partitioner.brute_force import solve_by_brute_force
from partita.partitioner.candidates import formulate
from partita.partitioner.engines.outcome import Limits
from partita.partitioner.problem import HOST, Candidate, Problem, Tensor, evaluate, reordered
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.simulator.run import simulate
from tests.partitioner.graphs import graphs
from tests.partitioner.problems import choices, problems

SOC = load_soc("sd855-tflite")
LIMITS = Limits(gap=1e-4, time_s=20.0)
SPAN_ROUNDING_US = 1e-3
"""The simulator's clock counts whole nanoseconds, so each span is off by at most this."""


def closed(problem: Problem) -> Problem:
    """Without the fusions that hide a tensor from its readers, which no match does."""

    def is_closed(operators: tuple[int, ...]) -> bool:
        hidden = {*operators[:-1]}
        return all(set(t.consumers) <= set(operators) for t in problem.tensors if t.producer in hidden)

    return replace(problem, candidates=tuple(c for c in problem.candidates if is_closed(c.operators)))


def orders(problem: Problem) -> Iterator[tuple[int, ...]]:
    edges = [(t.producer, c) for t in problem.tensors for c in t.consumers if HOST not in (t.producer, c)]
    for order in itertools.permutations(range(problem.operators)):
        place = {i: k for k, i in enumerate(order)}
        if all(place[a] < place[b] for a, b in edges):
            yield order


def least_us(problem: Problem) -> float:
    return min(solve_by_brute_force(reordered(problem, order))[1] for order in orders(problem))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problems(most_operators=4))
def test_no_choice_in_any_order_is_below_the_bounds(problem: Problem) -> None:
    problem = closed(problem)
    best_us = least_us(problem)
    assert bound_by_units(problem, best_us + 3.0) <= best_us + 1e-9
    relaxed = least_in_any_order(problem, LIMITS)
    if relaxed is not None:
        assert relaxed.bound_us <= best_us + 1e-9


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problems(most_operators=4))
def test_without_fusions_the_bound_is_reached_in_the_order_found(problem: Problem) -> None:
    outputs_stay = all(HOST not in t.consumers or len(t.consumers) == 1 for t in problem.tensors)
    assume(outputs_stay)
    problem = replace(problem, candidates=tuple(c for c in problem.candidates if len(c.operators) == 1))
    relaxed = least_in_any_order(problem, LIMITS)
    assume(relaxed is not None)
    assert relaxed is not None
    assert relaxed.bound_us == pytest.approx(least_us(problem))
    assert solve_by_brute_force(reordered(problem, relaxed.order))[1] == pytest.approx(relaxed.bound_us)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(problems(most_operators=6))
def test_shares_are_never_more_than_a_kernel_takes(problem: Problem) -> None:
    shares = shares_us(problem)
    for c in problem.candidates:
        assert sum(shares[i][c.location] for i in c.operators) <= c.cost_us + 1e-9


@settings(max_examples=8, deadline=None, derandomize=True)
@given(graphs(most_operators=5))
def test_no_placement_ends_before_the_bound_of_units_side_by_side(graph: Graph) -> None:
    graph = prepare(graph)
    assume(0 < len(graph.nodes) <= 6)
    problem = formulate(graph, SOC, find_matches(graph)).problem
    bound_us = shortest_in_any_order(problem, Limits(gap=1e-2, time_s=0.3)).bound_us
    timeline = simulate(partition(graph, SOC, find_matches(graph)), SOC, overlap=True)
    assert bound_us <= timeline.latency_us + SPAN_ROUNDING_US * len(timeline.spans)
    assert bound_us <= min(evaluate(problem, chosen).total_us for chosen in choices(problem)) + 1e-6


def alternating() -> Graph:
    """Two branches of a GPU operator and one that the GPU refuses, written one branch after the other."""
    rng = np.random.default_rng(0)
    b = GraphBuilder("alternating")
    x = b.input("x", "float32", (1, 64, 56, 56))
    ends = []
    for name in ("a", "b"):
        weights = b.constant(f"{name}.w", rng.normal(size=(64, 64, 3, 3)).astype(np.float32))
        conv = b.node("Conv", x, weights, name=f"{name}.conv", pads=(1, 1, 1, 1))
        ends.append(b.node("Erf", conv, name=f"{name}.erf"))
    b.output(b.node("Add", *ends, name="sum"))
    return prepare(b.build())


def test_a_plan_says_how_good_it_is_over_all_orders() -> None:
    graph = alternating()
    plan = partition(graph, SOC, find_matches(graph))
    assert plan.proof.any_order is not None
    assert plan.proof.any_order <= plan.latency_us + 1e-6
    pinned = partition(graph, SOC, find_matches(graph), Wishes(max_segments=()))
    assert pinned.proof.any_order == plan.proof.any_order


def test_when_time_is_up_before_anything_is_found_there_is_no_bound_and_no_error() -> None:
    pairs = list(itertools.combinations(range(40), 2))
    tangled = Problem(
        operators=40, unit_of_location=(0, 1, 2), host=0, call_us=(1.0, 1.0, 1.0), fixed_us=0.0,
        candidates=tuple(Candidate((i,), a, 1.0 + (i + a) % 3) for i in range(40) for a in range(3)),
        tensors=tuple(Tensor(i, (j,), ((0.0, 1.0, 2.0), (1.0, 0.0, 2.0), (2.0, 1.0, 0.0))) for i, j in pairs),
    )  # fmt: skip
    assert least_in_any_order(tangled, Limits(gap=0.0, time_s=0.0)) is None


def test_a_simple_rule_that_is_proven_the_best_needs_no_program() -> None:
    b = GraphBuilder("small")
    b.output(b.node("Relu", b.input("x", "float32", (1, 8)), name="y"))
    graph = prepare(b.build())
    plan = partition(graph, SOC, find_matches(graph))
    assert plan.proof.solver.startswith("elimination")
    assert plan.proof.status == "optimal"
    assert plan.proof.bound == plan.proof.value == plan.proof.any_order


@settings(max_examples=40, deadline=None, derandomize=True)
@given(problems(most_operators=6))
def test_an_order_that_an_engine_found_runs_what_is_read_before_its_reader(problem: Problem) -> None:
    timeless = replace(problem, candidates=tuple(replace(c, cost_us=0.0) for c in closed(problem).candidates))
    order = shortest_in_any_order(timeless, LIMITS).order
    place = {i: k for k, i in enumerate(order)}
    assert sorted(order) == list(range(problem.operators))
    assert all(
        place[t.producer] < place[c] for t in timeless.tensors for c in t.consumers if HOST not in (t.producer, c)
    )


def test_an_order_is_mended_no_more_than_it_must() -> None:
    chain = Problem(
        operators=4, unit_of_location=(0,), host=0, call_us=(0.0,), fixed_us=0.0,
        candidates=tuple(Candidate((i,), 0, 1.0) for i in range(4)),
        tensors=(Tensor(0, (2,), ((0.0,),)), Tensor(1, (3,), ((0.0,),))),
    )  # fmt: skip
    assert as_data_flows(chain, (2, 1, 0, 3)) == (1, 0, 2, 3)
    assert as_data_flows(chain, (1, 3, 0, 2)) == (1, 3, 0, 2)


def test_excursions_are_what_tensors_join_away_from_the_busiest_location() -> None:
    """Six operators in a row at 0 0 1 1 0 1, and one more at 1 beside them that reads the third."""
    singles = [Candidate((i,), a, 1.0) for i in range(7) for a in (0, 1)]
    table = ((0.0, 1.0), (1.0, 0.0))
    edges = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (2, 6)]
    row = Problem(7, (0, 1), 0, (1.0, 1.0), 0.0, tuple(singles), tuple(Tensor(a, (b,), table) for a, b in edges))
    found = Relaxed(order=tuple(range(7)), location_of=(0, 0, 1, 1, 0, 1, 1), bound_us=0.0)
    assert excursions(row, replace(found, location_of=(0, 0, 1, 1, 0, 1, 0))) == [[2, 3], [5]]
    assert excursions(row, replace(found, location_of=(0, 0, 1, 0, 0, 1, 1))) == [[2, 6], [5]]
    assert busiest(found) == 1
