"""Which tensors an accelerator hands from operator to operator piece by piece, so that they never leave fast memory.

Attention is what makes tensors larger than fast memory and needs none of them whole: a product of matrices computed at
run time, what is done element by element to it, and a softmax over its rows work on a few rows at a time. Source: the
tiling of FlashAttention (Dao et al., arXiv 2205.14135), which compilers for such accelerators do by themselves.
"""

from collections.abc import Iterator

from partita.graph.images import channel_axes
from partita.graph.ir import Graph, Node
from partita.graph.op_class import BATCHED_MATMUL, CLASS_OF_OP, ELEMENTWISE, FREE, GATHER, MOVEMENT, SOFTMAX, class_of
from partita.graph.work import work_of

_BY_ROWS = frozenset((ELEMENTWISE, SOFTMAX, BATCHED_MATMUL))
_MOVING = frozenset((MOVEMENT, GATHER))


def stays_on_chip(graph: Graph, name: str) -> bool:
    """Whether a tensor is made by one operator and read, row by row, by others that work by rows; views do not count.

    Images are read with what surrounds a pixel, and stay out of this.
    """
    if name in graph.outputs or name in channel_axes(graph) or not _is_made(graph, name):
        return False
    readers = list(_readers(graph, name))
    return bool(readers) and all(reader is not None and _works_by_rows(graph, reader) for reader in readers)


def _is_made(graph: Graph, name: str) -> bool:
    """By an operator of this graph that computes: inputs and what is moved, as a cache of keys, come from memory."""
    node = graph.producer_of.get(name)
    while node is not None and _is_view(node):
        node = graph.producer_of.get(node.inputs[0])
    return node is not None and CLASS_OF_OP.get(node.op) not in _MOVING


def _readers(graph: Graph, name: str) -> Iterator[Node | None]:
    """Who reads it, itself or through views; None stands for the host, which reads an output."""
    if name in graph.outputs:
        yield None
    for node in graph.consumers_of.get(name, ()):
        if _is_view(node):
            for output in node.present_outputs:
                yield from _readers(graph, output)
        else:
            yield node


def _is_view(node: Node) -> bool:
    return CLASS_OF_OP.get(node.op) == FREE and bool(node.present_inputs)


def _works_by_rows(graph: Graph, node: Node) -> bool:
    if node.regions and node.body is None:
        return False
    return (class_of(graph, node) if node.body is None else work_of(graph, node).op_class) in _BY_ROWS
