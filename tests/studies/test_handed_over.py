"""What ONNX Runtime leaves to the CPU of networks on an NPU: which operators, what they cost, how that is fitted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from partita.devices import load_soc
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.onnx_export import to_model
from partita.studies.fitting.handed_over import HEAD, Measured, fit, left_out, predicted_us, spread, text_of
from partita.studies.validation.aihub_rows import AihubRow, lines, why_out_of_line
from partita.studies.validation.handed_over import RATES_FILE, Fallen, Law, Rates, fallen, law, law_from
from partita.studies.validation.models import graph_of
from partita.studies.validation.prediction import Prediction
from partita.studies.validation.tables.aihub import row_of

RATES = Rates(operator_us=200.0, weight_ns=8.0, element_ns=0.2, matmul_gmac_per_s=60.0)


def convolutions(count: int, *, products: int = 0) -> Graph:
    b = GraphBuilder("net")
    x = b.input("x", "float32", (1, 8, 16, 16))
    for i in range(count):
        x = b.node("Conv", x, b.constant(f"w{i}", np.ones((8, 8, 1, 1), np.float32)))
    for i in range(products):
        x = b.node("MatMul", x, b.constant(f"m{i}", np.ones((16, 16), np.float32)))
    b.output(x)
    return b.build()


def aihub_row(**more: object) -> AihubRow:
    plain = AihubRow(
        at="line 2", model="net", component="", precision="w8a8", device="Samsung Galaxy S24", runtime="onnx",
        time_us=1000.0, layers=9, npu_layers=9, gpu_layers=0, cpu_layers=0,
    )  # fmt: skip
    return replace(plain, **more)  # type: ignore[arg-type]  # fields by name


def test_each_layer_on_the_cpu_is_the_weights_of_a_convolution_until_there_are_no_more() -> None:
    graph = convolutions(4)
    assert fallen(graph, 1) == Fallen(operators=1.0, weights=64.0, elements=2048.0, macs=0.0)
    assert fallen(graph, 4) == fallen(graph, 9) == Fallen(operators=4.0, weights=256.0, elements=8192.0, macs=0.0)


def test_matrix_products_fall_before_convolutions_and_take_two_layers_each() -> None:
    graph = convolutions(4, products=3)
    assert fallen(graph, 6) == Fallen(operators=3.0, weights=0.0, elements=3 * 2048.0, macs=3 * 128 * 16 * 16)
    assert fallen(graph, 8).operators == 5.0
    assert fallen(graph, 3).macs == 1.5 * 128 * 16 * 16


def test_more_layers_on_the_cpu_never_take_less() -> None:
    times = [RATES.us(fallen(convolutions(5, products=3), layers)) for layers in range(14)]
    assert times == sorted(times)


def test_the_extra_time_goes_with_the_memory_and_leaves_the_network_itself_out() -> None:
    soc, what = load_soc("sd8gen2-qnn"), Fallen(operators=1.0, weights=0.0, elements=0.0, macs=0.0)
    known = Law(RATES, {"net": replace(RATES, operator_us=100.0)}, 2 * soc.dram.peak_gb_per_s.value, 2.0)
    assert known.extra_us("other", what, soc) == pytest.approx(400.0)
    assert known.extra_us("net", what, soc) == pytest.approx(200.0)


def test_rates_are_found_again_and_a_network_left_out_with_its_sisters_changes_nothing_if_the_law_holds() -> None:
    sizes = [(1, 1e5, 1e4, 0), (9, 1e6, 1e7, 0), (30, 2e7, 1e6, 0), (20, 0, 1e6, 4e9), (5, 0, 3e7, 9e9), (2, 5e6, 0, 0)]
    rows = [
        Measured(f"quicksrnet{i}" if i < 2 else f"net{i}", 0.0, 300.0, 1.0, Fallen(*map(float, size)))
        for i, size in enumerate(sizes)
    ]
    rows = [replace(row, latency_us=float(predicted_us([row], RATES)[0])) for row in rows]
    assert fit(rows).weight_ns == pytest.approx(RATES.weight_ns, rel=0.1)
    assert fit(rows).matmul_gmac_per_s == pytest.approx(RATES.matmul_gmac_per_s, rel=0.1)
    without = left_out(rows)
    assert without["quicksrnet0"] == without["quicksrnet1"]
    assert without["net2"].weight_ns == pytest.approx(RATES.weight_ns, rel=0.3)


def test_every_network_counts_once_in_the_interval() -> None:
    rows = [Measured(name, 1.0, 1.0, 1.0, Fallen(0, 0, 0, 0)) for name in ["a"] * 8 + ["b"]]
    assert spread(rows, np.array([0.1] * 8 + [0.7])) == pytest.approx(np.exp(0.7))


def test_what_the_fit_writes_is_read_again() -> None:
    without = {"net": replace(RATES, weight_ns=7.0)}
    assert law_from(text_of(RATES, without, 2.5)) == Law(RATES, without, 76.8, 2.5)


def test_the_shipped_file_is_as_the_fit_writes_it() -> None:
    shipped = law()
    text = RATES_FILE.read_text(encoding="utf-8")
    assert text.startswith(HEAD)
    assert text.endswith(f"\n\n{text_of(shipped.rates, shipped.left_out, shipped.spread)}")


def test_the_shipped_rates_predict_networks_without_themselves() -> None:
    shipped = law()
    assert len(shipped.left_out) >= 20
    assert all(1 < rates.weight_ns < 20 for rates in (shipped.rates, *shipped.left_out.values()))


def test_a_row_in_part_on_the_cpu_takes_as_much_longer_as_the_law_says(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(to_model(convolutions(4)).SerializeToString())
    pure, mixed = aihub_row(), aihub_row(npu_layers=6, cpu_layers=3)
    found = [row_of(row, path, lines([pure, mixed])) for row in (pure, mixed)]
    assert all(isinstance(each, Prediction) for each in found)
    extra_us = law().extra_us("net", fallen(graph_of(path)[0], 3), load_soc("sd8gen3-qnn"))
    assert 1e3 * (found[1].predicted - found[0].predicted) == pytest.approx(extra_us)  # type: ignore[union-attr]


def test_a_run_a_hundred_times_slower_than_a_cpu_is_out_of_line_though_all_runs_are() -> None:
    rows = [
        aihub_row(time_us=2e8),
        aihub_row(time_us=2e8, runtime="qnn_dlc"),
        aihub_row(time_us=1e6, device="RB5 (Proxy)", npu_layers=0, cpu_layers=9),
    ]
    reasons = [why_out_of_line(row, lines(rows)) for row in rows]
    assert "a CPU alone" in reasons[0]
    assert reasons[0] == reasons[1]
    assert not reasons[2]
    assert not why_out_of_line(rows[0], lines(rows[:2]))


def test_a_mixed_run_is_out_of_line_where_its_runtime_is_so_on_the_npu_alone() -> None:
    rows = [
        aihub_row(runtime="qnn_dlc"),
        aihub_row(runtime="tflite", time_us=9000.0),
        aihub_row(runtime="tflite", time_us=9000.0, npu_layers=8, cpu_layers=1),
        aihub_row(time_us=9000.0, npu_layers=8, cpu_layers=1),
    ]
    assert [bool(why_out_of_line(row, lines(rows))) for row in rows] == [False, True, True, False]


def test_the_first_releases_are_not_predicted(tmp_path: Path) -> None:
    row = aihub_row(release="v0.3.2")
    reason = row_of(row, tmp_path / "net.onnx", lines([row]))
    assert not isinstance(reason, Prediction)
    assert "v0.3.2 measured other networks" in reason.reason
