"""Attention larger than fast memory: what is handed on piece by piece never crosses to DRAM, what is moved does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.devices import load_soc, operator_cost, transfer_cost
from partita.devices.npu_tiles import stays_on_chip
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Value
from partita.graph.plan import Location

SOC = load_soc("sd8gen3-qnn")
NPU = SOC.unit_named("npu")


def attention(rows: int, columns: int, heads: int = 8, head: int = 64) -> Graph:
    """Scores with a mask over keys that come as a cache, and the values' mean."""
    b = GraphBuilder()
    queries = b.input("queries", "float32", (1, heads, rows, head))
    keys, values = (b.input(name, "float32", (1, heads, columns, head)) for name in ("keys", "values"))
    turned = b.node("Transpose", keys, name="turn", perm=(0, 1, 3, 2), outputs=1)
    scores = b.node("MatMul", queries, turned, name="scores")
    masked = b.node("Add", scores, b.input("mask", "float32", (1, 1, rows, columns)), name="masked")
    shares = b.node("Softmax", masked, name="shares", axis=-1)
    b.output(b.node("MatMul", shares, values, name="found"))
    return b.build()


def latency_us(graph: Graph, preset: str = "sd8gen3-qnn", dtype: str = "w8a16") -> float:
    unit = load_soc(preset).unit_named("npu")
    return sum(operator_cost(graph, node, unit, dtype).latency_us for node in graph.nodes)


def test_scores_stay_on_chip_and_a_cache_or_an_output_does_not() -> None:
    graph = attention(128, 4096)
    made = {node.name: node.outputs[0] for node in graph.nodes}
    stay = {name: stays_on_chip(graph, made[name]) for name in made}
    assert stay == {"turn": False, "scores": True, "masked": True, "shares": True, "found": False}
    assert not stays_on_chip(graph, "keys")


def test_a_softmax_over_a_long_context_moves_nothing_and_reads_of_the_cache_are_charged() -> None:
    graph = attention(128, 4096, heads=32)
    costs = {node.name: operator_cost(graph, node, NPU, "w8a16") for node in graph.nodes}
    assert costs["shares"].dram_bytes == 0
    cache_bytes = 32 * 4096 * 64 * 2
    assert costs["scores"].dram_bytes >= cache_bytes
    assert costs["found"].dram_bytes >= cache_bytes
    assert costs["turn"].latency_us == 0  # a product reads its operand by columns


@given(rows=st.integers(1, 300), columns=st.integers(1, 6000), more=st.integers(1, 3000))
def test_attention_over_more_rows_or_columns_is_never_faster(rows: int, columns: int, more: int) -> None:
    base_us = latency_us(attention(rows, 32 * columns))
    assert latency_us(attention(rows + more, 32 * columns)) >= base_us
    assert latency_us(attention(rows, 32 * (columns + more))) >= base_us


def test_a_mask_that_all_heads_share_costs_no_more_than_one_of_their_own() -> None:
    b = GraphBuilder()
    x = b.node("Softmax", b.input("x", "float32", (1, 8, 128, 256)), axis=-1)
    shared = b.node("Add", x, b.input("mask", "float32", (1, 1, 128, 256)), name="shared")
    b.output(b.node("Add", shared, b.input("masks", "float32", (1, 8, 128, 256)), name="own"))
    graph = b.build()
    shared_us, own_us = (
        operator_cost(graph, graph.node_named[name], NPU, "w8a16").latency_us for name in ("shared", "own")
    )
    assert shared_us <= own_us


def test_tokens_that_were_an_image_turn_for_nothing_in_both_directions() -> None:
    b = GraphBuilder()
    image = b.node("MaxPool", b.input("x", "float32", (1, 64, 16, 16)), kernel_shape=(1, 1))
    flat = b.node("Reshape", image, b.constant("flat", np.array([1, 64, 256], np.int64)))
    tokens = b.node("Transpose", flat, name="there", perm=(0, 2, 1))
    normed = b.node("Softmax", tokens, axis=-1)
    back = b.node("Transpose", normed, name="back", perm=(0, 2, 1))
    shaped = b.node("Reshape", back, b.constant("image", np.array([1, 64, 16, 16], np.int64)))
    b.output(b.node("AveragePool", shaped, kernel_shape=(1, 1)))
    graph = b.build()
    assert [operator_cost(graph, graph.node_named[n], NPU, "int8").latency_us for n in ("there", "back")] == [0, 0]


def test_an_output_that_does_not_fit_on_chip_is_cast_at_the_rate_of_dram() -> None:
    assert NPU.npu_law is not None
    assert NPU.npu_law.spilled_cast_gb_per_s is not None
    npu, host = Location("npu", "float16"), Location("cpu", "float32")
    small, large = (transfer_cost(SOC, Value("float32", (384, n)), npu, host).convert_us for n in (5000, 30522))
    assert large / small > 5 * 30522 / 5000
    slow = 384 * 30522 * 2 / (NPU.npu_law.spilled_cast_gb_per_s.value * 1e3)
    assert large == pytest.approx(slow + NPU.dispatch_us.value)


def test_the_8_elite_has_half_as_many_vector_units_more() -> None:
    b = GraphBuilder()
    b.output(b.node("Softmax", b.input("x", "float32", (1, 8, 512, 512)), axis=-1))
    graph = b.build()
    here, there = latency_us(graph, "sd8gen3-qnn", "int8"), latency_us(graph, "sd8elite-qnn", "int8")
    assert 1.45 < here / there < 1.5


@given(tokens=st.integers(1, 600), heads=st.integers(1, 16), head=st.integers(1, 128), more=st.integers(1, 100))
def test_taking_more_or_wider_heads_apart_is_never_faster(tokens: int, heads: int, head: int, more: int) -> None:
    def taken_apart(*dims: int) -> float:
        b = GraphBuilder()
        b.output(b.node("Transpose", b.input("x", "float32", (1, *dims)), perm=(0, 2, 1, 3)))
        return latency_us(b.build())

    base_us = taken_apart(tokens, heads, head)
    assert taken_apart(tokens + more, heads + 1, head) >= base_us
    assert taken_apart(tokens, heads + 1, head + more) >= base_us
