"""What lies at each unit: weights once, activations until their last use, and never more than a limit would count."""

import re

from partita.devices import load_soc
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import Location
from partita.partitioner import OfUnit, Rule, Wishes, partition
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.reports.account import Account
from partita.reports.markdown import markdown
from partita.reports.memory_view import memory_rows
from partita.reports.page import page
from partita.reports.residency import residencies_of
from partita.simulator.run import simulate
from tests.reports.plans import long_plan, mobile_plan

SOC = load_soc("sd8gen3-qnn")
ACTIVATION = 64 * 56 * 56
"""Elements of every activation of the network."""
WEIGHT = 64 * 64 * 3 * 3


def network() -> Graph:
    """Two convolutions with the same weights, and a sum of what the first made with what the second made of it."""
    b = GraphBuilder("shared_weight")
    x = b.input("x", "float32", (1, 64, 56, 56))
    weight = b.missing("w", "float32", (64, 64, 3, 3))
    first = b.node("Conv", x, weight, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    second = b.node("Conv", first, weight, kernel_shape=(3, 3), pads=(1, 1, 1, 1))
    b.output(b.node("Add", first, second))
    return prepare(b.build())


def test_weights_that_two_kernels_share_lie_there_once_and_activations_until_their_last_use() -> None:
    graph = network()
    plan = partition(graph, SOC, (), Wishes(pins=(Rule("*", "cpu"),)))  # nothing fused
    (residency,) = residencies_of(plan).values()
    assert residency.weights_bytes == 4 * WEIGHT
    # x and first; first and second; first, second and the sum; the sum on its way out
    assert residency.activations_bytes == tuple(4 * ACTIVATION * n for n in (2, 2, 3, 1))
    assert residency.peak_bytes == 4 * (WEIGHT + 3 * ACTIVATION)


def test_a_tensor_that_moves_lies_at_both_ends_in_the_type_of_each() -> None:
    graph = network()
    plan = partition(graph, SOC, find_matches(graph), Wishes(pins=(Rule("Conv", "npu"), Rule("Add", "cpu"))))
    found = residencies_of(plan)
    crossing = {t.tensor for t in plan.transfers if t.source.unit == "npu" and t.target.unit == "cpu"}
    assert crossing
    for tensor in crossing:
        sizes = {one.location.unit: one.size_bytes for r in found.values() for one in r.lying if one.tensor == tensor}
        assert sizes == {"npu": 2 * ACTIVATION, "cpu": 4 * ACTIVATION}
    assert found["npu"].weights_bytes == 2 * WEIGHT
    assert Location("npu", "float16") in {one.location for one in found["npu"].lying}


def test_a_limit_of_memory_counts_at_least_what_lies_there() -> None:
    graph = network()
    for pins in ((), (Rule("Add", "cpu"),), (Rule("Conv", "gpu"),)):
        wishes = Wishes(pins=pins, memory=tuple(OfUnit(unit.name, 1e9) for unit in SOC.units))
        plan = partition(graph, SOC, find_matches(graph), wishes)
        found = residencies_of(plan)
        counted = {limit.option.split()[1].split("=")[0]: limit.demand * 1e6 for limit in plan.limits}
        assert set(found) <= set(counted)
        for unit, residency in found.items():
            assert residency.peak_bytes <= counted[unit] * (1 + 1e-9)


def test_the_page_names_the_peak_and_its_largest_tensors() -> None:
    graph = network()
    plan = partition(graph, SOC, find_matches(graph), Wishes())
    timeline = simulate(plan, SOC)
    text = page(plan, timeline)
    section = text.split('id="h-memory"')[1].split("</section>")[0]
    for row in memory_rows(Account(plan)):
        assert row.label in section
        assert row.at in section
        assert row.largest[0] in section.replace("\u00a0", " ")
    assert "## Memory" in markdown(plan, timeline)


def test_the_curve_of_a_long_run_stays_short_and_reaches_its_peak() -> None:
    rows = memory_rows(Account(long_plan()))
    for row in rows:
        assert len(row.curve) < 40_000
    tops = [float(y) for row in rows for y in re.findall(r"L\S+ (\S+?)H", row.curve)]
    assert min(tops) == 0.0


def test_every_unit_that_runs_something_has_a_row() -> None:
    plan = mobile_plan()
    labels = {row.label for row in memory_rows(Account(plan))}
    assert {Account(plan).chip.unit(o.unit).label for o in plan.operators} <= labels
