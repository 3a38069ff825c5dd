"""Support rules: which operators each backend takes, and the reasons it gives for the others."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from partita.devices import Verdict, load_soc, verdict
from partita.devices.support import backend_named, backend_verdict, support_named
from partita.errors import SocError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import Match, fuse

QNN, TFLITE = load_soc("sd8gen3-qnn"), load_soc("sd855-tflite")
HTP, QNN_GPU, ORT = QNN.unit_named("npu"), QNN.unit_named("gpu"), QNN.unit_named("cpu")
TFLITE_GPU = TFLITE.unit_named("gpu")
IMAGE = (1, 8, 16, 16)


def one(op: str, shape: tuple[int | None, ...] = IMAGE, *more: str, dtype: str = "float32", **options: Any) -> Graph:
    """One operator; `more` are inputs: "2x3" a run-time tensor, "const 2x3" a weight, "ints 0,1" integers."""
    b = GraphBuilder("one")
    names = [b.input("x", dtype, shape)]
    for index, text in enumerate(more):
        names.append(_input(b, f"in{index + 1}", text, dtype))
    b.output(*_as_tuple(b.node(op, *names, name="node", **options)))
    return b.build()


def _input(b: GraphBuilder, name: str, text: str, dtype: str) -> str:
    if not text:
        return ""
    if text.startswith("ints "):
        return b.constant(name, np.array([int(i) for i in text[5:].split(",")], np.int64))
    constant = text.startswith("const ")
    shape = tuple(int(size) for size in text.removeprefix("const ").split("x"))
    return b.missing(name, dtype, shape) if constant else b.input(name, dtype, shape)


def _as_tuple(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names


def on_htp(graph: Graph) -> Verdict:
    return verdict(graph, graph.nodes[-1], HTP, "float16")


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (lambda: one("Transpose", (1, 4, 8, 4, 8, 4)), "Transpose with tensor 'x' of rank 6: rank at most 5"),
        (lambda: one("Erf"), "Erf: refused alone"),
        (lambda: one("Acos"), "Acos is not in the list of QNN HTP v75"),
        (lambda: one("Gemm", (4, 64), "const 64x32", alpha=0.5), r"Gemm with alpha = 0.5: alpha must be 1.0"),
        (lambda: one("Clip", IMAGE, "", "1"), "Clip with run-time 'in2': input 2 must be constant"),
        (
            lambda: one("LayerNormalization", (1, 16, 64), "const 16x64", axis=1),
            "LayerNormalization over axis 1 of rank 3: the last axis only",
        ),
        (
            lambda: one("MaxPool", kernel_shape=(3, 3), dilations=(2, 2)),
            r"MaxPool with dilations = \[2, 2\]: dilations must be 1",
        ),
        (
            lambda: one("MaxPool", (1, 4, 8, 8, 8), kernel_shape=(2, 2, 2)),
            "MaxPool with tensor 'x' of rank 5: rank at most 4",
        ),
        (lambda: one("MaxPool", kernel_shape=(2, 2), outputs=2), "MaxPool with int64 tensor"),
        (lambda: one("LpNormalization", IMAGE, axis=1, p=1), "LpNormalization with p = 1: p must be 2"),
        (lambda: one("Sum", IMAGE), "Sum with 1 inputs: inputs at least 2"),
        (lambda: one("Max", (1, 2, 3, 4, 5), "1x2x3x4x5"), "Max with tensor 'x' of rank 5: rank at most 4"),
        (lambda: one("Einsum", (2, 3), "2x3", equation="ij,ij->i"), "Einsum of ij,ij->i: equations such as ab,bc->ac"),
        (lambda: one("Reshape", (2, 36), "ints 1,2,3,2,3,2"), "Reshape: only|Reshape without such a neighbour"),
        (lambda: one("Cast", IMAGE, to=7), "Cast with int64 tensor"),
        (lambda: one("Resize", (1, 8, 4), "", "", "ints 1,8,8", antialias=1, mode="linear", version=18), "antialias"),
        (lambda: one("MatMulInteger", (4, 16), "const 16x8", dtype="uint8"), "MatMulInteger on its own: only inside"),
    ],
)
def test_htp_refuses_what_it_was_measured_to_refuse_and_says_why(graph: Callable[[], Graph], reason: str) -> None:
    found = on_htp(graph())
    assert found.status == "unsupported"
    assert found.limit
    assert found.found
    assert "onnxruntime" in found.source
    assert re.search(reason, found.reason), found.reason


@pytest.mark.parametrize(
    "graph",
    [
        lambda: one("Conv", IMAGE, "const 16x8x3x3"),
        lambda: one("Conv", (1, 4, 8, 8, 8), "const 8x4x3x3x3"),
        lambda: one("Conv", IMAGE, "16x8x3x3"),
        lambda: one("MatMul", (1, 4, 16, 32), "1x4x32x16"),
        lambda: one("Gemm", (4, 64), "const 32x64", transB=1),
        lambda: one("Softmax", IMAGE, axis=1),
        lambda: one("Gelu", IMAGE, version=20),
        lambda: one("ArgMax", IMAGE, axis=1),
        lambda: one("Transpose", (1, 4, 8, 4, 8)),
        lambda: one("ReduceMean", IMAGE, axes=(2, 3)),
        lambda: one("Slice", IMAGE, "ints 0,0", "ints 8,8", "ints 2,3"),
        lambda: one("Mean", IMAGE, "1x8x16x16"),
        lambda: one("Reshape", IMAGE, "ints 1,-1", allowzero=1),
    ],
)
def test_htp_takes_what_it_was_measured_to_take(graph: Callable[[], Graph]) -> None:
    found = on_htp(graph())
    assert found.status == "native", found.reason
    assert found.is_accepted


def test_an_operator_that_becomes_others_is_lowered() -> None:
    assert on_htp(one("LeakyRelu")).status == "lowered"


def test_the_mean_of_a_float16_model_is_accepted_and_then_fails() -> None:
    found = on_htp(one("Mean", IMAGE, "1x8x16x16", dtype="float16"))
    assert found.status == "accepted_then_fails"
    assert not found.is_accepted
    assert "does not compile" in found.reason


def test_an_operator_that_the_runtime_expands_only_in_float16_models_is_refused_in_float32_ones() -> None:
    assert on_htp(one("ReduceL1", IMAGE, "ints 2,3", dtype="float16", version=18)).status == "lowered"
    assert on_htp(one("ReduceL1", IMAGE, "ints 2,3", version=18)).status == "unsupported"


def test_htp_does_not_compute_in_float32() -> None:
    graph = one("Relu")
    assert (
        verdict(graph, graph.nodes[0], HTP, "float32").reason
        == "Relu in float32: computes in float16 or int8 or w8a16 or w4a16"
    )


def test_a_dimension_that_is_not_known_is_refused_by_an_accelerator_and_taken_by_the_cpu() -> None:
    graph = one("Relu", (None, 8))
    assert "of shape float32[?x8]" in on_htp(graph).reason
    assert verdict(graph, graph.nodes[0], ORT, "float32").status == "native"


def token_lookup(*, computed: bool) -> Graph:
    b = GraphBuilder("lookup")
    tokens = b.input("tokens", "int64", (1, 16))
    if computed:
        tokens = b.node("Add", tokens, b.constant("one", np.array([1], np.int64)), name="shift")
    b.output(b.node("Gather", b.missing("table", "float32", (100, 32)), tokens, name="lookup"))
    return b.build()


def test_token_ids_from_outside_are_looked_up_on_htp_as_measured_for_bert() -> None:
    assert on_htp(token_lookup(computed=False)).status == "native"


def test_token_ids_of_64_bits_that_are_computed_inside_are_not() -> None:
    assert on_htp(token_lookup(computed=True)).limit == "input 1 must be constant or a model input"


def test_a_transpose_of_rank_6_between_reshapes_with_a_dimension_of_1_is_lowered() -> None:
    b = GraphBuilder("windows")
    x = b.node("Reshape", b.input("x", "float32", (1, 16, 16, 8)), b.constant("s", np.array([1, 2, 8, 2, 8, 8])))
    y = b.node("Transpose", x, name="t", perm=(0, 1, 3, 2, 4, 5))
    b.output(b.node("Reshape", y, b.constant("r", np.array([4, 64, 8]))))
    graph = b.build()
    assert verdict(graph, graph.node_named["t"], HTP, "float16").status == "lowered"


def test_a_chain_is_native_where_its_operators_are_and_the_unit_fuses_it() -> None:
    b = GraphBuilder("chain")
    y = b.node("Conv", b.input("x", "float32", IMAGE), b.missing("w", "float32", (8, 8, 3, 3)), name="conv")
    b.output(b.node("Relu", y, name="relu"))
    graph = b.build()
    node = fuse(graph, [Match("Conv+Relu", ("conv", "relu"), ("x", "w"), graph.outputs)]).nodes[0]
    assert verdict(graph, node, HTP, "float16").status == "native"
    assert verdict(graph, node, TFLITE_GPU, "float16").status == "native"


def test_a_chain_that_the_unit_does_not_fuse_or_of_which_it_lacks_a_link_is_refused() -> None:
    b = GraphBuilder("chain")
    y = b.node("Conv", b.input("x", "float32", (2, *IMAGE[1:])), b.missing("w", "float32", (8, 8, 3, 3)), name="conv")
    b.output(b.node("Elu", y, name="elu"))
    graph = b.build()
    node = fuse(graph, [Match("Conv+Elu", ("conv", "elu"), ("x", "w"), graph.outputs)]).nodes[0]
    assert verdict(graph, node, HTP, "float16").reason == "Conv+Elu: QNN HTP v75 does not run it as one kernel"
    assert "Conv with 2 in axis 0 of input 0" in verdict(graph, node, TFLITE_GPU, "float16").reason


def test_a_fused_operator_with_an_onnx_name_is_judged_as_that_operator() -> None:
    b = GraphBuilder("gelu")
    x = b.input("x", "float32", (1, 8))
    b.output(b.node("Mul", x, b.node("Sigmoid", x, name="s"), name="m"))
    graph = b.build()
    swish = fuse(graph, [Match("Swish", ("s", "m"), ("x",), graph.outputs)]).nodes[0]
    softsign = fuse(graph, [Match("Softsign", ("s", "m"), ("x",), graph.outputs)]).nodes[0]
    assert verdict(graph, swish, HTP, "float16").status == "native"
    assert verdict(graph, softsign, HTP, "float16").status == "unsupported"


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (
            lambda: one("Conv", (4, 8, 16, 16), "const 16x8x3x3"),
            "Conv with 4 in axis 0 of input 0: dimension at most 1",
        ),
        (lambda: one("Conv", (1, 8, 16), "const 16x8x3"), "Conv of rank 3: rank 4"),
        (lambda: one("Conv", IMAGE, "16x8x3x3"), "Conv with run-time 'in1': input 1 must be constant"),
        (lambda: one("Relu", (1, 1, 2, 3, 4)), "Relu of rank 5: rank at most 4"),
        (lambda: one("Slice", (8, 8), "ints 0", "ints 8"), "Slice of rank 2: rank from 3 to 4"),
        (lambda: one("Erf"), "Erf is not in the list of the TFLite GPU delegate"),
        (lambda: token_lookup(computed=False), r"Gather of rank 2 \(input 1\): rank at most 1"),
    ],
)
def test_the_tflite_gpu_delegate_refuses_with_its_own_reasons(graph: Callable[[], Graph], reason: str) -> None:
    made = graph()
    found = verdict(made, made.nodes[-1], TFLITE_GPU, "float16")
    assert found.status == "unsupported"
    assert re.search(reason, found.reason), found.reason


def test_the_qnn_gpu_borrows_the_delegates_rules_and_calls_them_estimated() -> None:
    graph = one("Conv", IMAGE, "const 16x8x3x3")
    found = verdict(graph, graph.nodes[0], QNN_GPU, "float16")
    assert found.status == "native"
    assert found.source.startswith("estimated")
    assert "QNN GPU" in verdict(one("Erf"), one("Erf").nodes[0], QNN_GPU, "float16").reason


HEADER = """
format = "partita-support/1"
backend = "b"
source = "s"
dtypes = ["float32"]
types = ["*"]
static_shapes = false
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER, "rules is missing"),
        (HEADER + 'rules = [{ ops = ["Add"], requires = [] }]', r"rules\[0\].requires is not a known field"),
        (HEADER + 'rules = [{ ops = ["Add"], require = [{ check = "size" }] }]', r"require\[0\]: .*'size'.*'rank'"),
        (HEADER + 'rules = [{ ops = ["Add"], status = "perhaps" }]', r"rules\[0\].status: .*'native'.*is 'perhaps'"),
        (HEADER + 'like = "nothing"\nrules = []', "there is no support file 'nothing'; known: "),
        (HEADER + 'like = "qnn-gpu"\nrules = []', "like is 'qnn-gpu', which itself is like another"),
        ("rules = ", "not a TOML file"),
    ],
)
def test_a_wrong_support_file_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SocError, match=message) as caught:
        support_named(str(path))
    assert "\n" not in str(caught.value)


