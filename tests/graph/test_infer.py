import numpy as np
import onnx
import pytest

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.infer import infer_types, schema_of
from partita.graph.ir import Array, Node, Value
from partita.graph.match import Match, fuse
from partita.graph.onnx_import import from_proto
from tests.graph.models import parsed


def inferred(node: Node, *, constants: dict[str, Array] | None = None, **types: Value) -> dict[str, Value]:
    return infer_types(node, types, constants or {})


def f32(*shape: int | None) -> Value:
    return Value("float32", shape)


def test_types_come_from_onnx() -> None:
    node = Node("n", "Conv", ("x", "w"), ("y",), {"strides": (2, 2)})
    assert inferred(node, x=f32(1, 3, 8, 8), w=f32(4, 3, 2, 2)) == {"y": f32(1, 4, 4, 4)}


def test_constants_settle_shapes_and_without_them_dimensions_stay_open() -> None:
    node = Node("n", "Reshape", ("x", "shape"), ("y",))
    target = Value("int64", (2,))
    assert inferred(node, x=f32(2, 6), shape=target, constants={"shape": np.array([3, -1])}) == {"y": f32(3, 4)}
    assert inferred(node, x=f32(2, 6), shape=target) == {"y": f32(None, None)}


def test_an_unknown_dimension_stays_unknown() -> None:
    assert inferred(Node("n", "Relu", ("x",), ("y",)), x=f32(None, 3)) == {"y": f32(None, 3)}


def test_sequences_know_what_they_hold() -> None:
    assert inferred(Node("n", "SplitToSequence", ("x",), ("y",)), x=f32(4)) == {"y": Value("sequence", None, f32(1))}


def test_what_is_taken_out_of_a_sequence_or_an_optional_has_the_type_of_what_it_holds() -> None:
    sequence, optional = Value("sequence", None, f32(2, 3)), Value("optional", None, f32(2, 3))
    assert inferred(Node("n", "SequenceAt", ("s", "i"), ("y",)), s=sequence, i=Value("int64", ())) == {"y": f32(2, 3)}
    assert inferred(Node("n", "OptionalGetElement", ("o",), ("y",)), o=optional) == {"y": f32(2, 3)}
    assert inferred(Node("n", "Optional", ("x",), ("y",)), x=f32(2, 3)) == {"y": optional}


def test_what_is_made_of_something_without_a_type_has_none() -> None:
    assert inferred(Node("n", "SequenceLength", ("s",), ("y",)), s=Value("sequence", None)) == {}


def test_an_unwanted_output_has_no_type() -> None:
    node = Node("n", "LSTM", ("x", "w", "r"), ("", "h"), {"hidden_size": 3})
    assert inferred(node, x=f32(7, 2, 5), w=f32(1, 12, 5), r=f32(1, 12, 3)) == {"h": f32(1, 2, 3)}


@pytest.mark.parametrize(
    ("op", "domain"),
    [("GroupNormalization", ""), ("MeanVarianceNormalization", ""), ("QuickGelu", "com.microsoft"),
     ("BiasGelu", "com.microsoft"), ("Gelu", "com.microsoft")],
)  # fmt: skip
def test_operators_that_keep_their_inputs_type_do_so_without_onnx(op: str, domain: str) -> None:
    node = Node("n", op, ("x", "b"), ("y",), {"num_groups": 3}, domain)
    assert inferred(node, x=f32(2, 3), b=f32(3)) == {"y": f32(2, 3)}


SCALE, ZERO = Value("float32", ()), Value("uint8", ())


