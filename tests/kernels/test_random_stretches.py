"""Random rows of convolutions, cut as finely as can be, against the same operators one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.graph.ir import Graph
from partita.kernels import compiled, conv_kinds, conv_lanes, threads
from partita.kernels.arrays import Array
from partita.kernels.executor import run
from tests.kernels.oracle import examples
from tests.kernels.test_stretch import Layers, check, noise

channels = st.sampled_from((3, 16, 30, 32, 50, 64))
layers = st.tuples(
    st.sampled_from(("pointwise", "depthwise", "full", "full")), channels, st.sampled_from((3, 3, 5)),
    st.sampled_from(((1, 1), (1, 1), (2, 2), (1, 3))), st.sampled_from(("", "Relu", "Clip")), st.booleans(),
)  # fmt: skip
sizes = st.tuples(st.sampled_from((1, 2, 9, 14, 23)), st.sampled_from((1, 2, 5, 16, 21)))


def drawn(shape: tuple[int, int, int, int], rows: list[tuple[str, int, int, tuple[int, int], str, bool]]) -> Graph:
    stack = Layers(shape)
    for kind, filters, kernel, strides, end, is_added in rows:
        before, known = stack.x, stack.channels
        addend = before if is_added and strides == (1, 1) and (kind == "depthwise" or filters == known) else ""
        group = known if kind == "depthwise" else 1
        stack.conv(
            known if kind == "depthwise" else filters, 1 if kind == "pointwise" else kernel, group=group, end=end,
            addend=addend, strides=list(strides),
        )  # fmt: skip
    return stack.graph()


@settings(examples, max_examples=80)
@given(st.integers(1, 2), channels, sizes, st.lists(layers, min_size=2, max_size=4), st.sampled_from((300, 5000)))
def test_convolutions_in_a_row_come_out_as_one_by_one_with_any_threads(
    batch: int,
    first: int,
    size: tuple[int, int],
    rows: list[tuple[str, int, int, tuple[int, int], str, bool]],
    block: int,
) -> None:
    graph, x = drawn((batch, first, *size), rows), noise(0, batch, first, *size)
    small = dict.fromkeys(("LEAST_WORK", "LEAST_DEPTHWISE_WORK", "LEAST_CHAIN_ELEMENTS", "MANY_WEIGHTS"), 0)
    small |= dict.fromkeys(("BLOCK_ELEMENTS", "DEPTHWISE_ELEMENTS", "TILES_ELEMENTS", "BAND_ELEMENTS"), block)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "is_available", lambda: False)
        patch.setattr(conv_kinds, "LEAST_CHANNELS", 16)
        for name, value in small.items():
            patch.setattr(conv_lanes, name, value)
        results: list[Array] = []
        for count in (1, 2, 3):
            patch.setattr(threads, "threads", lambda count=count: count)
            check(graph, x)
            results += run(graph, {"x": x}).values()
        assert all((y == results[0]).all() for y in results[1:])
