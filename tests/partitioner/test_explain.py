"""What an operator would cost elsewhere, what a limit costs, and why nothing keeps all limits."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from partita.devices import Soc, load_soc
from partita.devices.number import Number
from partita.errors import InfeasiblePlacementError, PlacementError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import Location
from partita.partitioner import OfUnit, Rule, Wishes, partition
from partita.partitioner.marginals import min_marginals
from partita.partitioner.place import explained
from partita.partitioner.problem import Problem, evaluate
from partita.passes.find_matches import find_matches
from tests.partitioner.problems import choices, problems

SOC = load_soc("sd855-tflite")


@settings(max_examples=80, deadline=None, derandomize=True)
@given(problem=problems(most_operators=6))
def test_min_marginals_are_what_forcing_an_operator_to_a_unit_costs(problem: Problem) -> None:
    best: dict[tuple[int, int], float] = {}
    for chosen in choices(problem):
        total_us = evaluate(problem, chosen).total_us
        for c in chosen:
            unit = problem.unit_of_location[problem.candidates[c].location]
            for i in problem.candidates[c].operators:
                best[i, unit] = min(best.get((i, unit), float("inf")), total_us)
    found = min_marginals(problem)
    assert found.keys() == best.keys()
    assert all(found[key] == pytest.approx(best[key], abs=1e-9) for key in best)


def network(convolutions: int = 4, channels: int = 64) -> Graph:
    """Convolutions with a Sinh, which no accelerator takes, in their middle."""
    b = GraphBuilder("network")
    x = b.input("x", "float32", (1, channels, 28, 28))
    for i in range(convolutions):
        weight = b.missing(f"w{i}", "float32", (channels, channels, 3, 3))
        x = b.node("Conv", x, weight, kernel_shape=(3, 3), pads=(1, 1, 1, 1), name=f"conv{i}")
        if i == convolutions // 2 - 1:
            x = b.node("Sinh", x, name="sinh")
    b.output(x)
    return b.build()


def placed(graph: Graph, soc: Soc = SOC, **wishes: object) -> str:
    """The message of the error."""
    with pytest.raises(InfeasiblePlacementError) as error:
        partition(graph, soc, find_matches(graph), Wishes(**wishes))  # type: ignore[arg-type]
    return str(error.value)


def test_alternatives_agree_with_solving_again() -> None:
    graph = network()
    plan = partition(graph, SOC, find_matches(graph), Wishes(explain=True, gap=0.0))
    assert {a.node for a in plan.alternatives} == {node.name for node in graph.nodes}
    for alternative in plan.alternatives:
        if alternative.extra is None:
            assert any((r.node, r.unit) == (alternative.node, alternative.unit) for r in plan.refusals)
            continue
        pinned = Wishes(pins=(Rule(alternative.node, alternative.unit),), gap=0.0)
        forced = partition(graph, SOC, find_matches(graph), pinned)
        assert forced.latency_us - plan.latency_us == pytest.approx(alternative.extra, abs=1e-3)


def test_why_gives_the_cost_of_each_other_unit_or_the_rule_that_forbids_it() -> None:
    graph = network()
    plan, answers = explained(graph, SOC, find_matches(graph), Wishes(gap=0.0), None, ["conv0", "Sinh"])
    conv, sinh = answers
    assert (conv.node, sinh.node) == ("conv0", "sinh")
    assert conv.elsewhere[0].extra is not None
    assert conv.elsewhere[0].extra > 0
    assert plan.placed["conv0"].unit == conv.unit
    assert sinh.unit == "cpu"
    assert sinh.elsewhere[0].extra is None
    assert sinh.elsewhere[0].reason


def test_a_binding_deadline_has_a_price_and_a_loose_one_has_none() -> None:
    graph = network()
    frugal = partition(graph, SOC, find_matches(graph), Wishes(objective="energy", gap=0.0))
    quick = partition(graph, SOC, find_matches(graph), Wishes(gap=0.0))
    loose = Wishes(objective="energy", deadline_ms=2 * frugal.latency_us / 1000, gap=0.0)
    _, answers = explained(graph, SOC, find_matches(graph), loose, None, ["conv0"])
    assert answers[0].prices[0].gain == 0.0
    tight = Wishes(objective="energy", deadline_ms=quick.latency_us / 1000 * 1.001, gap=0.0)
    _, answers = explained(graph, SOC, find_matches(graph), tight, None, ["conv0"])
    assert answers[0].prices[0].is_near
    assert answers[0].prices[0].gain is not None


def test_a_pattern_that_names_nothing_is_an_error() -> None:
    with pytest.raises(PlacementError, match="--why 'Softmax': no operator of 'network'"):
        explained(network(), SOC, (), Wishes(), None, ["Softmax"])


def test_a_deadline_that_nothing_meets_says_what_would_do() -> None:
    graph = network()
    least_ms = partition(graph, SOC, find_matches(graph), Wishes(gap=0.0)).latency_us / 1000
    message = placed(graph, deadline_ms=least_ms / 2)
    assert f"--deadline-ms is {least_ms / 2:g} ms, " in message
    would_do_ms = float(message.split(" ms, ")[1].split(" would do")[0])
    assert least_ms <= would_do_ms <= least_ms * 1.002
    partition(graph, SOC, find_matches(graph), Wishes(deadline_ms=would_do_ms))


def test_only_the_constraints_that_clash_are_named() -> None:
    message = placed(
        network(),
        max_segments=(OfUnit("gpu", 0), OfUnit("", 9)),
        pins=(Rule("conv0", "gpu"),),
        bans=(Rule("sinh", "gpu"),),
        deadline_ms=500.0,
    )
    assert "--pin conv0=gpu" in message
    assert "--max-segments gpu is 0 segments, 1 would do" in message
    assert "--deadline-ms" not in message
    assert "--ban" not in message


def test_memory_that_is_too_small_says_how_much_it_takes() -> None:
    message = placed(network(), memory=(OfUnit("gpu", 1000.0),), pins=(Rule("conv*", "gpu"),))
    assert "--memory gpu is 0.001 MB, " in message
    needed = float(message.split("0.001 MB, ")[1].split(" would do")[0])
    plan = partition(
        network(), SOC, (), Wishes(memory=(OfUnit("gpu", needed * 1.001e6),), pins=(Rule("conv*", "gpu"),))
    )
    assert plan.limits[0].demand <= plan.limits[0].limit


def test_noise_that_no_unit_avoids_clashes_with_the_pin_that_brings_it() -> None:
    message = placed(network(), min_snr_db=90.0, pins=(Rule("conv0", "gpu"),))
    assert "--min-snr is 90 dB, 6" in message
    assert "--pin conv0=gpu" in message


def test_a_noise_budget_keeps_quantised_operators_few() -> None:
    soc = load_soc("sd8gen3-qnn")
    free = partition(network(8), soc, (), Wishes(allow=(Location("npu", "int8"),), pins=(Rule("conv*", "npu"),)))
    bound = partition(
        network(8), soc, (), Wishes(allow=(Location("npu", "int8"),), pins=(Rule("conv*", "npu"),), min_snr_db=34.0)
    )
    int8 = [sum(o.dtype == "int8" for o in plan.operators) for plan in (free, bound)]
    assert int8[0] > int8[1]
    assert bound.limits[0].demand >= 34.0


def test_a_unit_of_the_soc_that_takes_one_segment_gets_one() -> None:
    graph = network(8, 128)
    two = partition(graph, SOC, find_matches(graph), Wishes(pins=(Rule("conv*", "gpu"),)))
    assert sum(segment.unit == "gpu" for segment in two.segments) == 2
    one = Number(value=1, kind="vendor", source="a compiler that makes one program")
    units = tuple(u.model_copy(update={"max_segments": one}) if u.name == "gpu" else u for u in SOC.units)
    plan = partition(graph, SOC.model_copy(update={"units": units}), find_matches(graph))
    assert sum(segment.unit == "gpu" for segment in plan.segments) <= 1
    assert plan.limits[0].option == "max_segments of unit gpu in the Soc"


def test_operators_together_share_a_unit() -> None:
    graph = network()
    plan = partition(graph, SOC, (), Wishes(together=("*",)))
    assert {o.unit for o in plan.operators} == {"cpu"}


def test_energy_needs_a_soc_that_knows_its_power() -> None:
    with pytest.raises(PlacementError, match="says nothing of power, which the objective energy needs"):
        partition(network(), SOC.model_copy(update={"power": None}), (), Wishes(objective="energy"))


def test_the_same_question_gives_the_same_plan_twice() -> None:
    graph = network(8)
    for objective in ("latency", "energy", "throughput", "edp"):
        first, second = (partition(graph, SOC, find_matches(graph), Wishes(objective=objective)) for _ in range(2))
        assert first.operators == second.operators
        assert replace(first.proof, solve_s=0.0) == replace(second.proof, solve_s=0.0)
