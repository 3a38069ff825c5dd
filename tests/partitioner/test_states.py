"""State: it stays where the operator runs that makes it anew, costs no transfer, and changes no result."""

from pathlib import Path

import numpy as np
import onnx
import pytest

import partita as pt
from partita.devices import load_soc
from partita.errors import PlacementError, PlanError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.onnx_export import to_model
from partita.graph.plan_file import to_json
from partita.kernels.executor import run
from partita.kernels.placed import execute
from partita.partitioner import OfUnit, Rule, Wishes, partition
from partita.partitioner.candidates import formulate
from partita.partitioner.states import states_of
from partita.passes.pipeline import prepare
from partita.reports.residency import residencies_of
from partita.simulator.run import simulate

SOC = load_soc("sd8gen3-qnn")
LENGTH, WIDTH = 48, 64


def decoder(length: int = LENGTH) -> Graph:
    """One step of attention over a cache of keys and one of values, with heavy products around it."""
    b = GraphBuilder("decoder")
    x = b.input("x", "float32", (1, 1, WIDTH))
    rng = np.random.default_rng(3)
    rows = []
    for name in ("k", "v"):
        past = b.input(f"past.{name}", "float32", (1, length, WIDTH))
        weight = b.constant(f"w{name}", rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) / 8)
        rows.append(b.node("Concat", past, b.node("MatMul", x, weight), axis=1))
    keys, values = rows
    scores = b.node("Softmax", b.node("MatMul", x, b.node("Transpose", keys, perm=(0, 2, 1))))
    b.output(b.node("MatMul", scores, values), keys, values)
    return prepare(b.build())


def feeds_of(graph: Graph) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(4)
    return {name: rng.standard_normal(graph.value(name).dims).astype(np.float32) for name in graph.inputs}


def test_a_state_is_continued_by_the_output_that_its_reader_makes() -> None:
    graph = decoder()
    assert states_of(graph, ["past.*"]) == dict(zip(("past.k", "past.v"), graph.outputs[1:], strict=True))
    assert states_of(graph, []) == {}


def test_state_on_an_accelerator_is_not_transferred_and_the_results_are_the_same() -> None:
    graph, pins = decoder(), (Rule("*", "npu"),)
    plain = partition(graph, SOC, (), Wishes(pins=pins))
    kept = partition(graph, SOC, (), Wishes(pins=pins, states=("past.*",)))
    moved = {transfer.tensor for transfer in kept.transfers}
    assert moved == {"x", graph.outputs[0]}
    assert {"past.k", "past.v"} <= {transfer.tensor for transfer in plain.transfers}
    assert kept.latency_us < plain.latency_us
    assert [str(state.location) for state in kept.states] == ["npu:float16"] * 2
    feeds = feeds_of(graph)
    here, there = execute(kept, feeds).outputs, execute(plain, feeds).outputs
    for name in graph.outputs:
        np.testing.assert_array_equal(here[name], there[name])
        np.testing.assert_allclose(here[name], run(graph, feeds)[name], rtol=0.02, atol=0.02)


def test_steps_that_hand_state_on_are_one_long_run() -> None:
    rng = np.random.default_rng(5)
    state = {"past.k": np.zeros((1, 1, WIDTH), np.float32), "past.v": np.zeros((1, 1, WIDTH), np.float32)}
    plain = dict(state)
    for length in range(1, 5):
        graph = decoder(length)
        plan = partition(graph, SOC, (), Wishes(states=("past.*",), pins=(Rule("*", "cpu"),)))
        x = rng.standard_normal((1, 1, WIDTH)).astype(np.float32)
        placed, whole = execute(plan, {"x": x, **state}).outputs, run(graph, {"x": x, **plain})
        np.testing.assert_array_equal(placed[graph.outputs[0]], whole[graph.outputs[0]])
        state = {s.before: placed[s.after] for s in plan.states}
        plain = dict(zip(state, (whole[name] for name in graph.outputs[1:]), strict=True))


def test_the_simulated_time_is_the_objective() -> None:
    plan = partition(decoder(), SOC, (), Wishes(states=("past.*",)))
    assert simulate(plan, SOC).latency_us == pytest.approx(plan.latency_us, abs=0.01 * len(plan.operators))


def test_appending_costs_what_is_new_and_not_the_whole_cache() -> None:
    short, long = decoder(64), decoder(4096)

    def cost_us(graph: Graph, states: tuple[str, ...]) -> float:
        formulation = formulate(graph, SOC, (), Wishes(states=states))
        joins = {i for i, node in enumerate(graph.nodes) if node.op == "Concat"}
        npu = [a for a, location in enumerate(formulation.locations) if location.unit == "npu"]
        found = [c for c in formulation.problem.candidates if c.location == npu[0] and set(c.operators) <= joins]
        return sum(c.cost_us for c in found)

    assert cost_us(long, ("past.*",)) == cost_us(short, ("past.*",))
    assert cost_us(long, ()) > cost_us(short, ())


def test_state_takes_memory_at_its_unit_all_the_time() -> None:
    graph = decoder(4096)
    limit = OfUnit("npu", 1e9)
    plan = partition(graph, SOC, (), Wishes(states=("past.*",), pins=(Rule("*", "npu"),), memory=(limit,)))
    cache_bytes = 2 * 2 * 4097 * WIDTH
    assert residencies_of(plan)["npu"].activations_bytes[0] >= cache_bytes
    assert plan.limits[0].demand * 1e6 >= cache_bytes


def test_a_plan_with_state_survives_its_file(tmp_path: Path) -> None:
    onnx.save(to_model(decoder()), tmp_path / "decoder.onnx")
    graph = pt.load(tmp_path / "decoder.onnx")
    plan = pt.partition(graph, SOC, states=["past.*"])
    pt.save_plan(plan, tmp_path / "decoder.plan.json")
    again = pt.load_plan(tmp_path / "decoder.plan.json")
    assert again.states == plan.states
    assert again.options["state"] == ("past.*",)
    text = (tmp_path / "decoder.plan.json").read_text().replace('"before": "past.k"', '"before": "nothing"')
    (tmp_path / "wrong.plan.json").write_text(text)
    with pytest.raises(PlanError, match="its states are not inputs of the model"):
        pt.load_plan(tmp_path / "wrong.plan.json")
    assert to_json(again, tmp_path) == to_json(plan, tmp_path)


def test_what_cannot_stay_is_an_error_that_says_why() -> None:
    graph = decoder()
    with pytest.raises(PlacementError, match=r"no input of 'decoder' has a name like that: x, past.k, past.v"):
        states_of(graph, ["cache*"])
    with pytest.raises(PlacementError, match=r"input 'x' .* is read by .* makes no output of the model"):
        states_of(graph, ["x"])
