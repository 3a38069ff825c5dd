from typing import Any

import numpy as np
import pytest

from partita.errors import ModelError
from partita.graph.fit import check_regions
from partita.graph.infer import infer_types
from partita.graph.ir import Array, Graph, Node, Value

NAN, MANY = float("nan"), 2**40


def floats(*numbers: float) -> Array:
    return np.array(numbers, np.float32)


def ones(*shape: int) -> Array:
    return np.ones(shape, np.float32)


IMAGE = (1, 4, 8, 8)
SEQUENCE = (7, 2, 5)
BAD: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("Resize", (IMAGE, "", floats(1, 1, NAN, NAN)), {}, "must be positive and finite"),
    ("Resize", (IMAGE, "", floats(1, 1, 1e30, 1e30)), {}, "must be positive and finite"),
    ("Resize", (IMAGE, "", "", np.array([1, 4, -5, 2])), {}, "must be positive and finite"),
    ("Tile", ((1, 1), np.array([MANY, MANY])), {}, "more elements than any memory holds"),
    ("Expand", ((1, 1), np.array([MANY, 2])), {}, "more elements than any memory holds"),
    ("Pad", ((2, 2), np.array([-2, 0, -2, 0])), {}, "negative dimension"),
    ("TopK", ((2, 4), np.array([-1])), {}, "negative dimension"),
    ("TopK", ((2, 4), np.array([9])), {}, "less than the requested k"),
    ("Reshape", ((2, 3), np.array([4, 4])), {}, r"\[2x3\] has 6 elements and cannot become \[4x4\] with 16"),
    ("Conv", (IMAGE, (4, 5, 3, 3)), {}, r"its input is \[1x4x8x8\], but the other sizes ask for \[1x5x8x8\]"),
    ("Conv", (IMAGE, (3, 2, 3, 3)), {"group": 2}, "3 output channels cannot be split into 2 groups"),
    ("Conv", (IMAGE, (4, 4, 3, 3)), {"group": 0}, "group must be 1 or more, is 0"),
    ("Conv", (IMAGE, (4, 4, 3)), {}, "does not match the number of spatial"),
    ("Conv", (IMAGE, (4, 4, 9, 9)), {}, "reaches over 9 elements of axis 2, which has 8 with its padding"),
    ("Conv", (IMAGE, (4, 4, 5, 5)), {"dilations": (3, 1), "strides": (9, 9)}, "reaches over 13 elements"),
    ("Conv", (IMAGE, (4, 4, 3, 3), (3,)), {}, r"its bias is \[3\]"),
    ("Conv", (IMAGE, (4, 4, 3, 3)), {"kernel_shape": (1, 1)}, "its kernel_shape"),
    ("ConvTranspose", (IMAGE, (3, 4, 3, 3)), {}, r"its input is \[1x4x8x8\]"),
    ("ConvTranspose", (IMAGE, (4, 4, 3, 3)), {"pads": (9, 9, 9, 9)}, "crops the whole output"),
    ("MaxPool", (IMAGE,), {"kernel_shape": (9, 9)}, "reaches over 9 elements"),
    ("AveragePool", (IMAGE,), {"kernel_shape": (11, 11), "strides": (2, 2), "ceil_mode": 1}, "reaches over 11"),
    ("InstanceNormalization", (IMAGE, (4,), (5,)), {}, r"its input 2 is \[5\]"),
    ("BatchNormalization", (IMAGE, (4,), (4,), (5,), (4,)), {}, "5 and 4"),
    ("LayerNormalization", ((1, 4, 8), (5,)), {}, r"its scale is \[5\], which cannot be stretched onto \[1x4x8\]"),
    ("GroupNormalization", (IMAGE, (3,), (3,)), {"num_groups": 3}, "4 channels cannot be split into 3 groups"),
    ("LSTM", (SEQUENCE, (1, 12, 6), (1, 12, 3)), {"hidden_size": 3}, r"its weight is \[1x12x6\]"),
    ("LSTM", (SEQUENCE, (1, 12, 5), (1, 12, 3), (1, 12)), {"hidden_size": 3}, r"its bias is \[1x12\]"),
    ("GRU", (SEQUENCE, (1, 12, 5), (1, 9, 3)), {"hidden_size": 3}, r"its weight is \[1x12x5\]"),
    ("RNN", (SEQUENCE, (1, 3, 5), (1, 3, 3)), {"hidden_size": 3, "direction": "bidirectional"}, "recurrence weight"),
    ("QuantizeLinear", ((2, 4), (3,)), {"axis": 1}, r"its scale is \[3\]"),
    ("QuantizeLinear", ((2, 4), (3,)), {"axis": 5}, "axis 5 is not one of the 2 axes"),
    ("DepthToSpace", (IMAGE,), {"blocksize": 3}, "4 channels cannot be split into blocks of 3x3"),
    ("SpaceToDepth", (IMAGE,), {"blocksize": 3}, "cannot be cut into blocks of 3x3"),
    ("Cast", (IMAGE,), {"to": 0}, "Invalid tensor data type 0"),
    ("Gemm", ((2, 4), (4, 5), (3,)), {}, "its third input"),
    ("PRelu", ((2, 4), (3,)), {}, "its slope"),
]
GOOD: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("Resize", (IMAGE, floats(), floats(1, 1, 2, 2)), {}),
    ("Resize", (IMAGE, floats(0, 0, 0, 0, 1, 1, 1, 1), floats(1, 1, 0.5, 2)), {}),
    ("Conv", (IMAGE, (4, 4, 9, 9)), {"pads": (1, 1, 0, 0)}),
    ("Conv", (IMAGE, (4, 4, 9, 9)), {"auto_pad": "SAME_UPPER"}),
    ("Conv", ((0, 4, 8, 8), (8, 1, 3, 3), (8,)), {"group": 4}),
    ("Conv", ((None, None, 8, 8), (4, 4, 3, 3)), {}),
    ("ConvTranspose", (IMAGE, (4, 2, 3, 3), (4,)), {"group": 2}),
    ("MaxPool", (IMAGE,), {"kernel_shape": (9, 9), "strides": (2, 2), "ceil_mode": 1}),
    ("LayerNormalization", ((1, 4, 8), (4, 8)), {"axis": 1}),
    ("LSTM", ((2, 7, 5), (2, 12, 5), (2, 12, 3), (2, 24), (2,), (2, 2, 3)),
     {"hidden_size": 3, "layout": 1, "direction": "bidirectional"}),
    ("QuantizeLinear", ((2, 4), (4,)), {"axis": -1}),
    ("QuantizeLinear", ((2, 4), (1,)), {"axis": 9}),
    ("Reshape", ((2, 3), np.array([0, -1])), {}),
    ("Gemm", ((2, 4), (4, 5), (1, 5)), {}),
    ("PRelu", (IMAGE, (4, 1, 1)), {}),
]  # fmt: skip


