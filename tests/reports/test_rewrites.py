""" "Rewrite this first": solved anew with the operator taken, ranked, with what others do about it."""

import json
from pathlib import Path

import jsonschema
import pytest

from partita.devices import load_soc, verdict
from partita.devices.soc import Gains
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.partitioner import Rule, Wishes, partition
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.reports.markdown import markdown
from partita.reports.page import page
from partita.reports.report import Report
from partita.reports.rewrites import EVERY, known_rewrite, known_rewrites, rewrites_of
from partita.reports.unfused import unfused
from partita.simulator.run import simulate
from tests.reports.plans import mobile_plan

SCHEMA = Path(__file__).parents[2] / "reports/templates/plan.schema.json"
SOC = load_soc("sd8gen3-qnn")


def network() -> Graph:
    """Heavy convolutions around two element-wise operators that the NPU refuses, one of them on a small tensor."""
    b = GraphBuilder("blocked")
    x = b.input("x", "float32", (1, 64, 112, 112))
    for i, refused in enumerate(("Erf", "", "Sinh", "")):
        weight = b.missing(f"w{i}", "float32", (64, 64, 3, 3))
        x = b.node("Relu", b.node("Conv", x, weight, kernel_shape=(3, 3), pads=(1, 1, 1, 1)))
        x = b.node(refused, x) if refused else x
    b.output(x)
    return prepare(b.build())


def plan_under(**options: object) -> Plan:
    graph = network()
    return partition(graph, SOC, find_matches(graph), Wishes(**options))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_under()


def test_types_are_ranked_by_what_a_new_placement_saves(plan: Plan) -> None:
    every, *single = rewrites_of(plan)
    assert every.op == EVERY
    assert {rewrite.op for rewrite in single} == {"Erf", "Sinh"}
    assert single[0].saved_us >= single[1].saved_us > 0
    assert every.saved_us >= single[0].saved_us
    assert every.latency_us == pytest.approx(plan.latency_us - every.saved_us)
    assert "Gelu" in next(rewrite.rewrite for rewrite in single if rewrite.op == "Erf")


def test_a_rule_of_the_user_still_holds(plan: Plan) -> None:
    held = plan_under(bans=(Rule("Erf", "npu"),))
    erf = [rewrite.saved_us for rewrite in rewrites_of(held) if rewrite.op == "Erf"]
    assert erf == [] or erf == [pytest.approx(0, abs=held.latency_us * 1e-3)]


def test_kernels_come_apart_into_the_operators_of_the_model(plan: Plan) -> None:
    assert any(len(operator.covers) > 1 for operator in plan.operators)
    names = {name for operator in plan.operators for name in operator.covers}
    graph = unfused(plan)
    assert {node.name for node in graph.nodes} == names
    assert all(node.body is None for node in graph.nodes)
    again = partition(graph, SOC, find_matches(graph))
    assert again.latency_us == pytest.approx(plan.latency_us, rel=1e-3)


def test_a_unit_takes_what_it_gains_and_nothing_else() -> None:
    graph = network()
    npu = SOC.unit_named("npu").model_copy(update={"gains": Gains(operators=("Erf",))})
    taken = {node.op: verdict(graph, node, npu, npu.dtypes[0]).is_accepted for node in graph.nodes}
    assert taken == {"Conv": True, "Relu": True, "Erf": True, "Sinh": False}


def test_a_plan_without_a_whole_soc_or_refusals_has_no_rewrites() -> None:
    assert rewrites_of(mobile_plan()) == ()


def test_page_markdown_and_json_tell_the_same(plan: Plan, tmp_path: Path) -> None:
    timeline = simulate(plan, SOC)
    report = Report(plan, timeline)
    html = page(plan, timeline, (), report.rewrites)
    assert html.count("Known rewrite:") == sum(bool(rewrite.rewrite) for rewrite in report.rewrites)
    assert "## Rewrite this first" in markdown(plan, timeline, (), report.rewrites)
    report.save(tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    assert [rewrite["op"] for rewrite in document["rewrites"]] == [rewrite.op for rewrite in report.rewrites]


def test_every_known_rewrite_has_a_source_and_no_type_stands_twice() -> None:
    ops = [op for known in known_rewrites() for op in known.ops]
    assert len(ops) == len(set(ops))
    assert all(known.source and known.rewrite for known in known_rewrites())
    assert known_rewrite("Conv") is None
