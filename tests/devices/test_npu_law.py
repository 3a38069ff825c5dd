"""The fitted NPU law: more work is never faster, overlap lies between the longer part and the sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.devices import Unit, load_soc, operator_cost
from partita.devices.npu_law import combined
from partita.devices.npu_terms import TERMS, terms_of
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import Match, fuse
from partita.graph.plan import Cost
from partita.graph.work import work_of

SOC = load_soc("sd8gen3-qnn")
NPU = SOC.unit_named("npu")
DTYPES = (*NPU.dtypes, *NPU.optional_dtypes)
SIZES = st.integers(1, 300)


def convolution(channels: int, filters: int, side: int, kernel: int = 3, groups: int = 1) -> Graph:
    b = GraphBuilder()
    w = b.missing("w", "float32", (filters, channels // groups, kernel, kernel))
    x = b.input("x", "float32", (1, channels, side, side))
    b.output(b.node("Conv", x, w, kernel_shape=(kernel, kernel), pads=(kernel // 2,) * 4, group=groups))
    return b.build()


def product(m: int, k: int, n: int) -> Graph:
    b = GraphBuilder()
    b.output(b.node("MatMul", b.input("x", "float32", (1, m, k)), b.missing("w", "float32", (k, n))))
    return b.build()


def cost(graph: Graph, unit: Unit = NPU, dtype: str = "float16") -> Cost:
    return operator_cost(graph, graph.nodes[-1], unit, dtype)


@given(a=st.floats(0, 1e6), b=st.floats(0, 1e6), p=st.floats(1, 20))
def test_overlapped_work_takes_as_long_as_the_longer_part_and_no_longer_than_both(a: float, b: float, p: float) -> None:
    assert max(a, b) <= combined(a, b, p) * (1 + 1e-12)
    assert combined(a, b, p) <= (a + b) * (1 + 1e-12)


@given(m=SIZES, k=SIZES, n=SIZES, more=st.integers(1, 300), dtype=st.sampled_from(DTYPES))
def test_a_larger_product_is_never_faster(m: int, k: int, n: int, more: int, dtype: str) -> None:
    base = cost(product(m, k, n), dtype=dtype).latency_us
    for larger in ((m + more, k, n), (m, k + more, n), (m, k, n + more)):
        assert cost(product(*larger), dtype=dtype).latency_us >= base


@given(c=st.integers(5, 200), n=SIZES, side=st.integers(3, 40), more=st.integers(1, 200), dtype=st.sampled_from(DTYPES))
def test_a_larger_convolution_is_never_faster(c: int, n: int, side: int, more: int, dtype: str) -> None:
    base = cost(convolution(c, n, side), dtype=dtype).latency_us
    for larger in ((c + more, n, side), (c, n + more, side), (c, n, side + more % 20)):
        assert cost(convolution(*larger), dtype=dtype).latency_us >= base


def test_a_layer_three_times_as_large_takes_about_nine_times_as_long() -> None:
    small, large = cost(convolution(256, 256, 56)), cost(convolution(768, 768, 56))
    assert large.latency_us / small.latency_us == pytest.approx(9, rel=0.15)


def test_one_token_of_a_language_model_is_bound_by_its_weights() -> None:
    found = cost(product(1, 4096, 14336))
    assert found.bound == "memory"
    assert found.latency_us == pytest.approx(4096 * 14336 * 2 / 58.4e3, rel=0.1)


def test_depthwise_convolutions_are_far_from_the_matrix_units_rate() -> None:
    dense, depthwise = convolution(256, 256, 28), convolution(256, 256, 28, groups=256)
    rates = [work_of(g, g.nodes[0]).macs / cost(g).latency_us for g in (dense, depthwise)]
    assert rates[0] > 10 * rates[1]


def test_what_does_not_fit_on_chip_is_charged_to_dram() -> None:
    small, large = cost(convolution(64, 64, 100)), cost(convolution(64, 64, 400))
    assert small.dram_bytes == 64 * 64 * 9 * 2
    assert large.dram_bytes == 64 * 64 * 9 * 2 + 2 * 64 * 400 * 400 * 2


def test_joining_whole_blocks_of_channels_is_free_and_joining_parts_is_not() -> None:
    def joined(channels: int) -> Graph:
        b = GraphBuilder()
        x = b.node("MaxPool", b.input("x", "float32", (1, channels, 16, 16)), kernel_shape=(1, 1))
        y = b.node("AveragePool", b.input("y", "float32", (1, channels, 16, 16)), kernel_shape=(1, 1))
        b.output(b.node("Concat", x, y, axis=1))
        return b.build()

    assert cost(joined(64)).latency_us == 0 < cost(joined(60)).latency_us


def test_an_attention_without_a_kernel_costs_as_much_as_its_primitives() -> None:
    b = GraphBuilder()
    q, v = (b.input(name, "float32", (1, 4, 64, 32)) for name in "qv")
    k = b.input("k", "float32", (1, 4, 32, 64))
    scores = b.node("MatMul", q, k, name="scores")
    shares = b.node("Softmax", scores, name="shares", axis=-1)
    b.output(b.node("MatMul", shares, v, name="out"))
    graph = b.build()
    match = Match("Attention", ("scores", "shares", "out"), (q, k, v), graph.outputs)
    whole = fuse(graph, [match])
    singly = sum(operator_cost(graph, node, NPU, "float16").latency_us for node in graph.nodes)
    assert cost(whole).latency_us == pytest.approx(singly)


def test_every_term_of_a_preset_has_a_rate_and_loops_are_left_to_the_roofline() -> None:
    assert NPU.npu_law is not None
    assert set(NPU.npu_law.rate_g_per_s) == set(TERMS)
    b = GraphBuilder()
    x = b.input("x", "float32", (5, 1, 16))
    w, r = b.missing("w", "float32", (1, 64, 16)), b.missing("r", "float32", (1, 64, 16))
    b.output(b.node("LSTM", x, w, r, hidden_size=16))
    graph = b.build()
    assert terms_of(graph, graph.nodes[0], work_of(graph, graph.nodes[0]), "float16") is None
    assert cost(graph).evidence == "roofline"


@pytest.mark.parametrize("name", ["sd8gen2-qnn", "sd8elite-qnn", "sd888-qnn"])
def test_a_chip_carried_over_is_slower_or_faster_by_its_speed(name: str) -> None:
    npu = load_soc(name).unit_named("npu")
    assert npu.npu_law is not None
    graph = convolution(128, 128, 28)
    ratio = cost(graph, npu).compute_us / cost(graph).compute_us
    assert ratio == pytest.approx(1 / npu.npu_law.speed.value, rel=0.15)


def scaled(op: str, constant_dims: tuple[int, ...] = (1, 3, 1, 1)) -> Graph:
    """An image of three channels, each with a constant of its own."""
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 3, 224, 224))
    y = b.node(op, x, b.missing("c", "float32", constant_dims))
    b.output(b.node("Conv", y, b.missing("w", "float32", (32, 3, 3, 3)), kernel_shape=(3, 3)))
    return b.build()


def of_first(graph: Graph, dtype: str) -> float:
    return operator_cost(graph, graph.nodes[0], NPU, dtype).latency_us


def test_dividing_an_image_by_its_channels_is_dear_and_shifting_it_is_not_once_quantised() -> None:
    assert of_first(scaled("Div"), "float16") > 2 * of_first(scaled("Mul"), "float16")
    assert of_first(scaled("Div"), "int8") > 10 * of_first(scaled("Mul"), "int8")


def test_a_normalisation_that_is_not_folded_is_slower_in_eight_bits_than_in_float() -> None:
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 64, 56, 56))
    y = b.node("BatchNormalization", x, *(b.missing(name, "float32", (64,)) for name in ("s", "b", "m", "v")))
    b.output(b.node("Conv", y, b.missing("w", "float32", (64, 64, 1, 1)), kernel_shape=(1, 1)))
    graph = b.build()
    assert of_first(graph, "int8") > 2 * of_first(graph, "float16")
