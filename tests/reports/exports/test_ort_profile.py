import json
from pathlib import Path

import pytest

import partita as pt
from partita.devices.profiles import onnxruntime
from partita.devices.profiles.matching import match_rows
from partita.partitioner import Wishes
from partita.partitioner.place import partition
from partita.passes.find_matches import find_matches
from partita.reports.exports.ort_profile import to_ort_profile
from tests.partitioner.test_sharing import convolutions, near_units
from tests.reports.exports.models import SPLIT, SWITCHED, TWO_UNITS, placed


@pytest.mark.parametrize(("graph", "pins"), [(TWO_UNITS, SPLIT), (SWITCHED, ("MatMul=npu",))])
def test_our_importer_reads_what_was_simulated(tmp_path: Path, graph: str, pins: tuple[str, ...]) -> None:
    plan = placed(tmp_path, graph, pins=pins)
    timeline = pt.simulate(plan)
    profile = onnxruntime.read(to_ort_profile(plan, timeline), "profile.json")
    assert profile.total_us == pytest.approx(timeline.latency_us)
    kinds = {unit["name"]: unit["kind"] for unit in json.loads(plan.soc_json)["units"]}
    found = [(row.name, row.op, row.unit) for row in profile.rows]
    assert found == [(o.node, plan.graph.node_named[o.node].op, kinds[o.unit]) for o in plan.operators]
    for row, operator in zip(profile.rows, plan.operators, strict=True):
        assert row.duration_us == pytest.approx(operator.cost.latency_us, abs=1e-3)


def test_every_row_is_matched_with_its_operators(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    assert plan.graph.source is not None
    graph, soc = pt.load(plan.graph.source.path), pt.soc("sd8gen3-qnn")
    profile = onnxruntime.read(to_ort_profile(plan, pt.simulate(plan)), "profile.json")
    matching = match_rows(graph, profile, soc.unit_named("npu"), "float16", find_matches(graph))
    assert not matching.unmatched_rows
    assert [row.name for row in matching.elsewhere] == ["softmax"]
    spent_us = sum(o.cost.latency_us for o in plan.operators if o.unit == "npu")
    assert matching.matched_us == pytest.approx(spent_us, abs=0.01)


def test_events_are_those_of_onnxruntime(tmp_path: Path) -> None:
    plan = placed(tmp_path, TWO_UNITS, pins=SPLIT)
    events = json.loads(to_ort_profile(plan, pt.simulate(plan)))
    assert {e["name"] for e in events if e["cat"] == "Session"} >= {"session_initialization", "model_run"}
    nodes = [e for e in events if e["cat"] == "Node"]
    assert all(e["ph"] == "X" and e["name"].endswith("_kernel_time") for e in nodes)
    (softmax,) = [e["args"] for e in nodes if e["args"]["op_name"] == "Softmax"]
    assert softmax["provider"] == "CPUExecutionProvider"
    assert softmax["input_type_shape"] == [{"float": [4, 64]}]
    assert softmax["activation_size"] == softmax["output_size"] == str(4 * 64 * 4)
    assert softmax["parameter_size"] == "0"


def test_an_operator_that_two_units_share_is_one_row_on_its_own_unit() -> None:
    plan = partition(convolutions(), near_units(), wishes=Wishes(split=True))
    shared = [operator for operator in plan.operators if operator.shared is not None]
    assert shared
    profile = onnxruntime.read(to_ort_profile(plan, pt.simulate(plan)), "profile.json")
    assert [row.name for row in profile.rows] == [operator.node for operator in plan.operators]
    rows = {row.name: row for row in profile.rows}
    for operator in shared:
        assert operator.shared is not None
        assert rows[operator.node].duration_us == pytest.approx(operator.shared.first.latency_us, abs=1e-3)
