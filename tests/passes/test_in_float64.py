import numpy as np

from partita.graph.build import GraphBuilder
from partita.kernels.executor import run
from partita.passes.in_float64 import in_float64


def test_a_graph_in_float64_keeps_what_float32_loses() -> None:
    b = GraphBuilder()
    x = b.input("x", "int64", (2,))
    large = b.node("Add", b.node("Cast", x, to=1), b.constant("big", np.array(1e8, np.float32)))
    b.output(b.node("Sub", large, b.constant("same", np.array(1e8, np.float32))))
    graph, feeds = b.build(), {"x": np.array([1, 3])}
    (name,) = graph.outputs
    assert run(graph, feeds)[name].tolist() == [0, 0]
    exact = run(in_float64(graph), feeds)[name]
    assert (exact.dtype, exact.tolist()) == (np.dtype(np.float64), [1.0, 3.0])
