"""Damaged and malicious models: always a graph or one line of ModelError, soon, in little memory."""

import random
import resource
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from partita.errors import ModelError
from partita.graph.bind import Shapes
from partita.graph.build import GraphBuilder
from partita.graph.infer import infer_types
from partita.graph.match import Match, fuse
from partita.graph.onnx_export import to_model
from partita.graph.onnx_import import from_proto, read_onnx
from tests.graph.models import parsed

MOST_MEMORY_KB = 300_000
"""What reading damaged models may add to the memory of the process."""


def plain() -> bytes:
    text = """g (float[N, 3] x) => (float[N, 2] y) <float[3, 2] w = {1, 2, 3, 4, 5, 6}, int64[1] axes = {1}> {
        shape = Constant<value_ints = [1, 3]>()
        z = Softmax<axis = 1>(x)
        y = MatMul(z, w)
    }"""
    return parsed(text).SerializeToString()


def with_regions_and_functions() -> bytes:
    model = parsed(
        """g (float[2] x, bool c) => (float[2] y) {
            outer = local.twice<slope = 0.5>(x)
            y = If (c) <
                then_branch = t () => (float[2] a) { a = Neg(outer) },
                else_branch = e () => (float[2] b) <float[2] w = {1, 2}> { b = Add(x, w) }
            >
        }""",
        imports=', "local": 1',
        functions="""<domain: "local", opset_import: ["": 17]>
            twice <slope: float> (x) => (y) { a = LeakyRelu<alpha: float = @slope>(x)  y = Add(a, a) }""",
    )
    return model.SerializeToString()


def with_fused_and_outer_weights() -> bytes:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (2, 3))
    b.output(b.node("Mul", x, b.node("Sigmoid", x, name="s"), name="m"), b.constant("w", np.ones(4, np.int8)))
    model = to_model(fuse(b.build(), [Match("Swish", ("s", "m"), ("x",), ("m",), {"alpha": 1.0})]))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="w.bin")
    tensor.external_data.add(key="offset", value="4")
    return model.SerializeToString()


SEEDS = (plain(), with_regions_and_functions(), with_fused_and_outer_weights())


def damaged(content: bytes, rng: random.Random) -> bytes:
    kind = rng.randrange(4)
    if kind == 0:
        return content[: rng.randrange(len(content))]
    damage = bytearray(content)
    if kind == 1:
        for _ in range(rng.randint(1, 4)):
            damage[rng.randrange(len(damage))] = rng.randrange(256)
    elif kind == 2:
        for _ in range(rng.randint(1, 3)):
            damage[rng.randrange(len(damage))] ^= 1 << rng.randrange(8)
    else:
        donor = SEEDS[rng.randrange(len(SEEDS))]
        start, length, at = rng.randrange(len(donor)), rng.randint(1, 40), rng.randrange(len(damage))
        damage[at : at + rng.choice((0, length))] = donor[start : start + length]
    return bytes(damage)


def refusal_of(path: Path, shapes: Shapes) -> str:
    """Our error, empty if the model is read."""
    try:
        read_onnx(path, shapes)
    except ModelError as error:
        return str(error)
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path, seed: int) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    path = tmp_path / "m.onnx"
    path.write_bytes(SEEDS[seed])
    shapes = {"N": 1} if seed == 0 else {}
    assert not refusal_of(path, shapes)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng, refusals, slowest_s = random.Random(seed), [], 0.0
    for _ in range(2000):
        path.write_bytes(damaged(SEEDS[seed], rng))
        start_s = time.perf_counter()
        refusals.append(refusal_of(path, shapes))
        slowest_s = max(slowest_s, time.perf_counter() - start_s)
    assert 300 < sum(map(bool, refusals)) < 1990
    assert not [refusal for refusal in refusals if "\n" in refusal]
    assert slowest_s < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < MOST_MEMORY_KB


