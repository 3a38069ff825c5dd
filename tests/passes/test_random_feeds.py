import numpy as np
import pytest

from partita.errors import ModelError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Value
from partita.passes.random_feeds import random_feeds


def test_the_same_seed_gives_the_same_feeds_and_another_seed_others() -> None:
    b = GraphBuilder()
    b.output(b.node("Relu", b.input("x", "float32", (2, 3))))
    graph = b.build()
    np.testing.assert_array_equal(random_feeds(graph, 1)["x"], random_feeds(graph, 1)["x"])
    assert not np.array_equal(random_feeds(graph, 1)["x"], random_feeds(graph, 2)["x"])


def test_a_negative_seed_is_a_seed_of_its_own() -> None:
    b = GraphBuilder()
    b.output(b.node("Relu", b.input("x", "float32", (2, 3))))
    graph = b.build()
    np.testing.assert_array_equal(random_feeds(graph, -1)["x"], random_feeds(graph, -1)["x"])
    assert not np.array_equal(random_feeds(graph, -1)["x"], random_feeds(graph, 1)["x"])


def test_a_sequence_is_a_list_of_tensors_and_an_optional_holds_one() -> None:
    tensor = Value("float32", (2, 3))
    values = {"s": Value("sequence", None, tensor), "o": Value("optional", None, tensor)}
    feeds = random_feeds(Graph("g", (), ("s", "o"), (), values))
    assert [x.shape for x in feeds["s"]] == [(2, 3), (2, 3)]
    assert feeds["o"].shape == (2, 3)


def test_an_index_stays_inside_of_the_table_that_it_selects_from() -> None:
    b = GraphBuilder()
    tokens = b.input("tokens", "int32", (200,))
    b.output(b.node("Gather", b.missing("table", "float32", (7, 4)), b.node("Cast", tokens, to=7)))
    drawn = random_feeds(b.build())["tokens"]
    assert drawn.dtype == np.int32
    assert set(drawn) == set(range(7))


def test_a_mask_is_all_ones_and_positions_count_up() -> None:
    b = GraphBuilder()
    b.output(b.node("Add", b.input("attention_mask", "int64", (1, 4)), b.input("position_ids", "int64", (1, 4))))
    feeds = random_feeds(b.build())
    assert feeds["attention_mask"].tolist() == [[1, 1, 1, 1]]
    assert feeds["position_ids"].tolist() == [[0, 1, 2, 3]]


def test_each_dtype_is_drawn_as_it_is() -> None:
    b = GraphBuilder()
    for dtype in ("float16", "bfloat16", "bool", "uint8", "string", "float64"):
        b.output(b.node("Identity", b.input(f"x_{dtype}", dtype, (2,))))
    feeds = random_feeds(b.build())
    assert [feeds[f"x_{d}"].dtype.name for d in ("float16", "bfloat16", "bool", "uint8", "string", "float64")] == [
        "float16", "bfloat16", "bool", "uint8", "object", "float64",
    ]  # fmt: skip


def test_an_input_of_unknown_shape_is_an_error() -> None:
    b = GraphBuilder()
    b.output(b.node("Relu", b.input("x", "float32", (None, 3))))
    with pytest.raises(ModelError, match="no data can be made up for input 'x'"):
        random_feeds(b.build())


def test_an_integer_that_is_compared_with_constants_is_one_of_them() -> None:
    b = GraphBuilder()
    rate = b.input("rate", "int64", ())
    b.output(b.node("Equal", rate, b.constant("wanted", np.array(16000, np.int64))))
    assert random_feeds(b.build())["rate"] == 16000


def test_a_class_is_drawn_from_those_that_a_one_hot_code_has() -> None:
    b = GraphBuilder()
    wide = b.node("Unsqueeze", b.input("bytes", "int32", (500,)), b.constant("axes", np.array([1], np.int64)))
    b.output(b.node("Equal", wide, b.constant("classes", np.arange(5, dtype=np.int32))))
    labels = b.input("labels", "int64", (300,))
    ends = b.constant("ends", np.array([0, 1], np.float32))
    b.output(b.node("OneHot", labels, b.constant("depth", np.array(6, np.int64)), ends))
    feeds = random_feeds(b.build())
    assert set(feeds["bytes"]) == set(range(5))
    assert set(feeds["labels"]) == set(range(6))