def u8(*shape: int) -> Value:
    return Value("uint8", shape)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "wanted"),
    [
        ("FusedConv", (f32(1, 3, 8, 8), f32(4, 3, 3, 3)), {"activation": "Relu", "strides": (2, 2)}, f32(1, 4, 3, 3)),
        ("FusedGemm", (f32(3, 2), f32(3, 4)), {"transA": 1, "activation": "Relu"}, f32(2, 4)),
        ("FusedMatMul", (f32(2, 3, 5), f32(4, 5)), {"transB": 1, "alpha": 0.5}, f32(2, 3, 4)),
        ("FusedMatMul", (f32(3, 5, 4), f32(3, 6, 5)), {"transA": 1, "transB": 1}, f32(3, 4, 6)),
        ("FusedMatMul", (f32(3, 2, 5), f32(2, 5, 6)), {"transBatchA": 1}, f32(2, 3, 6)),
        ("TransposeMatMul", (f32(5, 4), f32(5, 6)), {"transA": 1}, f32(4, 6)),
        ("FusedMatMul", (f32(5), f32(2, 6, 5)), {"transA": 1, "transB": 1}, f32(2, 6)),
        ("QLinearAdd", (u8(2, 3), SCALE, ZERO, u8(3), SCALE, ZERO, SCALE, ZERO), {}, u8(2, 3)),
        ("QLinearAveragePool", (u8(1, 2, 4, 4), SCALE, ZERO, SCALE, ZERO), {"kernel_shape": (2, 2)}, u8(1, 2, 3, 3)),
        ("QLinearGlobalAveragePool", (u8(1, 2, 4, 4), SCALE, ZERO, SCALE, ZERO), {}, u8(1, 2, 1, 1)),
        ("MatMulIntegerToFloat", (u8(2, 3), u8(3, 4), SCALE, SCALE), {}, f32(2, 4)),
        ("DynamicQuantizeMatMul", (f32(2, 3), u8(3, 4), SCALE), {}, f32(2, 4)),
        ("MatMulNBits", (f32(2, 5, 32), u8(16, 1, 16), f32(16)), {"K": 32, "N": 16}, f32(2, 5, 16)),
        ("EmbedLayerNormalization", (Value("int32", (2, 5)), Value("int32", (2, 5)), f32(99, 8)), {}, f32(2, 5, 8)),
        ("SkipLayerNormalization", (f32(2, 5, 8), f32(2, 5, 8), f32(8)), {}, f32(2, 5, 8)),
        ("BiasSplitGelu", (f32(2, 5, 8), f32(8)), {}, f32(2, 5, 4)),
    ],
)
def test_operators_of_onnxruntime_are_typed(
    op: str, inputs: tuple[Value, ...], attributes: dict[str, object], wanted: Value
) -> None:
    types = {f"x{i}": value for i, value in enumerate(inputs)}
    node = Node("n", op, tuple(types), ("y",), attributes, "com.microsoft", 1)
    assert infer_types(node, types, {}) == {"y": wanted}


def test_an_operator_whose_input_has_no_type_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match=r"node 'n' \(com.microsoft::Gelu\): the type of its input 'x' is not known"):
        inferred(Node("n", "Gelu", ("x",), ("y",), {}, "com.microsoft"))


def test_a_fused_operator_has_the_types_of_its_body() -> None:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (2, 3))
    b.output(b.node("Mul", x, b.node("Sigmoid", x, name="s"), name="m"))
    node = fuse(b.build(), [Match("Swish", ("s", "m"), ("x",), ("m",))]).nodes[0]
    assert inferred(node, x=f32(2, 3)) == {"m": f32(2, 3)}


def test_inputs_that_do_not_fit_are_refused_with_their_types() -> None:
    with pytest.raises(
        ModelError, match=r"node 'n' \(MatMul\): its inputs \(a float32\[2x3\], b float32\[2x3\]\) do not fit"
    ):
        inferred(Node("n", "MatMul", ("a", "b"), ("y",)), a=f32(2, 3), b=f32(2, 3))


def test_an_operator_that_onnx_lacks_is_refused() -> None:
    with pytest.raises(ModelError, match=r"operator 'Strange' of domain 'com\.example' is not known; rewrite it"):
        inferred(Node("n", "Strange", ("x",), ("y",), {}, "com.example"), x=f32(1))


def test_an_operator_newer_than_the_models_opset_is_refused() -> None:
    with pytest.raises(
        ModelError, match="operator 'Gelu' does not exist at opset 17; export the model with a newer opset"
    ):
        inferred(Node("n", "Gelu", ("x",), ("y",)), x=f32(1))


def test_the_schema_is_that_of_the_nodes_version() -> None:
    assert schema_of(Node("n", "ReduceSum", ("x",), ("y",), {}, "", 12)).since_version == 11
    assert schema_of(Node("n", "ReduceSum", ("x",), ("y",), {}, "", 13)).since_version == 13


def test_one_operator_at_a_time_infers_what_onnx_infers_for_a_whole_model() -> None:
    model = parsed(
        """g (float[1, 3, 8, 8] x) => (float[1, 2] y) <float[4, 3, 3, 3] w, float[4, 2] v> {
            a = Conv<pads = [1, 1, 1, 1]>(x, w)
            b = Relu(a)
            c = GlobalAveragePool(b)
            d = Flatten(c)
            y = MatMul(d, v)
        }"""
    )
    del model.graph.initializer[:]
    for name, shape in (("w", (4, 3, 3, 3)), ("v", (4, 2))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name))
    whole = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    wanted = {i.name: tuple(d.dim_value for d in i.type.tensor_type.shape.dim) for i in whole.graph.value_info}
    graph = from_proto(model)
    values = dict(graph.values)
    for node in graph.nodes:
        values.update(infer_types(node, values, graph.constants))
    assert {name: values[name].dims for name in wanted} == wanted
