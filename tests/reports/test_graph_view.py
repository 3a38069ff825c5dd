"""The graph section: every operator has a place of its own, every arrow points on, every unit has an answer."""

import json
import re
from dataclasses import replace

from hypothesis import given, settings

from partita.graph.ir import Graph, Node, Value
from partita.graph.plan import Plan
from partita.reports.account import Account
from partita.reports.graph_view import ASPECT, COLUMN, ROW_GAP, SLOT, GraphView
from partita.reports.page import page
from tests.reports.plans import Layer, layers, long_plan, mobile_plan, plan_of, timeline_of


def view_of(plan: Plan) -> GraphView:
    return GraphView(Account(plan))


def diamond() -> Plan:
    """The chain of four, its first read by the second and third, which the last joins."""
    plan = plan_of(
        [("Conv", "npu", "", 9.0), ("Relu", "npu", "", 1.0), ("Tanh", "cpu", "rank 6", 4.0), ("Add", "npu", "", 2.0)]
    )
    first, second, third, last = plan.graph.nodes
    third = replace(third, inputs=first.outputs)
    last = replace(last, inputs=(*second.outputs, *third.outputs))
    return replace(plan, graph=replace(plan.graph, nodes=(first, second, third, last)))


@settings(max_examples=30, deadline=None)
@given(layers())
def test_no_two_operators_share_a_place(chain: list[Layer]) -> None:
    view = view_of(plan_of(chain, fused=True))
    assert len(set(view.places)) == len(view.plan.operators)


def test_branches_lie_beside_each_other_and_join_in_the_next_column() -> None:
    view = view_of(diamond())
    assert view.arrows == ((0, 1), (0, 2), (1, 3), (2, 3))
    assert [(place.column, place.slot) for place in view.places] == [(0, 0), (1, 0), (1, 1), (2, 0)]


def test_an_arrow_never_points_back() -> None:
    view = view_of(mobile_plan())
    for giver, reader in view.arrows:
        a, b = view.places[giver], view.places[reader]
        assert (a.row, a.column) < (b.row, b.column)


def test_a_deep_chain_fills_a_canvas() -> None:
    view = view_of(long_plan(2_000))
    width = (max(place.column for place in view.places) + 1) * COLUMN
    height = view.tops[-1] + SLOT + ROW_GAP
    assert ASPECT / 1.3 < width / height < ASPECT * 1.3


def test_every_unit_says_something_of_every_operator() -> None:
    document = view_of(diamond()).document()
    told = [[tuple(document["texts"][text]) for _, text, _ in answers] for answers in document["answers"]]
    assert [len(answers) for answers in told] == [3] * 4
    assert told[2][2] == ("unsupported", "rank 6", "QNN op package, HTP v75, 2.26")
    assert document["answers"][2][2][2] is None
    assert document["answers"][2][0][2] == 0.004


def test_the_data_in_the_page_is_json_that_cannot_end_its_element() -> None:
    plan = plan_of([("Conv", "cpu", "</script><b>&\u2028", 9.0)])
    text = page(plan, timeline_of(plan)).split('id="graph-data">')[1].split("</script>")[0]
    assert not re.search(r"[<>&\u2028]", text)
    assert ["unsupported", "</script><b>&\\u2028", "QNN op package, HTP v75, 2.26"] in json.loads(text)["texts"]


def test_a_tensor_from_nowhere_gives_no_arrow() -> None:
    plan = plan_of([("Conv", "npu", "", 9.0)])
    node = Node("n", "Conv", ("x",), ("y",))
    graph = Graph("g", (node,), ("x",), ("y",), {"x": Value("float32", (1,)), "y": Value("float32", (1,))})
    operator = replace(plan.operators[0], node="n", covers=("n",))
    assert view_of(replace(plan, graph=graph, operators=(operator,), transfers=(), segments=())).arrows == ()
