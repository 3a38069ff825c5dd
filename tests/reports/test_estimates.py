"""Which estimated numbers a placement hangs on."""

from typing import Any

import partita as pt
from partita.devices import Soc, load_soc
from partita.devices.soc import Number
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.reports.estimates import estimates_document, estimates_line, estimates_of


def products() -> Graph:
    b = GraphBuilder("products")
    x = b.input("x", "float32", (256, 256))
    for i in range(3):
        x = b.node("Relu", b.node("MatMul", x, b.missing(f"w{i}", "float32", (256, 256)), name=f"m{i}"), name=f"r{i}")
    b.output(x)
    return b.build()


def estimated(value: float, low: float, high: float) -> Number:
    return Number(value=value, low=low, high=high, kind="estimated", source="a guess")


def soc_with(**of_the_npu: Any) -> Soc:
    """sd8gen3-qnn with other numbers of its NPU, and nothing else estimated."""
    soc = load_soc("sd8gen3-qnn")
    sure = Soc.from_json(soc.to_json().replace('"kind":"estimated"', '"kind":"measured"'))
    npu = sure.unit_named("npu").model_copy(update=of_the_npu)
    return sure.model_copy(update={"units": tuple(npu if u.name == "npu" else u for u in sure.units)})


def placed(soc: Soc, **wishes: Any) -> Plan:
    return pt.partition(products(), soc, **wishes)


def test_a_plan_on_sure_numbers_hangs_on_none() -> None:
    assert estimates_of(placed(soc_with())) == ()
    assert estimates_line(()).startswith("No estimated number")


def test_a_number_whose_range_holds_the_break_even_is_named_with_the_end_and_the_rule_that_would_win() -> None:
    plan = placed(soc_with(call_us=estimated(46, 40, 1e6)))
    assert {operator.unit for operator in plan.operators} == {"npu"}
    (found,) = estimates_of(plan)
    assert (found.path, found.end, found.source) == ("units.npu.call_us", 1e6, "a guess")
    assert found.alternative_us < found.plan_us
    changed = placed(soc_with(call_us=estimated(1e6, 1e6, 1e6)))
    assert {operator.unit for operator in changed.operators} != {"npu"}
    assert changed.latency_us <= found.alternative_us
    assert "units.npu.call_us at 1e+06 (here 46)" in estimates_line([found])
    assert estimates_document([found])[0]["quicker"] == found.alternative


def test_the_times_are_those_of_the_changed_soc() -> None:
    plan = placed(soc_with(call_us=estimated(46, 40, 1e6)))
    (found,) = estimates_of(plan)
    assert found.plan_us == plan.latency_us - 46 + 1e6


def test_a_number_whose_whole_range_leaves_the_order_is_not_named() -> None:
    assert estimates_of(placed(soc_with(call_us=estimated(46, 40, 50)))) == ()


def test_utilisations_of_a_class_that_does_not_occur_are_not_named() -> None:
    npu = load_soc("sd8gen3-qnn").unit_named("npu")
    low = estimated(0.5, 1e-9, 0.6)
    assert estimates_of(placed(soc_with(npu_law=None, utilisation={**npu.utilisation, "softmax": low}))) == ()
    found = estimates_of(placed(soc_with(npu_law=None, utilisation={**npu.utilisation, "gemm": low})))
    assert {each.path for each in found} == {"units.npu.utilisation.gemm"}


def test_a_plan_whose_user_said_where_operators_go_hangs_on_the_user() -> None:
    assert estimates_of(placed(soc_with(call_us=estimated(46, 40, 1e6)), pins=[pt.Rule("m0", "npu")])) == ()
