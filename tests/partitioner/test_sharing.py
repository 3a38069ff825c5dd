"""Operators that two units share: from the candidates to the outputs and the timeline."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import partita as pt
from partita.devices import Soc, load_soc
from partita.devices.number import Number
from partita.errors import PlacementError, PlanError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import fused_node
from partita.graph.onnx_export import to_model
from partita.graph.plan import Plan
from partita.graph.plan_check import flaw_of
from partita.graph.split import channels_of
from partita.kernels.executor import run
from partita.kernels.placed import execute
from partita.partitioner import OfUnit, Rule, Wishes, partition
from partita.partitioner.brute_force import solve_by_brute_force
from partita.partitioner.candidates import formulate
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.passes.random_feeds import random_feeds
from partita.simulator.run import simulate


def number(value: float) -> Number:
    return Number(value=value, kind="estimated", source="a test")


def near_units() -> Soc:
    """The Snapdragon 855 with calls, hand-overs and sharing for next to nothing."""
    soc = load_soc("sd855-tflite")
    assert soc.co_execution is not None
    cheap = {name: number(1.0) for name in ("transform_us", "map_us", "pre_sync_us", "post_sync_us", "slowdown")}
    rates = {name: number(1e4) for name in ("transform_gb_per_s", "map_gb_per_s")}
    co = soc.co_execution.model_copy(update=cheap | rates)
    units = tuple(unit.model_copy(update={"call_us": number(1.0)}) for unit in soc.units)
    links = tuple(link.model_copy(update={"sync_us": number(1.0)}) for link in soc.links)
    return soc.model_copy(update={"co_execution": co, "units": units, "links": links})


def convolutions() -> Graph:
    rng = np.random.default_rng(0)
    b = GraphBuilder("two")

    def weights(name: str, *shape: int) -> str:
        return b.constant(name, rng.normal(size=shape).astype(np.float32) / 20)

    x = b.input("x", "float32", (1, 32, 48, 48))
    first = b.node("Conv", x, weights("w", 44, 32, 3, 3), weights("c", 44), name="first", pads=(1, 1, 1, 1))
    relu = b.node("Relu", first, name="relu")
    second = b.node("Conv", relu, weights("v", 44, 44, 3, 3), name="second", pads=(1, 1, 1, 1))
    b.output(b.node("Add", second, relu, name="sum"))
    return prepare(b.build())


def placed(graph: Graph, soc: Soc, **options: object) -> Plan:
    return partition(graph, soc, find_matches(graph), Wishes(split=True, **options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return placed(convolutions(), near_units())


def test_sharing_is_chosen_where_it_pays_and_only_there(plan: Plan) -> None:
    graph, real = convolutions(), load_soc("sd855-tflite")
    alone = partition(graph, near_units(), find_matches(graph))
    assert plan.latency_us < alone.latency_us
    assert {o.kernel.split("+")[0] for o in plan.operators if o.shared is not None} == {"Conv"}
    assert all(o.shared is None for o in placed(graph, real).operators)  # waiting for the GPU takes half a millisecond
    assert flaw_of(plan) is None


def test_no_choice_of_shares_beats_the_integer_program() -> None:
    graph, soc = convolutions(), near_units()
    problem = formulate(graph, soc, find_matches(graph), Wishes(split=True)).problem
    assert placed(graph, soc).latency_us == pytest.approx(solve_by_brute_force(problem)[1], abs=1e-6)


def test_simpler_rules_share_nothing(plan: Plan) -> None:
    graph = convolutions()
    alone = partition(graph, near_units(), find_matches(graph))
    assert [(b.name, b.latency_us) for b in plan.baselines] == [(b.name, b.latency_us) for b in alone.baselines]


def test_the_simulator_shows_both_units_at_work_and_takes_as_long_as_the_plan_says(plan: Plan) -> None:
    shared = next(o for o in plan.operators if o.shared is not None)
    for overlap in (False, True):
        timeline = simulate(plan, near_units(), overlap=overlap)
        assert timeline.latency_us == pytest.approx(plan.latency_us, abs=0.05)
        halves = [s for s in timeline.spans if s.kind == "split" and s.name == shared.node]
        assert {s.track for s in halves} == {"gpu", "cpu"}
        assert len({s.start_ns for s in halves}) == 1


def test_both_halves_together_are_the_output_of_the_whole(plan: Plan) -> None:
    feeds = random_feeds(plan.graph)
    (name,) = plan.graph.outputs
    wanted = run(convolutions(), feeds)[name]
    np.testing.assert_allclose(execute(plan, feeds).outputs[name], wanted, atol=0.02)
    exact = tuple(replace(o, dtype="float32") for o in plan.operators)
    moves = tuple(
        replace(t, source=replace(t.source, dtype="float32"), target=replace(t.target, dtype="float32"))
        for t in plan.transfers
    )
    in_float32 = replace(plan, operators=exact, transfers=moves)
    for concurrent in (False, True):
        found = execute(in_float32, feeds, concurrent=concurrent).outputs[name]
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_plan_with_shared_operators_is_the_same_after_a_file(tmp_path: Path) -> None:
    model, file = tmp_path / "m.onnx", tmp_path / "m.plan.json"
    model.write_bytes(to_model(convolutions()).SerializeToString())
    soc = near_units()
    plan = pt.partition(pt.load(model), soc, split=True)
    pt.save_plan(plan, file)
    again = pt.load_plan(file)
    assert again.operators == plan.operators
    assert any(o.shared is not None for o in again.operators)
    file.write_text(file.read_text().replace('"unit": "cpu"', '"unit": "dsp"'))
    with pytest.raises(PlanError, match="the plan contradicts itself"):
        pt.load_plan(file)


def test_what_sharing_cannot_be_combined_with_is_said() -> None:
    graph = convolutions()
    with pytest.raises(PlacementError, match="says nothing of units that share"):
        placed(graph, load_soc("sd8gen3-qnn"))
    with pytest.raises(PlacementError, match="cannot be shared by two units for the objective throughput"):
        placed(graph, near_units(), objective="throughput")
    with pytest.raises(PlacementError, match="memory"):
        placed(graph, near_units(), memory=(OfUnit("cpu", 1e9),))


def test_an_operator_on_a_unit_that_is_banned_is_not_shared_with_it() -> None:
    found = placed(convolutions(), near_units(), bans=(Rule("Conv", "cpu"),))
    assert all(o.shared is None for o in found.operators)


def test_channels_are_found_only_where_each_output_channel_stands_alone() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 8, 4, 4))
    grouped = b.node("Conv", x, b.constant("g", np.ones((8, 1, 3, 3), np.float32)), group=8, pads=(1, 1, 1, 1))
    free = b.node("Conv", grouped, b.input("k", "float32", (8, 8, 1, 1)))
    flat = b.node("Reshape", free, b.constant("s", np.array([1, 128])))
    b.output(b.node("Gemm", flat, b.constant("w", np.ones((10, 128), np.float32)), name="gemm", transB=1))
    graph = b.build()
    found = {node.op: channels_of(graph, node) for node in graph.nodes}
    assert found["Conv"] is None
    assert channels_of(graph, graph.nodes[0]) is None
    gemm = found["Gemm"]
    assert gemm is not None
    assert (gemm.axis, gemm.size, gemm.axis_of["w"]) == (1, 10, 0)


def test_a_residual_that_a_convolution_reads_whole_is_not_cut() -> None:
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 8, 4, 4))
    conv = b.node("Conv", x, b.constant("w", rng.normal(size=(8, 8, 1, 1)).astype(np.float32)), name="c")
    b.output(b.node("Add", conv, x, name="sum"))
    graph = b.build()
    fused = [fused_node(graph, match) for match in find_matches(graph)]
    assert fused
    assert all(channels_of(graph, node) is None for node in fused)