def infer(op: str, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> dict[str, Value]:
    """Infers an operator on float tensors of the given shapes and on the given constants, "" for an absent input."""
    types: dict[str, Value] = {}
    constants: dict[str, Array] = {}
    for index, given in enumerate(inputs):
        if isinstance(given, np.ndarray):
            constants[f"i{index}"] = given
            types[f"i{index}"] = Value(given.dtype.name, given.shape)
        elif given:
            types[f"i{index}"] = Value("int32" if (op, index) == ("LSTM", 4) else "float32", given)
    names = tuple(f"i{index}" if f"i{index}" in types else "" for index in range(len(inputs)))
    version = 18 if op == "GroupNormalization" else 17
    outputs = ("y", "i") if op == "TopK" else ("y",)
    return infer_types(Node("bad", op, names, outputs, attributes, "", version), types, constants)


@pytest.mark.parametrize(("op", "inputs", "attributes", "reason"), BAD)
def test_an_operator_that_nothing_can_compute_is_refused_by_name(
    op: str, inputs: tuple[Any, ...], attributes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ModelError, match=rf"^node 'bad' \({op}\): .*{reason}"):
        infer(op, inputs, attributes)


@pytest.mark.parametrize(("op", "inputs", "attributes"), GOOD)
def test_an_operator_at_the_edge_of_what_can_be_computed_is_typed(
    op: str, inputs: tuple[Any, ...], attributes: dict[str, Any]
) -> None:
    assert infer(op, inputs, attributes)["y"].dtype


@pytest.mark.parametrize(
    ("scale", "zero", "is_sound"), [((4,), (4,), True), ((3,), (3,), False), ((4,), (3,), False), ((), (), True)]
)
def test_a_dequantisation_needs_a_scale_and_a_zero_point_for_each_slice(
    scale: tuple[int, ...], zero: tuple[int, ...], is_sound: bool
) -> None:
    types = {"x": Value("int8", (2, 4)), "s": Value("float32", scale), "z": Value("int8", zero)}
    node = Node("bad", "DequantizeLinear", ("x", "s", "z"), ("y",), {"axis": 1})
    if is_sound:
        assert infer_types(node, types, {})["y"].shape == (2, 4)
    else:
        with pytest.raises(ModelError, match="node 'bad'"):
            infer_types(node, types, {})


@pytest.mark.parametrize(("rows", "is_sound"), [(3, True), (2, False)])
def test_a_blocked_quantisation_needs_a_scale_for_each_block(rows: int, is_sound: bool) -> None:
    types = {"x": Value("int8", (5, 4)), "s": Value("float32", (rows, 4))}
    node = Node("bad", "DequantizeLinear", ("x", "s"), ("y",), {"axis": 0, "block_size": 2}, "", 21)
    if is_sound:
        assert infer_types(node, types, {})["y"].shape == (5, 4)
    else:
        with pytest.raises(ModelError, match=r"its scale is \[2x4\], but the other sizes ask for \[3x4\]"):
            infer_types(node, types, {})


def region(inputs: int, outputs: int) -> Graph:
    names = tuple(f"r{i}" for i in range(inputs))
    return Graph("body", (), names, tuple(f"o{i}" for i in range(outputs)), {})


@pytest.mark.parametrize(
    ("op", "inputs", "outputs", "attributes"),
    [
        ("Loop", 3, 1, {"body": region(1, 1)}),
        ("Loop", 3, 1, {"body": region(3, 1)}),
        ("Loop", 0, 1, {"body": region(0, 2)}),
        ("Loop", 3, 1, {}),
        ("If", 1, 1, {"then_branch": region(0, 1)}),
        ("If", 1, 1, {"then_branch": region(0, 1), "else_branch": region(0, 2)}),
        ("If", 1, 1, {"then_branch": region(0, 1), "else_branch": 3}),
        ("Scan", 1, 1, {"body": region(1, 1), "num_scan_inputs": 5}),
        ("Scan", 2, 1, {"body": region(1, 1), "num_scan_inputs": 1}),
        ("Scan", 1, 1, {"body": region(1, 1), "num_scan_inputs": 1, "scan_input_axes": (0, 0)}),
    ],
)
def test_a_region_that_does_not_take_and_give_what_its_operator_needs_is_refused(
    op: str, inputs: int, outputs: int, attributes: dict[str, Any]
) -> None:
    names = tuple(f"i{i}" for i in range(inputs))
    node = Node("bad", op, names, tuple(f"y{i}" for i in range(outputs)), attributes)
    with pytest.raises(ModelError, match=rf"^node 'bad' \({op}\): its "):
        check_regions(node)
