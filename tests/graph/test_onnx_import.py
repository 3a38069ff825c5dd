from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from partita.errors import ModelError
from partita.graph.ir import Value
from partita.graph.onnx_import import from_proto, read_onnx
from partita.kernels.executor import run
from tests.graph.models import parsed, run_in_onnxruntime

RELU = "g (float[2] x) => (float[2] y) { y = Relu(x) }"


def test_a_file_gives_a_graph_named_after_it(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(parsed(RELU), path)
    graph = read_onnx(path)
    assert (graph.name, graph.inputs, graph.outputs) == ("small", ("x",), ("y",))
    assert [(n.op, n.inputs, n.outputs, n.version) for n in graph.nodes] == [("Relu", ("x",), ("y",), 17)]
    assert graph.value("x") == Value("float32", (2,))


def test_operators_out_of_order_are_put_in_order() -> None:
    graph = from_proto(parsed("g (float[2] x) => (float[2] y) { y = Neg(b)  b = Abs(a)  a = Relu(x) }"))
    assert [n.op for n in graph.nodes] == ["Relu", "Abs", "Neg"]


def test_operators_in_order_stay_where_they_are() -> None:
    graph = from_proto(parsed("g (float[2] x) => (float[2] y) { a = Relu(x)  b = Abs(x)  c = Neg(a)  y = Add(b, c) }"))
    assert [n.op for n in graph.nodes] == ["Relu", "Abs", "Neg", "Add"]


def test_a_cycle_is_named_in_the_direction_of_the_data() -> None:
    model = parsed("g (float[2] x) => (float[2] y) { a = Add(x, c)  b = Abs(a)  c = Neg(b)  y = Relu(c) }")
    for node, name in zip(model.graph.node, ("first", "second", "third", "last"), strict=True):
        node.name = name
    with pytest.raises(ModelError, match=r"has a cycle: '(\w+)' -> '(\w+)' -> '(\w+)' -> '\1'$") as error:
        from_proto(model)
    assert "'first' -> 'second'" in str(error.value) or "'second' -> 'third' -> 'first'" in str(error.value)
    assert "last" not in str(error.value)


def test_operators_without_names_or_with_the_same_get_names_of_their_own() -> None:
    model = parsed("g (float[2] x) => (float[2] y) { a = Relu(x)  b = Relu(a)  c = Relu(b)  y = Relu(c) }")
    model.graph.node[1].name = model.graph.node[2].name = "same"
    names = [n.name for n in from_proto(model).nodes]
    assert len(set(names)) == 4
    assert names[1:3] == ["same", "same_1"]


def test_names_are_unique_across_regions_too() -> None:
    model = parsed(IF)
    for node in (*model.graph.node, *(n for a in model.graph.node[-1].attribute for n in a.g.node)):
        node.name = "same"
    names = [node.name for _, node in from_proto(model).walk()]
    assert len(names) == len(set(names)) == 4


@pytest.mark.parametrize(
    "graph",
    [
        "g (float[2] x) => (float[2] y) { y = Relu(x)  y = Abs(x) }",
        "g (float[2] x) => (float[2] y) { x = Relu(x)  y = Abs(x) }",
        "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { w = Relu(x)  y = Abs(w) }",
        "g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { w = Constant<value_float = 1.0>()  y = Add(x, w) }",
    ],
)
def test_a_tensor_made_twice_is_refused(graph: str) -> None:
    with pytest.raises(ModelError, match=r"tensor '\w' is made twice"):
        from_proto(parsed(graph))


def test_a_constant_that_takes_an_inputs_name_is_refused() -> None:
    with pytest.raises(ModelError, match=r"\(Constant\) must make one tensor of its own"):
        from_proto(parsed("g (float[2] x) => (float[2] y) { x = Constant<value_float = 1.0>()  y = Relu(x) }"))


def test_a_tensor_that_nothing_makes_is_refused_with_its_reader() -> None:
    with pytest.raises(ModelError, match=r"tensor 'z', read by node 'Add_0' \(Add\), is made by no operator"):
        from_proto(parsed("g (float[2] x) => (float[2] y) { y = Add(x, z) }"))
    with pytest.raises(ModelError, match=r"tensor 'y', read by the model's outputs, is made by no operator"):
        from_proto(parsed("g (float[2] x) => (float[2] y) { z = Relu(x) }"))


def test_every_form_of_constant_becomes_a_constant_of_the_graph() -> None:
    names = "abcdefg"
    made: dict[str, Any] = {
        "value": numpy_helper.from_array(np.eye(2, dtype=np.float16)),
        "value_float": 1.5,
        "value_floats": [1.5, 2.5],
        "value_int": 3,
        "value_ints": [3, 4],
        "value_string": "é",
        "value_strings": ["a", "b"],
    }
    nodes = [helper.make_node("Constant", [], [n], **{k: v}) for n, (k, v) in zip(names, made.items(), strict=True)]
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    graph = from_proto(helper.make_model(helper.make_graph(nodes, "g", [], outputs)))
    assert not graph.nodes
    assert [str(graph.value(name)) for name in names] == [
        "float16[2x2]", "float32[]", "float32[2]", "int64[]", "int64[2]", "string[]", "string[2]",
    ]  # fmt: skip
    assert graph.constants["c"].tolist() == [1.5, 2.5]
    assert graph.constants["f"].item() == "é"
    assert graph.constants["g"].tolist() == ["a", "b"]


def test_a_sparse_constant_is_refused() -> None:
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0]),
        helper.make_tensor("i", TensorProto.INT64, [1], [0]),
        [3],
    )
    model = parsed(RELU)
    model.graph.node.add(op_type="Constant", output=["s"]).attribute.append(
        helper.make_attribute("sparse_value", sparse)
    )
    with pytest.raises(ModelError, match="holds no dense value, but 'sparse_value'; make it dense"):
        from_proto(model)
    model = parsed(RELU)
    model.graph.sparse_initializer.append(sparse)
    with pytest.raises(ModelError, match="weight 'v' is sparse"):
        from_proto(model)


