"""Stretches of convolutions against the same operators one by one."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import fuse
from partita.kernels import blas, compiled, conv_lanes, threads
from partita.kernels.arrays import Array
from partita.kernels.conv_lanes import phases
from partita.kernels.conv_tape import Tape
from partita.kernels.executor import compute, run
from partita.kernels.fused import worth_fusing
from partita.kernels.program import Program
from partita.kernels.stretch import Stretch
from partita.passes.find_matches import find_matches
from tests.kernels.oracle import examples, seeds


def noise(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


class Layers:
    """Convolutions on top of each other, with random weights."""

    def __init__(self, shape: Sequence[int], seed: int = 0) -> None:
        self.b, self.seed = GraphBuilder(), seed
        self.x = self.b.input("x", "float32", tuple(shape))
        self.channels = shape[1]

    def conv(
        self, filters: int, kernel: int, *, group: int = 1, end: str = "", addend: str = "", last: str = "", **more: Any
    ) -> str:
        self.seed += 1
        scale = (kernel * kernel * self.channels / group) ** -0.5
        w = noise(self.seed, filters, self.channels // group, kernel, kernel) * np.float32(scale)
        names = [self.b.constant(f"w{self.seed}", w), self.b.constant(f"b{self.seed}", noise(-self.seed % 99, filters))]
        attributes = {"pads": [kernel // 2] * 4, **more}
        self.x = self.b.node("Conv", self.x, *names, group=group, **attributes)
        if addend:
            self.x = self.b.node("Add", self.x, addend)
        if end == "Clip":
            bounds = [self.b.constant(f"{n}{self.seed}", np.array(v, np.float32)) for n, v in (("l", 0), ("h", 0.9))]
            self.x = self.b.node("Clip", self.x, *bounds)
        elif end:
            self.x = self.b.node(end, self.x)
        if last:
            self.x = self.b.node("Add", last, self.x)
        self.channels = filters
        return self.x

    def graph(self, *outputs: str) -> Graph:
        for name in outputs or (self.x,):
            self.b.output(name)
        graph = self.b.build()
        return fuse(graph, worth_fusing(graph, find_matches(graph)))


def one_by_one(graph: Graph, feeds: dict[str, Array]) -> dict[str, Array]:
    known: dict[str, Any] = {"": None, **graph.constants, **feeds}
    for node in graph.nodes:
        known |= zip(node.outputs, compute(node, [known[name] for name in node.inputs]), strict=False)
    return {name: known[name] for name in graph.outputs}


def check(graph: Graph, x: Array) -> None:
    expected = one_by_one(graph, {"x": x})
    for name, y in run(graph, {"x": x}).items():
        assert y.shape == expected[name].shape
        np.testing.assert_allclose(y, expected[name], rtol=1e-4, atol=2e-5)


def stretches(graph: Graph) -> list[Stretch]:
    program = Program(graph, graph.outputs)
    return [step.call for step in program._steps if isinstance(step.call, Stretch)]


def inverted_residuals(size: tuple[int, int], batch: int = 1, stride: int = 2, kernel: int = 3) -> Graph:
    layers = Layers((batch, 3, *size))
    layers.conv(16, 3, end="Clip", strides=[2, 2])
    for step, group in ((stride, 40), (1, 24)):
        before = layers.x if step == 1 else ""
        channels = layers.channels
        layers.conv(group, 1, end="Clip")
        layers.conv(group, kernel, group=group, end="Clip", strides=[step, step])
        layers.conv(channels, 1, addend=before)
    return layers.graph()


@examples
@given(st.tuples(st.integers(9, 31), st.integers(9, 31)), st.integers(1, 2), st.integers(1, 3), st.sampled_from((3, 5)),
       seeds)  # fmt: skip
def test_inverted_residuals_come_out_as_one_by_one(
    size: tuple[int, int], batch: int, stride: int, kernel: int, seed: int
) -> None:
    check(inverted_residuals(size, batch, stride, kernel), noise(seed, batch, 3, *size))


@pytest.mark.parametrize("size", [(12, 12), (26, 24), (7, 9), (33, 30)])
def test_bottlenecks_come_out_as_one_by_one(size: tuple[int, int]) -> None:
    layers = Layers((2, 64, *size))
    start = layers.conv(64, 1, end="Relu")
    layers.conv(64, 3, end="Relu")
    middle = layers.conv(64, 3, end="Relu", addend=start)
    layers.conv(50, 3, strides=[2, 2])
    layers.conv(50, 3, dilations=[2, 2], pads=[2, 2, 2, 2])
    graph = layers.graph(middle, layers.x)
    check(graph, noise(1, 2, 64, *size))


@examples
@given(st.tuples(st.integers(9, 31), st.integers(9, 31)), st.integers(1, 2), st.integers(1, 3),
       st.sampled_from((1, 3, 5)),
       st.sampled_from((1000, 10_000)), seeds)  # fmt: skip
def test_chains_in_bands_come_out_as_one_by_one(
    size: tuple[int, int], batch: int, stride: int, kernel: int, band: int, seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conv_lanes, "LEAST_CHAIN_ELEMENTS", 0)
        patch.setattr(conv_lanes, "BAND_ELEMENTS", band)
        check(inverted_residuals(size, batch, stride, kernel), noise(seed, batch, 3, *size))


def test_a_chain_s_tensors_lie_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "has_small_products", lambda: True)
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    sizes = []
    for least in (0, 1 << 30):
        monkeypatch.setattr(conv_lanes, "LEAST_CHAIN_ELEMENTS", least)
        (stretch,) = stretches(inverted_residuals((61, 61)))
        tape = stretch._plan_of(((1, 3, 61, 61),), frozenset(), 1)
        assert isinstance(tape, Tape)
        sizes.append(tape._layout.arena_bytes)
    assert sizes[0] < sizes[1] / 2


@pytest.mark.parametrize("size", [(24, 24), (25, 30), (14, 14), (7, 7)])
def test_convolutions_in_winograd_s_tiles_come_out_as_one_by_one(size: tuple[int, int]) -> None:
    layers = Layers((2, 64, *size))
    start = layers.conv(64, 3, end="Relu")
    layers.conv(48, 3, end="Clip")
    layers.conv(64, 3, addend=start)
    layers.conv(64, 3, group=64, strides=[2, 2])
    check(layers.graph(start, layers.x), noise(0, 2, 64, *size))


def test_consecutive_convolutions_are_one_stretch() -> None:
    (stretch,) = stretches(inverted_residuals((16, 16)))
    assert stretch.inputs == ("x",)
    assert len(stretch.outputs) == 1


def test_what_is_wanted_on_the_way_is_an_output_of_the_stretch() -> None:
    layers = Layers((1, 8, 10, 10))
    first = layers.conv(8, 3, group=8)
    second = layers.conv(8, 3, group=8)
    layers.conv(8, 3, group=8)
    graph = layers.graph(first, second, layers.x)
    check(graph, noise(3, 1, 8, 10, 10))


def test_another_shape_or_memory_order_of_the_input_changes_nothing() -> None:
    graph = inverted_residuals((18, 14))
    x = noise(5, 1, 3, 18, 14)
    (first,) = run(graph, {"x": x}).values()
    (second,) = run(graph, {"x": np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)}).values()
    (third,) = run(graph, {"x": np.repeat(x, 2, axis=-1)[..., ::2]}).values()
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(first, third, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (4, 2)])
def test_an_image_may_be_narrower_than_the_stride_of_a_depthwise_convolution(size: tuple[int, int]) -> None:
    layers = Layers((1, 8, *size))
    layers.conv(8, 1)
    layers.conv(8, 3, group=8, strides=[3, 3])
    check(layers.graph(), noise(0, 1, 8, *size))


def test_only_so_many_shapes_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita.kernels.stretch.MOST_PLANS", 3)
    (stretch,) = stretches(inverted_residuals((10, 10)))
    for size in (10, 12, 14, 10, 16, 18):
        (y,) = stretch([noise(size, 1, 3, size, size)])
        assert y.shape[0] == 1
        assert 1 <= stretch._plan_of.cache_info().currsize <= 3


def test_an_empty_batch_gives_an_empty_result() -> None:
    layers = Layers((0, 4, 8, 8))
    layers.conv(4, 3, group=4)
    layers.conv(6, 1)
    (y,) = run(layers.graph(), {"x": np.zeros((0, 4, 8, 8), np.float32)}).values()
    assert y.shape == (0, 6, 8, 8)


def test_runs_at_the_same_time_do_not_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads", lambda: 2)
    monkeypatch.setattr(compiled, "LEAST_WORK", 0)
    graph = inverted_residuals((24, 24))
    feeds = [noise(seed, 1, 3, 24, 24) for seed in range(4)]
    expected = [run(graph, {"x": x}) for x in feeds]
    failures: list[int] = []

    def repeat(i: int) -> None:
        for _ in range(20):
            for name, y in run(graph, {"x": feeds[i]}).items():
                if not np.array_equal(y, expected[i][name]):
                    failures.append(i)

    workers = [threading.Thread(target=repeat, args=(i,)) for i in range(len(feeds))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def assert_equal_with_any_threads(monkeypatch: pytest.MonkeyPatch, graph: Graph) -> None:
    x, results = noise(0, 1, 3, 25, 21), []
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "threads", lambda count=count: count)
        results += [run(graph, {"x": x}) for _ in range(5)]
    for other in results[1:]:
        for name, y in other.items():
            np.testing.assert_array_equal(y, results[0][name])


def test_threads_change_no_bit_of_a_stretch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "LEAST_WORK", 0)
    assert_equal_with_any_threads(monkeypatch, inverted_residuals((25, 21)))


def with_many_filters() -> Graph:
    layers = Layers((1, 3, 25, 21))
    layers.conv(16, 3, end="Clip", strides=[2, 2])
    layers.conv(16, 3, group=16, end="Clip")
    before = layers.conv(192, 1)
    layers.conv(192, 3, group=192, end="Clip")
    layers.conv(192, 1, addend=before)
    return layers.graph()


def with_activations(size: tuple[int, int], batch: int = 1) -> Graph:
    """Activations that are more than limits, and additions after them."""
    layers = Layers((batch, 3, *size))
    layers.conv(32, 3, end="Sigmoid", strides=[2, 2])
    layers.conv(32, 3, group=32, end="Tanh")
    before = layers.conv(64, 1, end="Sigmoid")
    layers.conv(64, 3, end="Tanh")
    layers.conv(64, 3, end="Relu", last=before)
    before = layers.conv(48, 1, end="HardSigmoid")
    layers.conv(48, 3, group=48, end="Sigmoid", strides=[2, 2])
    layers.conv(48, 1, end="Tanh")
    return layers.graph(before, layers.x)


@pytest.mark.parametrize("size", [(30, 31), (57, 20)])
@pytest.mark.parametrize("least_chain", [0, 1 << 30])
def test_activations_come_out_as_one_by_one(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], least_chain: int
) -> None:
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    monkeypatch.setattr(conv_lanes, "LEAST_CHAIN_ELEMENTS", least_chain)
    graph = with_activations(size, 2)
    assert len(stretches(graph)) == 1
    check(graph, noise(3, 2, 3, *size))


def in_winograd_s_tiles() -> Graph:
    layers = Layers((1, 3, 25, 21))
    layers.conv(64, 3, end="Relu")
    layers.conv(64, 3, end="Relu")
    layers.conv(96, 3, strides=[2, 2])
    layers.conv(256, 3, end="Relu")
    return layers.graph()


def with_two_columns() -> Graph:
    """In whose blocks there may be a row of one tile, or a column alone."""
    layers = Layers((1, 3, 25, 21))
    layers.conv(64, 3, strides=[1, 14])
    layers.conv(64, 3)
    layers.conv(64, 1)
    layers.conv(64, 3, group=64, strides=[2, 2])
    return layers.graph()


def with_a_column_that_padding_widens() -> Graph:
    layers = Layers((1, 3, 25, 21))
    layers.conv(62, 3, strides=[1, 21])
    layers.conv(64, 1)
    layers.conv(64, 5, group=64, pads=[3, 4, 3, 3])
    layers.conv(32, 1)
    return layers.graph()


def with_odd_numbers_of_filters() -> Graph:
    layers = Layers((1, 3, 25, 21))
    layers.conv(50, 3)
    layers.conv(50, 3, group=50)
    layers.conv(51, 1)
    return layers.graph()


@pytest.mark.parametrize(("least_chain", "block"), [(0, 5000), (0, 500), (1 << 30, 150)])
@pytest.mark.parametrize(
    "make",
    [
        lambda: inverted_residuals((25, 21)),
        with_many_filters,
        in_winograd_s_tiles,
        with_two_columns,
        with_a_column_that_padding_widens,
        with_odd_numbers_of_filters,
    ],
)
def test_threads_change_no_bit_of_a_tape(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Graph], least_chain: int, block: int
) -> None:
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    monkeypatch.setattr(conv_lanes, "LEAST_CHAIN_ELEMENTS", least_chain)
    monkeypatch.setattr(conv_lanes, "BAND_ELEMENTS", block)
    monkeypatch.setattr(conv_lanes, "BLOCK_ELEMENTS", block)
    monkeypatch.setattr(conv_lanes, "TILES_ELEMENTS", 1600)
    monkeypatch.setattr(conv_lanes, "MANY_WEIGHTS", 0)
    monkeypatch.setattr(conv_lanes, "LEAST_WORK", 0)
    monkeypatch.setattr(conv_lanes, "LEAST_DEPTHWISE_WORK", 0)
    assert_equal_with_any_threads(monkeypatch, make())


@pytest.mark.parametrize("kernel", [1, 3])
def test_threads_that_share_the_filters_add_their_bias(monkeypatch: pytest.MonkeyPatch, kernel: int) -> None:
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    monkeypatch.setattr(threads, "threads", lambda: 2)
    monkeypatch.setattr(conv_lanes, "MANY_WEIGHTS", 0)
    monkeypatch.setattr(conv_lanes, "LEAST_WORK", 0)
    layers = Layers((2, 16, 7, 7))
    layers.conv(64, 3)
    layers.conv(256, kernel)
    check(layers.graph(), noise(0, 2, 16, 7, 7))


def test_threads_wait_for_each_other_only_where_a_convolution_reads_over_the_border_of_its_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blas, "has_small_products", lambda: True)
    monkeypatch.setattr(conv_lanes, "LEAST_WORK", 0)
    monkeypatch.setattr(conv_lanes, "LEAST_DEPTHWISE_WORK", 0)
    (stretch,) = stretches(inverted_residuals((49, 49)))
    shapes = {"x": (1, 3, 49, 49)}
    convolutions = []
    for link in stretch._links:
        convolutions.append(link.convolution(shapes))
        height, width = convolutions[-1].windows.outputs
        shapes[convolutions[-1].output] = (1, len(link.w), height, width)
    steps = [
        ["D" if c.is_depthwise else str(c.w.shape[-1]) for c in phase.convolutions]
        for phase in phases(convolutions, (), 2)
    ]
    assert steps == [["3", "1"], ["D", "1", "1"], ["D", "1"]]
    assert len(phases(convolutions, (), 1)) == len(convolutions)