def nested(depth: int) -> onnx.ModelProto:
    model = parsed("g (bool c) => (float y) { y = Identity(c) }")
    del model.graph.node[:]
    graph = model.graph
    for _ in range(depth):
        node = graph.node.add(op_type="If", input=["c"], output=["y"])
        attribute = node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH)
        graph = attribute.g
        graph.output.add().name = "y"
    graph.node.add(op_type="Identity", input=["c"], output=["y"])
    return model


def test_regions_nested_too_deep_are_refused_from_a_file_and_from_memory(tmp_path: Path) -> None:
    assert len(list(from_proto(nested(30)).walk())) == 31
    with pytest.raises(ModelError, match="nested more than 32 deep"):
        from_proto(nested(33))
    (tmp_path / "m.onnx").write_bytes(nested(80).SerializeToString())
    with pytest.raises(ModelError, match="nested more than 32 deep"):
        read_onnx(tmp_path / "m.onnx")


def calling(depth: int, calls: int) -> onnx.ModelProto:
    """Functions that each call the next one `calls` times."""
    domain = helper.make_opsetid("local", 1)
    model = parsed("g (float[2] x) => (float[2] y) { y = local.f0(x) }", imports=', "local": 1')
    for i in range(depth):
        names = ["x", *(f"t{j}" for j in range(calls - 1)), "y"]
        last = i == depth - 1
        nodes = [
            helper.make_node("Neg" if last else f"f{i + 1}", [a], [b], domain="" if last else "local")
            for a, b in pairwise(names)
        ]
        opsets = [helper.make_opsetid("", 17), domain]
        model.functions.append(helper.make_function("local", f"f{i}", ["x"], ["y"], nodes, opsets))
    return model


def test_functions_that_would_grow_beyond_measure_are_refused() -> None:
    assert len(from_proto(calling(10, 2)).nodes) == 1024
    with pytest.raises(ModelError, match="more than 500000 operators once its functions are inlined"):
        from_proto(calling(30, 2))
    with pytest.raises(ModelError, match="call one another more than 32 deep"):
        from_proto(calling(2000, 1))


def test_functions_that_call_themselves_are_refused() -> None:
    model = calling(3, 1)
    model.functions[2].node[0].domain, model.functions[2].node[0].op_type = "local", "f1"
    with pytest.raises(ModelError, match="function 'f1' calls itself"):
        from_proto(model)


def test_a_fused_operator_that_calls_itself_is_refused() -> None:
    b = GraphBuilder("g")
    b.output(b.node("Neg", b.input("x", "float32", (2,)), name="n"))
    model = to_model(fuse(b.build(), [Match("Neg", ("n",), ("x",), ("n",))]))
    model.functions[0].node[0].CopyFrom(model.graph.node[0])
    with pytest.raises(ModelError, match="nested more than 32 deep"):
        from_proto(model)


@pytest.mark.slow
def test_a_million_attributes_are_read_in_seconds() -> None:
    model = parsed("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    for i in range(1_000_000):
        model.graph.node[0].attribute.add(name=f"a{i}", type=onnx.AttributeProto.INT, i=i)
    start_s = time.perf_counter()
    assert len(from_proto(model).nodes[0].attributes) == 1_000_000
    assert time.perf_counter() - start_s < 20


def test_names_that_are_not_text_are_refused(tmp_path: Path) -> None:
    content = parsed("g (float[2] xx) => (float[2] y) { y = Relu(xx) }").SerializeToString()
    (tmp_path / "m.onnx").write_bytes(content.replace(b"xx", b"\xff\xfe"))
    with pytest.raises(ModelError, match="is not text; the file is damaged"):
        read_onnx(tmp_path / "m.onnx")


def test_an_unknown_operator_is_refused_when_it_is_typed() -> None:
    graph = from_proto(parsed("g (float[2] x) => (float[2] y) { y = Strange(x) }"))
    with pytest.raises(
        ModelError, match=r"node 'Strange_0' \(Strange\): operator 'Strange' of domain 'ai.onnx' is not known"
    ):
        infer_types(graph.nodes[0], graph.values, graph.constants)