CONDITIONS = {
    '{ check = "opset", min = 99 }': "Add of opset [0-9]+: opset at least 99",
    '{ check = "type", of = "input 0", one_of = ["int8"] }': "Add with float32 input 0: input 0 must be int8",
    '{ check = "count", of = "outputs", min = 2 }': "Add with 1 outputs: outputs at least 2",
    '{ check = "dimension", axis = 1, multiple_of = 16 }': "Add with 8 in axis 1 of input 0: a multiple of 16",
    '{ check = "dimension", min = 2, max = 9 }': "Add with 1 in input 0: dimension from 2 to 9",
    '{ check = "attribute", name = "axis", absent = false }': "Add: axis must be given",
    '{ check = "attribute", name = "k", default = 9, min = 1, max = 7 }': "Add with k = 9: k from 1 to 7",
    '{ check = "computed", inputs = [1] }': "Add of the constant 'in1': input 1 must not be constant",
    '{ check = "between", ops = ["Relu"] }': "Add next to an input: only between Relu",
    '{ check = "beside", ops = ["Relu"] }': "Add without such a neighbour: only beside Relu",
    '{ check = "inside" }': "Add at the model's 'x': not at the model's border",
    '{ check = "elements", max = 9 }': "Add with 2048 elements in input 0: elements at most 9",
    '{ check = "quantised", one_of = ["uint8", "int8"] }': "Add in floating point: activations of uint8 or int8",
    '{ check = "never", reason = "no" }': "Add: no",
}


