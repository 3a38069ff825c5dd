"""Whole plans: the ILP, brute force, the evaluation and the simulator agree on real operators and costs."""

from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import assume, given, settings

from partita.devices import Soc, load_soc
from partita.errors import PlacementError, SocError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.partitioner import Rule, Wishes, partition
from partita.partitioner.brute_force import LARGEST, solve_by_brute_force
from partita.partitioner.candidates import formulate
from partita.partitioner.ilp import solve
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.simulator.run import simulate
from tests.partitioner.graphs import graphs

PRESETS = [load_soc(name) for name in ("sd8gen3-qnn", "sd855-tflite")]
SPAN_ROUNDING_US = 1e-3
"""The simulator's clock counts whole nanoseconds, so each span is off by at most this."""


def placed(graph: Graph, soc: Soc, **options: object) -> Plan:
    return partition(graph, soc, find_matches(graph), Wishes(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("soc", PRESETS, ids=lambda soc: soc.name)
@settings(max_examples=110, deadline=None, derandomize=True)
@given(graph=graphs())
def test_no_placement_of_real_operators_beats_the_ilp(soc: Soc, graph: Graph) -> None:
    graph = prepare(graph)
    assume(0 < len(graph.nodes) <= LARGEST)
    problem = formulate(graph, soc, find_matches(graph)).problem
    _, best_us = solve_by_brute_force(problem)
    assert solve(problem, gap=0.0).objective_us == pytest.approx(best_us, abs=1e-6)


@pytest.mark.parametrize("soc", PRESETS, ids=lambda soc: soc.name)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph=graphs(most_operators=16))
def test_the_objective_is_the_simulated_latency_when_nothing_contends(soc: Soc, graph: Graph) -> None:
    plan = placed(prepare(graph), soc)
    timeline = simulate(plan, soc)
    assert timeline.latency_us == pytest.approx(plan.latency_us, abs=SPAN_ROUNDING_US * len(timeline.spans))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graph=graphs(most_operators=16))
def test_plans_are_sound_and_no_worse_than_any_baseline(graph: Graph) -> None:
    graph = prepare(graph)
    plan = placed(graph, PRESETS[0])
    assert sorted(name for o in plan.operators for name in o.covers) == sorted(node.name for node in graph.nodes)
    assert [o.node for o in plan.operators] == [node.name for node in plan.graph.nodes]
    assert [name for segment in plan.segments for name in segment.operators] == [o.node for o in plan.operators]
    assert all(plan.latency_us <= baseline.latency_us + 1e-6 for baseline in plan.baselines)
    assert plan.proof.bound <= plan.latency_us + 1e-6
    assert plan.proof.gap <= 1e-4


@settings(max_examples=40, deadline=None, derandomize=True)
@given(graph=graphs(most_operators=16))
def test_segments_are_convex_so_that_none_waits_for_itself(graph: Graph) -> None:
    plan = placed(prepare(graph), PRESETS[1])
    quotient = nx.DiGraph()
    quotient.add_nodes_from(segment.index for segment in plan.segments)
    for node in plan.graph.nodes:
        for name in plan.graph.activations(node):
            producer = plan.graph.producer_of.get(name)
            if producer is not None and plan.placed[producer.name].segment != plan.placed[node.name].segment:
                quotient.add_edge(plan.placed[producer.name].segment, plan.placed[node.name].segment)
    assert nx.is_directed_acyclic_graph(quotient)
    assert all(a < b for a, b in quotient.edges)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(graph=graphs(most_operators=12))
def test_renaming_operators_does_not_change_the_optimum(graph: Graph) -> None:
    graph = prepare(graph)
    renamed = replace(
        graph, nodes=tuple(replace(n, name=f"q{len(graph.nodes) - i}") for i, n in enumerate(graph.nodes))
    )
    assert placed(renamed, PRESETS[0]).latency_us == pytest.approx(placed(graph, PRESETS[0]).latency_us)


def chain(*ops: str) -> Graph:
    b = GraphBuilder("chain")
    x = b.input("x", "float32", (1, 64, 56, 56))
    for op in ops:
        x = b.node(op, x, name=op.lower())
    b.output(x)
    return b.build()


def test_a_pinned_operator_runs_where_it_is_pinned() -> None:
    plan = placed(chain("Relu", "Sigmoid", "Tanh"), PRESETS[0], pins=(Rule("sigmoid", "gpu"),))
    assert plan.placed["sigmoid"].unit == "gpu"
    assert plan.options == {"pin": ("sigmoid=gpu",)}


def test_a_banned_operator_type_runs_elsewhere() -> None:
    free = placed(chain("Relu", "Sigmoid", "Tanh"), PRESETS[0])
    banned = placed(
        chain("Relu", "Sigmoid", "Tanh"),
        PRESETS[0],
        bans=(
            Rule("Sig*", "npu"),
            Rule("Sig*", "gpu"),
        ),
    )
    assert {o.unit for o in banned.operators if "sigmoid" in o.covers} == {"cpu"}
    assert banned.latency_us >= free.latency_us


def test_an_operator_without_a_unit_names_every_refusal() -> None:
    with pytest.raises(PlacementError, match=r"node 'sinh' \(Sinh\): .*cpu: ruled out by --ban Sinh=cpu.*npu: "):
        placed(chain("Sinh"), PRESETS[0], bans=(Rule("Sinh", "cpu"),))


def test_a_rule_for_a_missing_unit_lists_the_units() -> None:
    with pytest.raises(SocError, match="no unit 'tpu'"):
        placed(chain("Relu"), PRESETS[0], pins=(Rule("Relu", "tpu"),))


def test_a_refused_operator_says_why() -> None:
    plan = placed(chain("Relu", "Sinh", "Tanh"), PRESETS[0])
    refusal = next(r for r in plan.refusals if r.node == "sinh" and r.unit == "npu")
    assert refusal.verdict == "unsupported"
    assert refusal.reason
    assert refusal.source


def test_the_same_input_gives_the_same_plan() -> None:
    first, second = (placed(chain("Relu", "Sinh", "Tanh"), PRESETS[0]) for _ in range(2))
    assert first.operators == second.operators
    assert first.transfers == second.transfers


def test_a_tensor_read_twice_at_one_place_is_transferred_once() -> None:
    b = GraphBuilder("fan")
    x = b.node("Relu", b.input("x", "float32", (1, 64, 56, 56)), name="start")
    b.output(b.node("Add", b.node("Tanh", x, name="left"), b.node("Sigmoid", x, name="right"), name="meet"))
    plan = placed(
        b.build(),
        PRESETS[0],
        pins=(
            Rule("start", "cpu"),
            Rule("left", "npu"),
            Rule("right", "npu"),
        ),
    )
    assert len([t for t in plan.transfers if t.tensor == x]) == 1