def test_initialisers_among_the_inputs_of_old_models_are_no_inputs() -> None:
    text = "g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }"
    graph = from_proto(parsed(text, ir_version=3))
    assert graph.inputs == ("x",)
    assert graph.constants["w"].tolist() == [1, 2]


def test_functions_are_inlined_and_compute_the_same() -> None:
    model = parsed(
        "g (float[2] x) => (float[2] y) { y = local.twice<slope = 0.5>(x) }",
        imports=', "local": 1',
        functions="""
        <domain: "local", opset_import: ["": 17, "local": 1]>
        twice <slope: float> (x) => (y) { a = local.once<slope: float = @slope>(x)  y = Add(a, a) }
        <domain: "local", opset_import: ["": 17]>
        once <slope: float> (x) => (y) { y = LeakyRelu<alpha: float = @slope>(x) }
        """,
    )
    graph = from_proto(model)
    assert [n.op for n in graph.nodes] == ["LeakyRelu", "Add"]
    assert run(graph, {"x": np.array([-2, 3], np.float32)})["y"].tolist() == [-2, 6]


IF = """
g (float[2] x, bool c) => (float[2] y) {
  outer = Abs(x)
  y = If (c) <
    then_branch = t () => (float[2] a) { a = Neg(outer) },
    else_branch = e () => (float[2] b) <float[2] w = {1, 2}> { b = Add(x, w) }
  >
}
"""


def test_what_a_region_reads_from_around_it_counts_as_read() -> None:
    graph = from_proto(parsed(IF))
    branch = graph.nodes[1]
    assert graph.reads(branch) == ("c", "outer", "x")
    assert graph.consumers_of["outer"] == (branch,)
    assert branch.attributes["else_branch"].constants["w"].tolist() == [1, 2]
    x = np.array([3, -4], np.float32)
    assert run(graph, {"x": x, "c": np.array(True)})["y"].tolist() == [-3, -4]
    assert run(graph, {"x": x, "c": np.array(False)})["y"].tolist() == [4, -2]


def test_what_a_region_reads_is_made_before_it_in_a_graph_out_of_order() -> None:
    model = parsed(IF)
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    assert [n.op for n in from_proto(model).nodes] == ["Abs", "If"]


def test_a_fused_or_standard_model_reads_alike_in_both_spellings_of_the_standard_domain() -> None:
    model = parsed(RELU)
    model.graph.node[0].domain = "ai.onnx"
    assert from_proto(model).nodes[0].domain == ""


