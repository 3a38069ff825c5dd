"""The quantised form of a plan: pairs of QuantizeLinear and DequantizeLinear, as onnxruntime computes them."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import partita as pt
from partita.errors import PlanError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.onnx_export import to_model
from partita.graph.plan import Location, Plan
from partita.kernels.calibration import calibrate
from partita.partitioner import Rule
from partita.reports.exports.folder import export_plan
from partita.reports.exports.quantised import quantised_form

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((1, 3, 12, 12)).astype(np.float32)
STEPS = 255


def small_network(opset: int = 17) -> Graph:
    """A convolution with an activation, a pool, and a softmax that stays on the CPU."""

    def weight(name: str, *shape: int) -> str:
        return b.constant(name, (RNG.standard_normal(shape) / 4).astype(np.float32))

    b = GraphBuilder("small", opset)
    x = b.input("x", "float32", IMAGE.shape)
    y = b.node("Conv", x, weight("w", 8, 3, 3, 3), weight("b", 8), name="conv", pads=(1,) * 4)
    y = b.node("Relu", y, name="relu")
    y = b.node("Flatten", b.node("GlobalAveragePool", y, name="pool"), name="flat")
    y = b.node("Gemm", y, weight("v", 5, 8), name="gemm", transB=1)
    b.output(b.node("Softmax", y, name="softmax"))
    return b.build()


def quantised_plan(graph: Graph) -> Plan:
    pins = [*(Rule(name, "npu") for name in ("conv", "gemm")), Rule("softmax", "cpu")]
    plan = pt.partition(graph, pt.soc("sd8gen3-qnn"), pins=pins, allow=[Location("npu", "int8")])
    assert plan.placed["gemm"].dtype == "int8"
    return plan


def by_onnxruntime(model: onnx.ModelProto | Path, feeds: dict[str, Any]) -> Any:
    given = str(model) if isinstance(model, Path) else model.SerializeToString()
    return ort.InferenceSession(given, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def test_onnxruntime_computes_the_quantised_form_as_the_plan_does(tmp_path: Path) -> None:
    plan = quantised_plan(small_network())
    feeds = {"x": IMAGE}
    ranges = calibrate(plan.graph, [feeds])
    (ours,) = pt.execute(plan, feeds).outputs.values()
    made = export_plan(plan, pt.simulate(plan), tmp_path / "out", ("model",), ranges)
    assert made.manifest["quantised"] == "quantised.onnx"
    np.testing.assert_allclose(by_onnxruntime(made.folder / "quantised.onnx", feeds), ours, atol=2 / STEPS)


def test_weights_are_whole_numbers_and_operators_on_the_cpu_are_left_alone() -> None:
    plan = quantised_plan(small_network())
    form = quantised_form(plan, calibrate(plan.graph, [{"x": IMAGE}]))
    assert {"w", "v"}.isdisjoint(form.constants)
    assert sum(array.dtype == np.int8 and array.ndim > 1 for array in form.constants.values()) == 2
    softmax = form.node_named["softmax"]
    assert not any(node.op == "QuantizeLinear" and node.inputs[0] in softmax.outputs for node in form.nodes)
    onnx.checker.check_model(to_model(form), full_check=True)


def test_a_plan_without_quantised_locations_has_no_such_file(tmp_path: Path) -> None:
    plan = pt.partition(small_network(), pt.soc("sd8gen3-qnn"))
    made = export_plan(plan, pt.simulate(plan), tmp_path / "out", ("model",), {})
    assert made.manifest["quantised"] is None
    assert "quantised.onnx" not in made.files


def test_operators_too_old_for_scales_by_channel_are_refused() -> None:
    plan = quantised_plan(small_network(opset=12))
    with pytest.raises(PlanError, match="needs opset 13"):
        quantised_form(plan, calibrate(plan.graph, [{"x": IMAGE}]))
