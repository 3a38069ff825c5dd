from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from partita.errors import PlanError
from partita.graph.ir import FUSED_DOMAIN, Graph
from partita.graph.open_sizes import with_open_sizes
from partita.graph.pieces import pieces_of, primitives
from partita.graph.plan import Plan
from partita.kernels.executor import run
from tests.reports.exports.models import NONZERO, SPLIT, SWITCHED, TWO_UNITS, placed


def assert_pieces_give_what_the_graph_gives(plan: Plan, feeds: dict[str, np.ndarray]) -> None:
    known = dict(feeds)
    for piece in pieces_of(plan):
        known |= run(primitives(piece.graph), {name: known[name] for name in piece.graph.inputs})
    for name, wanted in run(plan.graph, feeds).items():
        np.testing.assert_allclose(known[name], wanted, rtol=1e-5, atol=1e-5)


def test_pieces_run_one_after_the_other_give_what_the_whole_gives(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    pieces = pieces_of(plan)
    assert [piece.unit for piece in pieces] == ["npu", "cpu", "npu"]
    assert pieces[1].graph.inputs == ("h",)
    assert pieces[1].dtypes == ("float32",)
    assert_pieces_give_what_the_graph_gives(plan, {"x": np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 64)})


def test_fused_operators_become_their_primitives(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    assert any(node.domain == FUSED_DOMAIN for node in plan.graph.nodes)
    plain = primitives(plan.graph)
    assert sorted(node.op for node in plain.nodes) == ["Add", "MatMul", "MatMul", "Mul", "Relu", "Sigmoid", "Softmax"]
    feeds = {"x": np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 64)}
    np.testing.assert_allclose(run(plain, feeds)["y"], run(plan.graph, feeds)["y"], rtol=1e-5, atol=1e-5)


def test_a_region_takes_what_it_captures_over_the_border(tmp_path: Path) -> None:
    plan = placed(tmp_path, SWITCHED, pins=["MatMul=npu"])
    units = [piece.unit for piece in pieces_of(plan)]
    assert units == ["npu", "cpu"]
    assert set(pieces_of(plan)[1].graph.inputs) == {"c", "h", "n"}
    x = np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 64)
    for chosen in (True, False):
        assert_pieces_give_what_the_graph_gives(plan, {"x": x, "c": np.array(chosen), "n": np.array(3)})


def test_sizes_that_depend_on_data_stay_open(tmp_path: Path) -> None:
    graph = placed(tmp_path, NONZERO).graph
    assert all(value.is_concrete for value in graph.values.values())
    opened = with_open_sizes(graph)
    assert opened.values["i"].shape == (1, None)
    assert opened.values["x"].shape == (8,)


def test_a_graph_whose_sizes_are_known_stays_as_it_is(tmp_path: Path) -> None:
    graph = placed(tmp_path, TWO_UNITS).graph
    assert with_open_sizes(graph) is graph


def test_an_output_that_is_a_constant_belongs_to_the_last_piece(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    graph: Graph = replace(plan.graph, outputs=(*plan.graph.outputs, "w"))
    pieces = pieces_of(replace(plan, graph=graph))
    assert [("w" in piece.graph.outputs) for piece in pieces] == [False, False, True]


def test_a_plan_without_operators_is_refused(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS)
    with pytest.raises(PlanError, match="has no operators"):
        pieces_of(replace(plan, segments=(), operators=()))