@pytest.mark.parametrize(
    ("opset", "reason"), [(6, "the oldest supported is 7;"), (99, "the newest that onnx .* knows is")]
)
def test_an_opset_that_is_too_old_or_too_new_is_refused(opset: int, reason: str) -> None:
    model = parsed(RELU)
    model.opset_import[0].version = opset
    with pytest.raises(ModelError, match=rf"of opset {opset}, but {reason}"):
        from_proto(model)


def test_two_versions_of_one_domain_are_refused() -> None:
    model = parsed(RELU)
    model.opset_import.add(domain="ai.onnx", version=18)
    with pytest.raises(ModelError, match=r"two versions of domain 'ai.onnx' are imported"):
        from_proto(model)


@pytest.mark.parametrize("domain", ["com.example", ""])
def test_an_operator_of_a_domain_that_is_not_imported_is_refused(domain: str) -> None:
    model = parsed(RELU)
    del model.opset_import[:]
    model.opset_import.add(domain="other", version=1)
    model.graph.node[0].domain = domain
    with pytest.raises(
        ModelError, match=f"node 'Relu_0' is of domain '{domain or 'ai.onnx'}', which the model does not"
    ):
        from_proto(model)


def test_training_information_does_not_change_what_is_inferred() -> None:
    model = parsed(RELU)
    model.training_info.add().algorithm.CopyFrom(parsed("t (float[2] q) => (float[2] r) { r = Neg(q) }").graph)
    assert [n.op for n in from_proto(model).nodes] == ["Relu"]


@pytest.mark.parametrize("damage", ["no graph", "no outputs"])
def test_a_model_without_a_graph_or_outputs_is_refused(damage: str, tmp_path: Path) -> None:
    model = parsed(RELU)
    if damage == "no graph":
        model.ClearField("graph")
    else:
        del model.graph.output[:]
    with pytest.raises(ModelError, match="it has no graph with outputs"):
        from_proto(model)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"m\.onnx: not an ONNX model, or cut short"):
        read_onnx(tmp_path / "m.onnx")


def test_paths_that_are_no_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "text.onnx").write_text("not a model")
    with pytest.raises(ModelError, match="the file is empty"):
        read_onnx(tmp_path / "empty.onnx")
    with pytest.raises(ModelError, match="not an ONNX model"):
        read_onnx(tmp_path / "text.onnx")
    with pytest.raises(ModelError, match="no such file"):
        read_onnx(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="it is a folder"):
        read_onnx(tmp_path)
    with pytest.raises(ModelError, match="cannot read the model"):
        read_onnx("a\0b")


def test_an_unknown_element_type_is_refused_with_the_tensors_name() -> None:
    model = parsed(RELU)
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(ModelError, match="tensor 'x': element type 99 is not one"):
        from_proto(model)


def test_an_input_without_a_type_is_refused() -> None:
    model = parsed(RELU)
    model.graph.input[0].type.tensor_type.elem_type = 0
    with pytest.raises(ModelError, match="input 'x' has no type"):
        from_proto(model)


def test_maps_are_refused_and_sequences_are_known_with_what_they_hold() -> None:
    model = parsed(RELU)
    model.graph.input[0].type.map_type.key_type = TensorProto.INT64
    with pytest.raises(ModelError, match="tensor 'x' is a map_type; only dense tensors"):
        from_proto(model)
    model = parsed("g (seq(float[2]) x) => (int64 y) { y = SequenceLength(x) }")
    assert from_proto(model).value("x") == Value("sequence", None, Value("float32", (2,)))


def test_a_type_attribute_is_kept() -> None:
    node = helper.make_node("Optional", [], ["y"], type=helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))
    outputs = [helper.make_empty_tensor_value_info("y")]
    graph = from_proto(helper.make_model(helper.make_graph([node], "g", [], outputs)))
    assert graph.nodes[0].attributes["type"].tensor_type.elem_type == TensorProto.FLOAT


def test_errors_name_the_model_once_and_fit_on_one_line() -> None:
    model = parsed(RELU)
    model.graph.node[0].input[0] = "many\nlines " + "z" * 10_000
    with pytest.raises(ModelError) as error:
        from_proto(model, where="here")
    assert str(error.value).startswith("here: ")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1100


def test_a_read_model_computes_what_onnxruntime_computes() -> None:
    model = parsed("g (float[2, 3] x) => (float[2, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}> { y = MatMul(x, w) }")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_allclose(run(from_proto(model), {"x": x})["y"], run_in_onnxruntime(model, {"x": x})[0])
