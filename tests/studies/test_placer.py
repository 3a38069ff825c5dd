"""Placing one model on many Socs gives what placing it on each alone gives."""

from pathlib import Path

import pytest

from partita.devices import Soc, load_soc
from partita.graph.ir import Graph
from partita.graph.onnx_import import read_onnx
from partita.graph.plan import Location, Plan
from partita.partitioner.candidates import formulate
from partita.partitioner.place import partition
from partita.partitioner.problem import evaluate
from partita.partitioner.sweep import solve_by_sweep
from partita.partitioner.wishes import Wishes
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.studies.change import Change, changed
from partita.studies.outcome import RESULTS, area_mm2, placement_of, results_of
from partita.studies.placer import UNPROVEN, Placer, Watch
from partita.studies.quick_sweep import least, listed
from tests.devices import example_soc
from tests.studies.example_study import written_study

CHANGES = (
    Change(),
    Change(set={"npu.call_us": 1}),
    Change(set={"npu.call_us": 3000}),
    Change(scale={"dram.bandwidth_gb_per_s": 0.25}),
    Change(scale={"*.dispatch_us": 4, "links.*.sync_us": 0.1}),
    Change(remove=("npu",)),
    Change(gain_operators={"npu": ("Erf",)}),
)


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    written_study(tmp_path, "")
    return prepare(read_onnx(tmp_path / "model.onnx"))


def socs(name: str) -> list[Soc]:
    base = example_soc.make() if name == "example" else load_soc(name)
    return [changed(base, change) for change in CHANGES]


@pytest.mark.parametrize("name", ["example", "sd8gen3-qnn"])
@pytest.mark.parametrize("objective", ["latency", "energy", "latency=1,energy=0.5", "throughput"])
def test_a_placer_is_as_good_as_the_partitioner_on_every_soc(graph: Graph, name: str, objective: str) -> None:
    if name == "example" and "energy" in objective:
        return
    wishes = Wishes(objective=objective)
    placer = Placer(graph, wishes)
    for soc in socs(name):
        alone = partition(graph, soc, find_matches(graph), wishes)
        together = placer.place(soc)
        assert together.proof.value == pytest.approx(alone.proof.value, rel=2e-3)
        assert together.proof.value >= alone.proof.bound * (1 - 1e-9)
        assert together.soc_digest == soc.digest


def test_what_was_placed_before_changes_nothing(graph: Graph) -> None:
    placer = Placer(graph, Wishes())
    first = [placer.place(soc) for soc in socs("sd8gen3-qnn")]
    again = [placer.place(soc) for soc in reversed(socs("sd8gen3-qnn"))]
    fresh = [Placer(graph, Wishes()).place(soc) for soc in socs("sd8gen3-qnn")]
    for plans in zip(first, reversed(again), fresh, strict=True):
        assert len({placement_of(plan) for plan in plans}) == 1
        assert len({plan.latency_us for plan in plans}) == 1


def test_whoever_waits_is_shown_a_placement_before_the_search(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita.studies.placer.listed", lambda problem: None)  # as if the sweep were too wide
    shown: list[Plan] = []
    soc = load_soc("sd8gen3-qnn")
    best = Placer(graph, Wishes()).place(soc, Watch(first=shown.append), compare=True)
    (first,) = shown
    assert first.proof.status == UNPROVEN
    assert first.proof.gap == 1
    assert best.latency_us <= first.latency_us
    assert first.baselines == best.baselines
    assert min(baseline.latency_us for baseline in best.baselines) == pytest.approx(first.latency_us)


def test_each_unit_alone_takes_what_the_partitioner_says_that_it_takes(graph: Graph) -> None:
    soc = load_soc("sd8gen3-qnn")
    named = {baseline.name: baseline for baseline in partition(graph, soc, find_matches(graph)).baselines}
    for baseline in Placer(graph, Wishes()).place(soc, compare=True).baselines:
        assert baseline.title == named[baseline.name].title
        assert baseline.latency_us == pytest.approx(named[baseline.name].latency_us)


def test_a_quantised_type_is_used_where_it_is_allowed(graph: Graph) -> None:
    soc = load_soc("sd8gen3-qnn")
    allowed = Placer(graph, Wishes(allow=(Location("npu", "int8"),))).place(soc)
    assert allowed.proof.value <= Placer(graph, Wishes()).place(soc).proof.value


def test_the_listed_moves_give_the_sweep_s_own_optimum(graph: Graph) -> None:
    for soc in socs("sd8gen3-qnn"):
        problem = formulate(graph, soc, find_matches(graph)).problem
        moves = listed(problem)
        assert moves is not None
        chosen, value = least(moves, problem)
        assert value == pytest.approx(solve_by_sweep(problem)[1])
        assert value == pytest.approx(evaluate(problem, chosen).total_us)


def test_results_are_those_of_the_plan(graph: Graph) -> None:
    soc = load_soc("sd8gen3-qnn")
    plan = Placer(graph, Wishes()).place(soc)
    results = results_of(plan, soc)
    assert tuple(results) == tuple(RESULTS)
    parts = [results[name] or 0.0 for name in ("kernels_ms", "calls_ms", "transfers_ms")]
    assert results["latency_ms"] == pytest.approx(sum(parts))


def test_the_area_grows_with_the_rate_and_not_with_the_cpu() -> None:
    soc = example_soc.make()
    twice = changed(soc, Change(scale={"npu.peak_gmac_per_s.float16": 2}))
    # 100 GMAC/s at 1 GHz are 100 multipliers and adders of 3000 square micrometres.
    assert area_mm2(twice) - area_mm2(soc) == pytest.approx(100 * 3000 / 1e6)
    assert area_mm2(changed(soc, Change(scale={"cpu.peak_gmac_per_s.float32": 2}))) == area_mm2(soc)
