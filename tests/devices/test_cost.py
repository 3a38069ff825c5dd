"""Laws of the cost model, and its figures where they can be worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.devices import Soc, load_soc, operator_cost, preset_names, transfer_cost
from partita.errors import SocError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Value
from partita.graph.match import Match, fuse
from partita.graph.plan import Cost, Location
from partita.graph.work import work_of
from tests.devices.example_soc import changed, make, number

SOC = make()
PRESETS = {name: load_soc(name) for name in preset_names()}
PLACES = [
    (soc, unit.name, dtype)
    for soc in (SOC, *PRESETS.values())
    for unit in soc.units
    if unit.law is None  # fitted laws have their own tests
    for dtype in (*unit.dtypes, *unit.optional_dtypes)
]
SIZES = st.integers(1, 200)


def convolution(channels: int, filters: int, side: int, kernel: int = 1) -> Graph:
    b = GraphBuilder("convolution")
    x = b.input("x", "float32", (1, channels, side, side))
    w = b.missing("w", "float32", (filters, channels, kernel, kernel))
    b.output(b.node("Conv", x, w, name="conv", kernel_shape=(kernel, kernel), pads=(kernel // 2,) * 4))
    return b.build()


def product(m: int, k: int, n: int) -> Graph:
    b = GraphBuilder("product")
    b.output(b.node("MatMul", b.input("x", "float32", (m, k)), b.missing("w", "float32", (k, n)), name="matmul"))
    return b.build()


def unary(op: str, shape: tuple[int, ...]) -> Graph:
    b = GraphBuilder("unary")
    b.output(b.node(op, b.input("x", "float32", shape), name="op"))
    return b.build()


def cost(graph: Graph, soc: Soc, unit: str, dtype: str) -> Cost:
    return operator_cost(graph, graph.nodes[-1], soc.unit_named(unit), dtype)


@given(place=st.sampled_from(PLACES), m=SIZES, k=SIZES, n=SIZES)
def test_a_cost_is_never_negative_and_lies_within_its_bounds(
    place: tuple[Soc, str, str], m: int, k: int, n: int
) -> None:
    found = cost(product(m, k, n), *place)
    assert 0 <= found.low_us <= found.latency_us <= found.high_us
    assert min(found.dispatch_us, found.compute_us, found.memory_us, found.dram_bytes) >= 0
    assert found.latency_us == found.dispatch_us + max(found.compute_us, found.memory_us)
    assert found.evidence in ("roofline", "fitted")


@given(place=st.sampled_from(PLACES), m=SIZES, k=SIZES, n=SIZES, more=st.integers(0, 100), which=st.integers(0, 2))
def test_more_macs_are_never_faster(place: tuple[Soc, str, str], m: int, k: int, n: int, more: int, which: int) -> None:
    sizes = [m, k, n]
    larger = [size + more * (index == which) for index, size in enumerate(sizes)]
    assert cost(product(*larger), *place).latency_us >= cost(product(*sizes), *place).latency_us


@given(place=st.sampled_from(PLACES), channels=st.integers(5, 64), filters=SIZES, side=st.integers(4, 40))
def test_a_larger_window_is_never_faster(place: tuple[Soc, str, str], channels: int, filters: int, side: int) -> None:
    small, large = convolution(channels, filters, side, 1), convolution(channels, filters, side, 3)
    assert cost(large, *place).latency_us >= cost(small, *place).latency_us


@given(place=st.sampled_from(PLACES), op=st.sampled_from(["Relu", "Softmax", "GlobalAveragePool", "Erf", "Transpose"]),
       shape=st.tuples(*[st.integers(2, 12)] * 4))  # fmt: skip
def test_every_class_of_operator_has_a_finite_cost(
    place: tuple[Soc, str, str], op: str, shape: tuple[int, ...]
) -> None:
    found = cost(unary(op, shape), *place)
    assert 0 < found.low_us <= found.latency_us <= found.high_us < float("inf")


def test_a_product_is_priced_by_whole_tiles_and_the_peak() -> None:
    soc = make(changed("units.2.weights_gb_per_s", number(28)))
    graph = product(1, 20, 32)
    found = cost(graph, soc, "npu", "float16")
    tile_us = 32**3 / (100e9 * 0.5) * 1e6  # peak 100 GMAC/s, utilisation 0.5
    assert found.compute_us == pytest.approx(tile_us + work_of(graph, graph.nodes[0]).element_ops / 20e3)
    weights_us, activations_us = 20 * 32 * 2 / 28e3, (20 + 32) * 2 / 40e3
    assert found.memory_us == pytest.approx(weights_us + activations_us)


def test_activations_that_do_not_fit_on_chip_are_priced_and_counted_at_dram() -> None:
    small, large = unary("Relu", (1, 1000)), unary("Relu", (1, 1_000_000))
    assert cost(small, SOC, "npu", "float16").dram_bytes == 0
    found = cost(large, SOC, "npu", "float16")
    assert found.dram_bytes == 2 * 2_000_000
    assert found.memory_us == pytest.approx(4e6 / 10e3)


def test_views_are_free() -> None:
    b = GraphBuilder("view")
    b.output(b.node("Flatten", b.input("x", "float32", (1, 8, 4, 4))))
    found = cost(b.build(), SOC, "npu", "float16")
    assert (found.latency_us, found.high_us, found.dram_bytes, found.evidence) == (0, 0, 0, "free")


def test_a_transpose_runs_at_the_rate_of_a_layout_change() -> None:
    found = cost(unary("Transpose", (100, 100)), SOC, "cpu", "float32")
    assert found.memory_us == pytest.approx(40_000 / 5e3)


def test_a_fused_chain_costs_less_than_its_operators_and_keeps_the_class_of_its_product() -> None:
    b = GraphBuilder("chain")
    y = b.node("MatMul", b.input("x", "float32", (64, 256)), b.missing("w", "float32", (256, 256)), name="matmul")
    b.output(b.node("Relu", y, name="relu"))
    graph = b.build()
    fused = fuse(graph, [Match("MatMul+Relu", ("matmul", "relu"), ("x", "w"), graph.outputs)])
    unit = PRESETS["sd8gen3-qnn"].unit_named("npu")
    apart = sum(operator_cost(graph, node, unit, "float16").latency_us for node in graph.nodes)
    together = operator_cost(fused, fused.nodes[0], unit, "float16")
    assert together.latency_us < apart
    assert together.compute_us == pytest.approx(
        operator_cost(graph, graph.nodes[0], unit, "float16").compute_us, rel=0.05
    )


def test_a_dtype_that_the_unit_lacks_is_refused() -> None:
    with pytest.raises(SocError, match="unit 'npu' does not compute in float32; it does in: float16"):
        cost(product(1, 1, 1), SOC, "npu", "float32")


IMAGE = Value("float32", (1, 8, 10, 10))
CPU, GPU, GPU32, NPU = (
    Location("cpu", "float32"), Location("gpu", "float16"), Location("gpu", "float32"), Location("npu", "float16"),
)  # fmt: skip


def test_a_tensor_that_is_there_already_costs_nothing() -> None:
    assert transfer_cost(SOC, IMAGE, GPU, GPU).latency_us == 0
    assert transfer_cost(SOC, Value("int64", (1, 8)), GPU, GPU32).latency_us == 0


def test_a_cast_on_one_unit_is_a_kernel_that_reads_the_tensor_once() -> None:
    found = transfer_cost(SOC, IMAGE, GPU32, GPU)
    assert found.convert_us == pytest.approx(2 + 3200 / 8e3)
    assert (found.sync_us, found.copy_us, found.size_bytes, found.dram_bytes) == (0, 0, 3200, 4800)


def test_an_image_on_its_way_to_an_accelerator_is_copied_cast_and_changes_layout() -> None:
    found = transfer_cost(SOC, IMAGE, CPU, NPU)
    assert found.sync_us == 30
    assert found.copy_us == pytest.approx(3200 / 6e3)
    assert found.convert_us == pytest.approx((2 + 3200 / 8e3) + (2 + 1600 / 5e3))
    assert found.dram_bytes == 2 * 3200 + (3200 + 1600) + 2 * 1600


@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (1, 1, 10, 10), (8, 100)])
def test_a_tensor_whose_layouts_are_the_same_in_memory_is_not_rearranged(shape: tuple[int, ...]) -> None:
    found = transfer_cost(SOC, Value("float32", shape), CPU, NPU)
    assert found.convert_us == pytest.approx(2 + found.size_bytes / 8e3)


def test_integers_are_neither_cast_nor_rearranged() -> None:
    assert transfer_cost(SOC, Value("int64", (1, 8, 10, 10)), CPU, NPU).convert_us == 0


@given(shape=st.tuples(*[st.integers(1, 40)] * 4), grow=st.integers(1, 40),
       ends=st.sampled_from([(CPU, GPU), (GPU, CPU), (GPU, NPU), (NPU, CPU), (GPU32, NPU)]))  # fmt: skip
def test_a_larger_tensor_never_travels_faster(
    shape: tuple[int, ...], grow: int, ends: tuple[Location, Location]
) -> None:
    larger = (*shape[:3], shape[3] + grow)
    small, large = (transfer_cost(SOC, Value("float32", s), *ends) for s in (shape, larger))
    assert 0 <= small.latency_us <= large.latency_us
    assert small.size_bytes < large.size_bytes


def test_on_the_8_gen_3_a_dense_convolution_is_fastest_on_the_npu_then_on_the_gpu() -> None:
    soc = PRESETS["sd8gen3-qnn"]
    times = {u.name: cost(convolution(256, 256, 14, 3), soc, u.name, u.dtypes[0]).latency_us for u in soc.units}
    assert times["npu"] < times["gpu"] < times["cpu"]


def test_a_quantised_operator_stores_its_weights_in_half_a_byte_or_one_and_its_activations_in_one_or_two() -> None:
    graph = product(4, 64, 32)
    work = {dtype: work_of(graph, graph.nodes[0], dtype) for dtype in ("float16", "int8", "w8a16", "w4a16")}
    assert [work[dtype].weight_bytes for dtype in work] == [2 * 64 * 32, 64 * 32, 64 * 32, 64 * 32 // 2]
    assert [work[dtype].input_bytes for dtype in work] == [2 * 4 * 64, 4 * 64, 2 * 4 * 64, 2 * 4 * 64]


def test_on_the_8_gen_3_a_large_convolution_is_fastest_in_8_bits_then_with_16_bit_activations() -> None:
    soc = PRESETS["sd8gen3-qnn"]
    graph = convolution(256, 256, 56, 3)
    found = [cost(graph, soc, "npu", dtype).latency_us for dtype in ("int8", "w8a16", "float16")]
    assert found == sorted(found)
    assert found[0] < found[2] / 2


def test_a_tensor_on_its_way_into_a_quantised_unit_arrives_in_the_size_of_its_activations() -> None:
    soc = PRESETS["sd8gen3-qnn"]
    value = Value("float32", (1, 64, 32, 32))
    for dtype, size in (("int8", 1), ("w8a16", 2)):
        back = transfer_cost(soc, value, Location("npu", dtype), Location("cpu", "float32"))
        assert back.size_bytes == size * value.elements
