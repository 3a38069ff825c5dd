"""The networks in which `partita calibrate --host` times operators."""

from collections import Counter

from partita.devices.core_terms import kernels_of
from partita.graph.verify import verify
from partita.host_networks import networks
from partita.host_overheads import twice


def test_networks_are_sound_and_the_same_for_a_seed() -> None:
    some = list(networks(12, 0))
    for graph in some:
        verify(graph, concrete=True)
    assert [graph.digest for graph in some] == [graph.digest for graph in networks(12, 0)]
    assert some[0].digest != next(networks(1, 1)).digest


def test_all_kinds_of_kernels_that_usual_models_have_are_among_them() -> None:
    kinds = Counter(
        kernel.kind for g in networks(60, 0) for n in g.nodes for kernel in kernels_of(g, n, "float32", 1e6, ())
    )
    often = ("conv", "conv_1x1", "conv_1x1_few", "conv_winograd", "conv_few", "conv_1d", "conv_grouped", "depthwise",
             "depthwise_strided", "conv_1x1_vector", "product", "product_few", "products", "LSTM", "GRU", "Softmax",
             "LayerNormalization", "MaxPool", "AveragePool", "ReduceMean", "Concat", "Transpose", "Slice",
             "Resize_nearest", "Add", "Mul", "Div", "Sigmoid", "Clip", "view")  # fmt: skip
    assert {kind: kinds[kind] for kind in often if kinds[kind] < 4} == {}


def test_a_network_twice_is_two_of_it_side_by_side() -> None:
    (graph,) = networks(1, 0)
    pair = twice(graph)
    assert len(pair.nodes) == 2 * len(graph.nodes)
    assert len(pair.node_named) == len(pair.nodes)
    first, second = pair.nodes[: len(graph.nodes)], pair.nodes[len(graph.nodes) :]
    made = {name for node in first for name in node.outputs}
    assert not any(name in made for node in second for name in node.inputs)
    assert pair.value(pair.outputs[-1]) == graph.value(graph.outputs[-1])
