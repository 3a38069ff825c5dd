"""Random small graphs with real operators, for properties of whole plans."""

from hypothesis import strategies as st

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph

SHAPE = (1, 8, 16, 16)
UNARY = ("Relu", "Sigmoid", "Tanh", "Erf", "Sinh", "Softplus", "Identity")
BINARY = ("Add", "Mul")


@st.composite
def graphs(draw: st.DrawFn, most_operators: int = 7) -> Graph:
    """Convolutions, element-wise operators and SiLU tails over images, with branches that meet again."""
    b = GraphBuilder("random")
    tensors = [b.input("x", "float32", SHAPE)]
    for i in range(draw(st.integers(1, most_operators))):
        x = draw(st.sampled_from(tensors[-3:]))
        kind = draw(st.sampled_from(("conv", "unary", "unary", "binary", "reduce")))
        if kind == "conv":
            weight = b.missing(f"w{i}", "float32", (SHAPE[1], SHAPE[1], 3, 3))
            tensors.append(b.node("Conv", x, weight, kernel_shape=(3, 3), pads=(1, 1, 1, 1)))
        elif kind == "binary":
            tensors.append(b.node(draw(st.sampled_from(BINARY)), x, draw(st.sampled_from(tensors))))
        elif kind == "reduce":
            tensors.append(b.node("ReduceL1", x, axes=(1,), keepdims=1))
            tensors[-1] = b.node("Add", tensors[-1], x)
        else:
            tensors.append(b.node(draw(st.sampled_from(UNARY)), x))
    b.output(tensors[-1])
    if draw(st.booleans()) and tensors[-2] != "x":
        b.output(tensors[-2])
    return b.build()