@pytest.mark.parametrize(("condition", "reason"), CONDITIONS.items())
def test_each_condition_explains_itself(tmp_path: Path, condition: str, reason: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(HEADER + f'[[rules]]\nops = ["Add"]\nrequire = [{condition}]\n')
    unit = ORT.model_copy(update={"support": str(path)})
    graph = one("Add", IMAGE, "const 1x8x16x16")
    found = verdict(graph, graph.nodes[0], unit, "float32")
    assert found.status == "unsupported"
    assert re.search(reason, found.reason), found.reason


def test_an_empty_constant_leaves_an_input_out_and_is_no_reason_to_refuse() -> None:
    """Resize-11 must name its roi and scales, and exporters write them as empty tensors."""
    b = GraphBuilder("resize")
    x = b.input("x", "float32", IMAGE)
    empty = b.constant("empty", np.zeros(0, np.float32))
    b.output(
        b.node("Resize", x, empty, b.constant("scales", np.array([1, 1, 2, 2], np.float32)), mode="nearest", version=11)
    )
    graph = b.build()
    assert verdict(graph, graph.nodes[0], HTP, "float16").status == "native"


QUANTISED: dict[str, np.ndarray[Any, Any]] = {
    "uint8": np.array(128, np.uint8),
    "uint16": np.array(32768, np.uint16),
    "int8": np.array(0, np.int8),
}


def qdq(op: str, scheme: str, *more: str, shape: tuple[int, ...] = IMAGE, **options: Any) -> Graph:
    """One operator between DequantizeLinear and QuantizeLinear; `more` are quantised weights or inputs: "const 4x8"."""
    b = GraphBuilder("qdq")
    zero = QUANTISED[scheme]
    scale, zero_point = b.constant("scale", np.array(0.1, np.float32)), b.constant("zero", zero)
    names = []
    for index, text in enumerate((f"{'x'.join(map(str, shape))}", *more)):
        dims = tuple(int(size) for size in text.removeprefix("const ").split("x"))
        if text.startswith("const "):
            stored = b.constant(f"w{index}", np.zeros(dims, zero.dtype))
        else:
            stored = b.node("QuantizeLinear", b.input(f"x{index}", "float32", dims), scale, zero_point, version=21)
        names.append(b.node("DequantizeLinear", stored, scale, zero_point, version=21))
    y = b.node(op, *names, name="node", **{"version": 21, **options})
    b.output(b.node("QuantizeLinear", y, scale, zero_point, version=21))
    return b.build()


def at(generation: int, graph: Graph, dtype: str = "float16") -> Verdict:
    unit = HTP.model_copy(update={"support": f"qnn-htp:v{generation}"})
    return verdict(graph, graph.node_named["node"], unit, dtype)


@pytest.mark.parametrize("scheme", ["uint8", "uint16"])
def test_what_has_no_form_for_signed_activations_is_taken_with_unsigned_ones(scheme: str) -> None:
    assert at(73, qdq("LogSoftmax", scheme)).status == "native"
    found = at(73, qdq("LogSoftmax", "int8"))
    assert found.reason == "LogSoftmax with int8 activations: floating point or activations of uint8 or uint16"


def test_the_arcsine_is_a_table_and_so_taken_only_quantised() -> None:
    assert at(75, qdq("Asin", "uint8")).status == "native"
    assert at(75, one("Asin")).limit == "activations of uint8 or uint16 or int8"


def test_a_float_operator_is_judged_as_the_dtype_of_its_location_quantises_it() -> None:
    assert at(75, one("Neg"), "int8").status == "native"
    assert at(75, one("ReduceLogSumExp"), "w8a16").limit == "floating point only"
    assert at(75, one("Asin"), "int8").status == "native"


def test_a_constant_that_is_dequantised_is_still_a_constant() -> None:
    assert at(73, qdq("Conv", "uint8", "const 16x8x3x3")).status == "native"
    assert at(68, qdq("Conv", "uint16", "const 16x8x3x3")).status == "native"


def test_computed_weights_beside_16_bit_activations_come_with_v73() -> None:
    graph = qdq("Conv", "uint16", "16x8x3x3")
    assert [at(each, graph).status for each in (68, 69, 73)] == ["accepted_then_fails", "accepted_then_fails", "native"]
    product = qdq("Gemm", "uint16", "64x32", shape=(4, 64))
    assert [at(each, product).status for each in (69, 73)] == ["unsupported", "native"]
    assert at(69, qdq("Gemm", "uint8", "64x32", shape=(4, 64))).status == "native"


def test_a_float32_operator_without_a_form_on_v68_is_accepted_and_then_fails_there() -> None:
    assert at(68, one("Atan")).status == "accepted_then_fails"
    assert at(68, one("Atan", dtype="float16")).status == "native"
    assert at(69, one("Atan")).status == "native"
    assert at(68, qdq("Selu", "uint8")).status == "accepted_then_fails"


def test_what_the_rules_refuse_does_not_fail_late() -> None:
    assert at(68, one("LpNormalization", IMAGE, axis=1, p=1)).status == "unsupported"


def test_one_scale_for_each_channel_is_for_the_weights_of_convolutions() -> None:
    b = GraphBuilder("channels")
    one_scale, zero = b.constant("s", np.array(0.1, np.float32)), b.constant("z", np.array(128, np.uint8))
    scales, zeros = b.constant("ss", np.full(16, 0.1, np.float32)), b.constant("zz", np.zeros(16, np.int8))
    q = b.node("QuantizeLinear", b.input("x", "float32", (1, 16, 8, 8)), one_scale, zero, version=21)
    x = b.node("DequantizeLinear", q, one_scale, zero, version=21)
    stored = b.constant("w", np.zeros((16, 16, 3, 3), np.int8))
    for axis, status in ((0, "native"), (1, "unsupported")):
        w = b.node("DequantizeLinear", stored, scales, zeros, name=f"w_{axis}", axis=axis, version=21)
        b.output(b.node("Conv", x, w, name=f"conv_{axis}", version=21))
        graph = b.build()
        found = verdict(graph, graph.node_named[f"conv_{axis}"], HTP, "float16")
        assert found.status == status, found.reason


def test_quantising_at_the_models_border_stays_on_the_cpu() -> None:
    graph = qdq("Relu", "uint8")
    first, second, *_, last = graph.nodes
    assert verdict(graph, first, HTP, "float16").limit == "not at the model's border"
    assert verdict(graph, second, HTP, "float16").status == "native"
    assert verdict(graph, last, HTP, "float16").limit == "not at the model's border"


@pytest.mark.parametrize(
    ("equation", "shapes", "status"),
    [
        ("bhwc,hkc->bhwk", ((1, 3, 4, 5), "3x6x5"), "native"),
        ("nqc, nkc -> nqk", ((1, 3, 4), "1x5x4"), "native"),
        ("bchw,bkc->bkhw", ((1, 3, 4, 5), "1x2x3"), "unsupported"),
    ],
)
def test_an_einsum_is_judged_by_its_equation_whatever_its_letters(
    equation: str, shapes: tuple[tuple[int, ...], str], status: str
) -> None:
    assert on_htp(one("Einsum", shapes[0], shapes[1], equation=equation)).status == status


def test_a_clip_is_taken_by_nnapi_only_with_the_bounds_that_it_has_names_for() -> None:
    def clip(low: float, high: float) -> Verdict:
        b = GraphBuilder("clip")
        bounds = [b.constant(name, np.array(v, np.float32)) for name, v in (("low", low), ("high", high))]
        b.output(b.node("Clip", b.input("x", "float32", IMAGE), *bounds, name="node"))
        graph = b.build()
        return backend_verdict(graph, graph.nodes[0], backend_named("nnapi:v30"), "float32")

    assert clip(0, 6).status == clip(-1, 1).status == "native"
    assert clip(0, 4).reason == "Clip with 4 in input 2: input 2 must be 6"


def test_an_api_level_is_a_generation_of_nnapi() -> None:
    graph = one("Elu")
    levels = {level: backend_named(f"nnapi:v{level}") for level in (29, 30)}
    found = {level: backend_verdict(graph, graph.nodes[0], backend, "float32") for level, backend in levels.items()}
    assert (found[29].status, found[30].status) == ("unsupported", "native")
    assert found[29].reason == "Elu is not in the list of NNAPI at API level v29"


def test_a_file_that_is_like_another_may_refuse_what_that_one_takes() -> None:
    graph = one("Softmax", (1, 8))
    found = {name: backend_verdict(graph, graph.nodes[0], backend_named(name), "int8") for name in ("rk3588", "rk3566")}
    assert found["rk3588"].status == "native"
    assert "not in this chip's list" in found["rk3566"].reason
    assert "RK3566" in found["rk3566"].source


def test_without_a_generation_the_newest_is_asked() -> None:
    assert backend_named("qnn-htp").title == "QNN HTP v81"
    assert backend_named("rk3588").title == "the RK3588 NPU"


@pytest.mark.parametrize(
    ("channels", "kernel", "group", "limit"),
    [(8, 31, 1, ""), (8, 32, 1, "dimension at most 31"), (8, 8, 8, ""), (8, 9, 8, "dimension at most 8")],
)
def test_a_window_on_the_rk3588_has_another_limit_if_it_is_depthwise(
    channels: int, kernel: int, group: int, limit: str
) -> None:
    weights = f"const 8x{channels // group}x{kernel}x{kernel}"
    graph = one("Conv", (1, channels, 64, 64), weights, group=group)
    assert backend_verdict(graph, graph.nodes[0], backend_named("rk3588"), "int8").limit == limit


def on(backend: str, graph: Graph, node: str = "node") -> Verdict:
    found = backend_named(backend)
    return backend_verdict(graph, graph.node_named[node], found, found.support.dtypes[0])


def test_what_follows_a_refused_operator_is_outside_the_one_piece_of_an_edge_tpu() -> None:
    b = GraphBuilder("piece")
    x = b.input("x", "float32", IMAGE)
    before = b.node("Relu", x, name="before")
    b.output(b.node("Tanh", before, name="beside"))
    b.output(b.node("Sigmoid", b.node("Erf", before, name="stop"), name="after"))
    graph = b.build()
    assert on("coral-edgetpu", graph, "before").status == on("coral-edgetpu", graph, "beside").status == "native"
    assert on("coral-edgetpu", graph, "stop").reason == "Erf is not in the list of the Coral Edge TPU"
    after = on("coral-edgetpu", graph, "after")
    assert (after.status, after.found) == ("unsupported", "after 'stop'")
    assert on("rk3588", graph, "after").status == "native"


def test_a_chain_behind_a_refused_operator_is_outside_the_piece_too() -> None:
    b = GraphBuilder("piece")
    x = b.node("Erf", b.input("x", "float32", IMAGE), name="stop")
    w = b.missing("w", "float32", (8, 8, 1, 1))
    b.output(b.node("Relu", b.node("Conv", x, w, name="conv"), name="relu"))
    fused = fuse(b.build(), [Match("Conv+Relu", ("conv", "relu"), (x, w), ("relu",))])
    tpu = load_soc("coral-edgetpu").unit_named("tpu")
    assert verdict(fused, fused.nodes[-1], tpu, "int8").found == "after 'stop'"


@pytest.mark.parametrize(
    ("backend", "graph", "limit"),
    [
        ("tensorrt-dla:v2", lambda: one("Conv", (1, 8, 64, 64), "const 8x8x33x1"), "dimension from 1 to 32"),
        ("tensorrt-dla:v2", lambda: one("MaxPool", kernel_shape=(9, 9)), "kernel_shape from 1 to 8"),
        ("tensorrt-dla:v1", lambda: one("Softmax", (1, 8, 1, 1), axis=1), "never"),
        ("tensorrt-gpu", lambda: one("Conv", (1, 8, 16), "const 8x8x3"), "rank from 4 to 5"),
        (
            "tensorrt-gpu",
            lambda: one("Resize", IMAGE, "", "", "ints 1,8,32,32", mode="cubic"),
            "mode must be nearest or linear",
        ),
        ("coreml-ane", lambda: one("Conv", IMAGE, "const 8x8x3x3", dilations=(2, 2)), "dilations must be 1"),
        ("coreml-ane", lambda: one("Gather", IMAGE, "ints 0,1"), "never"),
        ("hailo8", lambda: one("MatMul", (2, 3, 8, 8), "2x3x8x8"), "dimension at most 1"),
        ("qnn-htp:v73", lambda: one("TopK", (8, 5, 9), "ints 3", axis=-2, outputs=2), "axis at least -1"),
    ],
)
def test_limits_of_further_backends(backend: str, graph: Callable[[], Graph], limit: str) -> None:
    found = on(backend, graph())
    assert (found.status, found.limit) == ("unsupported", limit)


@pytest.mark.parametrize(
    ("backend", "graph"),
    [
        ("tensorrt-dla:v2", lambda: one("Conv", (1, 8, 64, 64), "const 8x8x32x1")),
        ("tensorrt-dla:v2", lambda: one("Softmax", (1, 8, 1, 1), axis=1)),
        ("tensorrt-gpu", lambda: one("Conv", IMAGE, "const 8x8x3x3")),
        ("coreml-ane", lambda: one("Conv", IMAGE, "const 8x8x3x3")),
        ("qnn-htp:v73", lambda: one("TopK", (8, 5, 9), "ints 3", axis=1, outputs=2)),
    ],
)
def test_what_just_fits_is_taken(backend: str, graph: Callable[[], Graph]) -> None:
    assert on(backend, graph()).is_accepted


@pytest.mark.parametrize(
    ("kernel", "strides", "fails"),
    [
        ("5x3", (2, 2), False),
        ("5x1", (2, 2), True),
        ("3x3", (2, 3), True),
        ("3x3", (2, 2), False),
        ("5x1", (2, 1), False),
    ],
)
def test_quantised_depthwise_convolutions_that_the_htp_takes_and_cannot_make(
    kernel: str, strides: tuple[int, int], fails: bool
) -> None:
    graph = one("Conv", IMAGE, f"const 8x1x{kernel}", group=8, strides=strides)
    found = backend_verdict(graph, graph.nodes[-1], backend_named("qnn-htp:v73"), "int8")
    assert (found.status == "accepted_then_fails") == fails


@pytest.mark.parametrize("weight_first", [True, False])
def test_a_norm_by_reciprocal_fails_only_with_its_weight_first(weight_first: bool) -> None:
    b = GraphBuilder("norm")
    x, w = b.input("x", "float32", (1, 16, 8)), b.missing("w", "float32", (8,))
    mean = b.node("ReduceMean", b.node("Pow", x, b.constant("two", np.float32(2))), axes=(-1,))
    root = b.node("Sqrt", b.node("Add", mean, b.constant("eps", np.float32(1e-5))))
    normed = b.node("Mul", x, b.node("Reciprocal", root))
    b.output(b.node("Mul", *((w, normed) if weight_first else (normed, w)), name="node"))
    expected = "accepted_then_fails" if weight_first else "native"
    assert on("qnn-htp:v73", b.build()).status == expected
