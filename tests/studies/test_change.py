"""Changes of a Soc by path, by operator, by type and by unit."""

import pytest

from partita.devices import Soc, facts, load_soc, preset_names, verdict
from partita.errors import SocError, StudyError
from partita.graph.build import GraphBuilder
from partita.graph.match import fused_node
from partita.passes.find_matches import find_matches
from partita.studies.change import Change, GainedDtype, changed
from partita.studies.paths import DRAM_BANDWIDTH, number_paths, paths_like
from tests.devices import example_soc

SOC = example_soc.make()


def value(soc: Soc, path: str) -> float:
    return next(fact.value for fact in facts(soc) if fact.path == path)


def test_every_path_is_one_that_soc_show_prints() -> None:
    for name in preset_names():
        soc = load_soc(name)
        assert set(number_paths(soc)) - {DRAM_BANDWIDTH} <= {fact.path for fact in facts(soc)}


def test_a_short_path_means_the_unit_s_number() -> None:
    known = number_paths(SOC)
    assert paths_like("example", known, "npu.call_us") == ("units.npu.call_us",)
    assert paths_like("example", known, "call_us") == tuple(f"units.{u}.call_us" for u in ("cpu", "gpu", "npu"))
    assert paths_like("example", known, "links[cpu->npu].sync_us") == ("links.cpu->npu.sync_us",)


def test_an_unknown_path_is_told_with_those_near_it() -> None:
    with pytest.raises(StudyError, match=r"no number 'npu.cal_us'; near: units.npu.call_us"):
        paths_like("example", number_paths(SOC), "npu.cal_us")


def test_a_scaled_number_keeps_its_range_in_proportion() -> None:
    call_us = changed(SOC, Change(scale={"npu.call_us": 2})).unit_named("npu").call_us
    assert (call_us.low, call_us.value, call_us.high) == (10, 20, 80)


def test_a_number_that_is_set_has_no_range() -> None:
    call_us = changed(SOC, Change(set={"npu.call_us": 7})).unit_named("npu").call_us
    assert (call_us.least, call_us.value, call_us.most) == (7, 7, 7)


def test_the_memory_as_a_whole_takes_every_unit_with_it() -> None:
    twice = changed(SOC, Change(scale={DRAM_BANDWIDTH: 2}))
    assert value(twice, "dram.peak_gb_per_s") == 80
    assert value(twice, "units.gpu.bandwidth_gb_per_s") == 20
    assert changed(SOC, Change(set={DRAM_BANDWIDTH: 80})).dram.peak_gb_per_s.value == 80


def test_no_unit_moves_more_than_the_memory_gives() -> None:
    slow = changed(SOC, Change(set={"dram.peak_gb_per_s": 10}))
    assert value(slow, "units.npu.bandwidth_gb_per_s") == pytest.approx(7)


def test_a_soc_with_a_wrong_number_is_an_error_that_names_the_change() -> None:
    with pytest.raises(SocError, match=r'"npu.tile.m": 0.*units\[npu\].tile.m: must be above 0'):
        changed(SOC, Change(set={"npu.tile.m": 0}))


def test_a_unit_goes_with_its_links_its_power_and_its_heat() -> None:
    without = changed(load_soc("sd8gen3-qnn"), Change(remove=("npu",)))
    assert [unit.name for unit in without.units] == ["cpu", "gpu"]
    assert not [link for link in without.links if "npu" in (link.source, link.target)]


def test_the_host_stays() -> None:
    with pytest.raises(StudyError, match="cannot do without 'cpu'"):
        changed(SOC, Change(remove=("cpu",)))


def test_a_gained_operator_is_taken() -> None:
    builder = GraphBuilder()
    x = builder.input("x", "float32", (1, 8))
    builder.output(builder.node("Erf", x))
    graph = builder.build()
    gained = changed(SOC, Change(gain_operators={"npu": ("Erf",)}))
    node = graph.nodes[0]
    assert verdict(graph, node, SOC.unit_named("npu"), "float16").status == "unsupported"
    assert verdict(graph, node, gained.unit_named("npu"), "float16").status == "native"
    assert Soc.from_json(gained.to_json()) == gained


def test_a_lost_operator_is_refused_alone_and_inside_a_chain() -> None:
    builder = GraphBuilder()
    x = builder.input("x", "float32", (1, 8, 4, 4))
    conv = builder.node("Conv", x, builder.missing("w", "float32", (8, 8, 1, 1)), name="conv")
    builder.output(builder.node("Relu", conv, name="relu"))
    graph = builder.build()
    (match,) = [match for match in find_matches(graph) if match.pattern == "Conv+Relu"]
    fused = fused_node(graph, match)
    for name in ("cpu", "npu"):
        before = SOC.unit_named(name)
        after = changed(SOC, Change(lose_operators={name: ("Relu",)})).unit_named(name)
        status = [verdict(graph, node, after, after.dtypes[0]).status for node in (*graph.nodes, fused)]
        assert status == ["native", "unsupported", "unsupported"]
        assert verdict(graph, fused, before, before.dtypes[0]).status == "native"
    both = Change(gain_operators={"npu": ("Relu",)}, lose_operators={"npu": ("Relu",)})
    assert not verdict(graph, graph.nodes[1], changed(SOC, both).unit_named("npu"), "float16").is_accepted


def test_a_gained_type_needs_its_rates() -> None:
    with pytest.raises(StudyError, match="does not know how fast gpu is in int8; give it peak_gmac_per_s"):
        changed(SOC, Change(gain_dtypes={"gpu": (GainedDtype(dtype="int8"),)}))
    gained = GainedDtype(dtype="int8", peak_gmac_per_s=400, peak_gop_per_s=40)
    unit = changed(SOC, Change(gain_dtypes={"gpu": (gained,)})).unit_named("gpu")
    assert unit.optional_dtypes == ("int8",)
    assert unit.peak_gmac_per_s["int8"].value == 400


def test_a_unit_with_a_fitted_law_gains_a_type_in_proportion_to_its_rates() -> None:
    gained = GainedDtype(dtype="bfloat16", peak_gmac_per_s=4000, peak_gop_per_s=480)
    before = load_soc("sd8gen3-qnn").unit_named("npu")
    after = changed(load_soc("sd8gen3-qnn"), Change(gain_dtypes={"npu": (gained,)})).unit_named("npu")
    assert before.npu_law is not None
    assert after.npu_law is not None
    ratio = 4000 / before.peak_gmac_per_s["float16"].value
    expected = before.npu_law.dtypes["float16"].matrix.value * ratio
    assert after.npu_law.dtypes["bfloat16"].matrix.value == pytest.approx(expected)


def test_joined_paths_mean_all_of_them() -> None:
    found = paths_like("example", number_paths(SOC), "npu.call_us + gpu.peak_*.float16")
    assert found == ("units.npu.call_us", "units.gpu.peak_gmac_per_s.float16", "units.gpu.peak_gop_per_s.float16")


def test_a_soc_without_gains_has_the_digest_that_it_had_before_there_were_any() -> None:
    assert "gains" not in SOC.to_json()


def test_two_variables_cannot_set_the_same_number() -> None:
    with pytest.raises(StudyError, match=r"two variables set 'npu.call_us'"):
        Change(set={"npu.call_us": 1}).joined(Change(set={"npu.call_us": 2}))
