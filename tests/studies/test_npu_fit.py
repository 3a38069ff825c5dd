"""The fit of the NPU law: the same numbers as the cost path, parameters found again, rows told apart."""

from pathlib import Path

import numpy as np
import pytest

from partita.devices import Unit, load_soc
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import Location
from partita.passes.find_matches import find_matches
from partita.studies.fitting.least_squares import Prior, fitted
from partita.studies.fitting.npu import Data, cross_validated, errors, fit, measured_us, spreads
from partita.studies.fitting.npu_law import Stack, predicted_us, read_priors
from partita.studies.fitting.npu_samples import sample_of
from partita.studies.validation.accelerated import placed, total_us
from partita.studies.validation.aihub_rows import aihub_rows, lines, why_out_of_line
from partita.studies.validation.table import read_records

SOC = load_soc("sd8gen3-qnn")
HEADER = (
    "model,component,precision,device,chipset,runtime,inference_time_us,primary_unit,"
    "layers_total,layers_npu,layers_gpu,layers_cpu,tag\n"
)


def network(width: int, side: int = 32) -> Graph:
    b = GraphBuilder(f"net{width}")
    x = b.node("Conv", b.input("x", "float32", (1, 3, side, side)), b.missing("w", "float32", (width, 3, 3, 3)))
    x = b.node("Relu", x)
    x = b.node("Conv", x, b.missing("d", "float32", (width, 1, 3, 3)), group=width)
    x = b.node("GlobalAveragePool", x)
    b.output(b.node("Reshape", x, b.constant("s", [1, width])))
    return b.build()


def parameters(unit: Unit) -> dict[str, float]:
    """The preset's numbers by the names that the fit gives them."""
    law = unit.npu_law
    assert law is not None
    inward, outward = SOC.link("cpu", "npu"), SOC.link("npu", "cpu")
    p = {term: rate.value for term, rate in law.rate_g_per_s.items()}
    p |= {"token_dispatch_us": law.token_dispatch_us.value, "dispatch_us": unit.dispatch_us.value}
    p["spilled_cast_gb_per_s"] = (law.spilled_cast_gb_per_s or unit.cast_gb_per_s).value
    p |= {"working_bytes": law.working_bytes.value, "overlap": law.overlap.value, "call_us": unit.call_us.value}
    p |= {"bandwidth_gb_per_s": unit.bandwidth_gb_per_s.value, "cast_gb_per_s": unit.cast_gb_per_s.value}
    p |= {"layout_gb_per_s": unit.layout_gb_per_s.value, "sync_us": inward.sync_us.value}
    p |= {"copy_in_gb_per_s": inward.copy_gb_per_s.value, "copy_out_gb_per_s": outward.copy_gb_per_s.value}
    p["weights_gb_per_s"] = unit.weights_gb_per_s.value if unit.weights_gb_per_s else p["bandwidth_gb_per_s"]
    for dtype, factors in law.dtypes.items():
        p |= {f"{part}.{dtype}": getattr(factors, part).value for part in ("matrix", "vector", "dispatch")}
        p |= {f"overlap.{dtype}": factors.overlap.value} if factors.overlap is not None else {}
    return p


@pytest.mark.parametrize("dtype", ["float16", "int8", "w8a16"])
def test_the_fit_predicts_what_the_cost_path_predicts(dtype: str) -> None:
    graph, location = network(64), Location("npu", dtype)
    matches = find_matches(graph)
    sample = sample_of("net", graph, matches, SOC, location)
    assert sample is not None
    expected = total_us(placed(graph, matches, SOC, location), SOC)
    assert predicted_us(Stack([sample]), parameters(SOC.unit_named("npu")))[0] == pytest.approx(expected, rel=1e-6)


def test_models_made_by_the_law_are_fitted_and_held_out_ones_predicted() -> None:
    priors = read_priors("hexagon")
    truth = dict(priors.values) | {"depthwise": 200.0, "call_us": 60.0}
    names = [f"net{width}" for width in (32, 64, 128, 256, 512)]
    samples = []
    for width, side in zip((32, 64, 128, 256, 512), (96, 16, 64, 24, 40), strict=True):
        graph = network(width, side)
        sample = sample_of(graph.name, graph, find_matches(graph), SOC, Location("npu", "float16"))
        assert sample is not None
        samples.append(sample)
    stack = Stack(samples)
    data = Data((stack,), (np.log(predicted_us(stack, truth)),))
    x = fit(data, priors)
    assert max(map(abs, errors(data, priors.named(x))["float16"].values())) < 0.03
    left_out = cross_validated(data, priors)["float16"]
    assert sorted(left_out) == sorted(names)
    assert max(map(abs, left_out.values())) < 0.2


def test_least_squares_finds_a_line_in_spite_of_an_outlier_and_twice_the_same() -> None:
    t = np.arange(10.0)
    seen = 3 * t + 1
    seen[4] += 100
    prior = Prior(np.zeros(2), np.full(2, 1e3))
    found = [fitted(lambda x: x[0] * t + x[1] - seen, prior) for _ in range(2)]
    assert found[0] == pytest.approx([3, 1], abs=0.3)
    assert (found[0] == found[1]).all()


def test_the_spread_counts_one_more_model_as_outside() -> None:
    found = {str(i): np.expm1(0.01 * i) for i in range(19)}
    assert spreads({"int8": found})["int8"] == pytest.approx(np.exp(0.17))


def test_the_tail_of_a_few_models_is_drawn_to_that_of_all_dtypes() -> None:
    many = {str(i): np.expm1(0.01 * i) for i in range(99)}
    few = {str(i): np.expm1(0.01 * i) for i in range(9)} | {"broken": 9.0}
    alone, together = (spreads(errors)["w8a16"] for errors in ({"w8a16": few}, {"w8a16": few, "float16": many}))
    assert 1.2 < together < 0.7 * alone


def test_rows_in_part_on_the_cpu_and_rows_out_of_line_are_left_out_of_the_fit(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [
        "net,,float,phone,c,qnn_dlc,100,NPU,5,5,0,0,v1",
        "net,,float,phone,c,tflite,120,NPU,5,5,0,0,v1",
        "net,,float,phone,c,qnn,900,NPU,5,5,0,0,v1",
        "net,,w8a8,phone,c,qnn_dlc,300,NPU,5,4,0,1,v1",
    ]
    path.write_text(HEADER + "\n".join(rows) + "\n")
    found = aihub_rows(read_records(path))
    assert [row.units for row in found] == ["NPU", "NPU", "NPU", "NPU+CPU"]
    assert [not why_out_of_line(row, lines(found)) for row in found] == [True, True, False, True]
    assert measured_us(found, "phone") == {("net", "float16"): pytest.approx((100 * 120) ** 0.5)}
