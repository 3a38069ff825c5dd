from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from partita import backend
from partita.errors import KernelError, ModelError

FLOAT = TensorProto.FLOAT


def float32(numbers: Any) -> np.ndarray:
    return np.array(numbers, np.float32)


def model_of(node: onnx.NodeProto, *inputs: onnx.ValueInfoProto, opset: int = 17) -> onnx.ModelProto:
    outputs = [helper.make_tensor_value_info(name, FLOAT, None) for name in node.output]
    graph = helper.make_graph([node], "one", list(inputs), outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def addition(*shape: int | str) -> onnx.ModelProto:
    node = helper.make_node("Add", ["a", "b"], ["sum"])
    return model_of(node, *(helper.make_tensor_value_info(name, FLOAT, shape) for name in "ab"))


def test_outputs_come_in_order_and_by_name() -> None:
    a = np.ones((2, 3), np.float32)
    outputs = backend.run_model(addition(2, 3), [a, 2 * a])
    np.testing.assert_array_equal(outputs[0], 3 * a)
    np.testing.assert_array_equal(outputs["sum"], 3 * a)  # type: ignore[call-overload]  # onnx's own kind of tuple


def test_inputs_may_be_given_by_name() -> None:
    (result,) = backend.run_model(addition(1), {"b": float32([2]), "a": float32([1])})
    np.testing.assert_array_equal(result, [3])


def test_open_dimensions_take_the_sizes_of_each_run() -> None:
    prepared = backend.prepare(addition("batch", 2))
    for batch in (1, 3):
        a = np.ones((batch, 2), np.float32)
        assert prepared.run([a, a])[0].shape == (batch, 2)


def test_numpy_scalars_and_lists_are_taken_for_tensors() -> None:
    (scalar,) = backend.run_model(addition(), [np.float32(1), np.float32(2)])
    assert scalar == 3
    (row,) = backend.run_model(addition("n"), [[1, 2], [3, 4]])
    assert row.dtype == np.float32
    np.testing.assert_array_equal(row, [4, 6])


def test_initialisers_among_the_inputs_need_not_be_given() -> None:
    model = addition(2)
    model.graph.initializer.append(onnx.numpy_helper.from_array(float32([5, 6]), "a"))
    (result,) = backend.run_model(model, [float32([1, 1])])
    np.testing.assert_array_equal(result, [6, 7])


def test_an_optional_input_may_hold_nothing() -> None:
    optional = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, [2]))
    node = helper.make_node("OptionalHasElement", ["x"], ["y"])
    model = model_of(node, helper.make_value_info("x", optional), opset=18)
    assert not backend.run_model(model, [None])[0]
    assert backend.run_model(model, [np.zeros(2, np.float32)])[0]


def test_one_operator_runs_at_the_opset_asked_for() -> None:
    x = float32([[[1, 2], [3, 4]]])
    (flat,) = backend.run_node(helper.make_node("Softmax", ["x"], ["y"]), [x], opset_version=11)
    (rows,) = backend.run_node(helper.make_node("Softmax", ["x"], ["y"]), [x])
    assert flat.sum() == pytest.approx(1)
    assert rows.sum() == pytest.approx(2)


def test_one_operator_runs_without_its_optional_inputs() -> None:
    x = float32([-1, 5])
    clip = helper.make_node("Clip", ["x", "low", "high"], ["y"])
    np.testing.assert_array_equal(backend.run_node(clip, [x, None, np.float32(2)])[0], [-1, 2])
    np.testing.assert_array_equal(backend.run_node(clip, [x])[0], x)


def test_one_operator_runs_on_a_sequence() -> None:
    node = helper.make_node("SequenceLength", ["x"], ["y"])
    assert backend.run_node(node, [[np.zeros(2, np.float32), np.ones(3, np.float32)]])[0] == 2


def test_a_model_older_than_opset_7_is_converted() -> None:
    node = helper.make_node("Add", ["a", "b"], ["y"], broadcast=1, axis=0)
    inputs = [helper.make_tensor_value_info("a", FLOAT, [2, 3]), helper.make_tensor_value_info("b", FLOAT, [2])]
    model = model_of(node, *inputs, opset=6)
    (result,) = backend.run_model(model, [np.zeros((2, 3), np.float32), float32([1, 2])])
    np.testing.assert_array_equal(result, [[1, 1, 1], [2, 2, 2]])


def test_only_models_whose_operators_have_kernels_are_compatible() -> None:
    assert backend.is_compatible(addition(2))
    assert not backend.is_compatible(addition(2), "CUDA")
    unknown = addition(2)
    unknown.graph.node[0].domain = "elsewhere"
    unknown.opset_import.append(helper.make_opsetid("elsewhere", 1))
    assert not backend.is_compatible(unknown)


def test_operators_inside_branches_decide_about_compatibility_too() -> None:
    info = helper.make_tensor_value_info("y", FLOAT, [1])
    inner = helper.make_node("Nothing", [], ["y"], domain="elsewhere")
    branch = helper.make_graph([inner], "branch", [], [info])
    node = helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    model = model_of(node, helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    assert not backend.is_compatible(model)


def test_the_cpu_is_the_one_device() -> None:
    assert backend.supports_device("CPU")
    assert backend.supports_device("CPU:0")
    assert not backend.supports_device("CUDA")
    with pytest.raises(ModelError, match="device 'CUDA'"):
        backend.prepare(addition(2), "CUDA")


def test_a_wrong_number_of_inputs_is_refused() -> None:
    with pytest.raises(ModelError, match="1 inputs were given, but the model has 2: a, b"):
        backend.run_model(addition(2), [np.zeros(2, np.float32)])


def test_what_is_no_tensor_is_refused_where_one_is_needed() -> None:
    with pytest.raises(ModelError, match="input 'a' must be a tensor"):
        backend.run_model(addition(2), [None, [3, 4]])
    with pytest.raises(ModelError, match="input 'a' must be a tensor"):
        backend.run_model(addition(2), [["one", "two"], [3, 4]])


def test_inputs_that_do_not_fit_give_an_error_that_names_the_node() -> None:
    node = helper.make_node("MatMul", ["a", "b"], ["y"], name="product")
    with pytest.raises(KernelError, match="product"):
        backend.run_node(node, [np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)])
