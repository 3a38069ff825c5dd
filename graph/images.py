"""Which tensors are images, and where their channels stand: accelerators store images in blocks of channels."""

from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

from partita.graph.ir import Graph, Node
from partita.graph.op_class import CLASS_OF_OP, CONVOLUTIONS, ELEMENTWISE, NORM, POOL, RESIZE

FIRST = 1
"""Channels before the pixels, as ONNX has them."""
LAST = -1
"""Channels behind the pixels, after a Transpose that asks for that."""
IMAGE_RANK = 4
"""Fewest dimensions of an image: batch, channels and two more."""
TOKENS_RANK = 3
"""Fewest dimensions of its pixels in a row: batch, and pixels and channels in either order."""

_SPATIAL = frozenset((
    *CONVOLUTIONS, "ConvTranspose", "DepthToSpace", "SpaceToDepth",
    "BatchNormalization", "InstanceNormalization", "LRN",
    *(op for op, op_class in CLASS_OF_OP.items() if op_class in (POOL, RESIZE)),
))  # fmt: skip
_KEEPING = frozenset((ELEMENTWISE, NORM, POOL, RESIZE))
"""Classes whose results lie as their inputs do."""
_KEEPING_OPS = frozenset(("Concat", "Slice", "Split", "Pad", "CenterCropPad"))
_LAST_AXIS_OPS = frozenset(("MatMul", "Gemm", "LayerNormalization"))
"""Operators that work along the last axis, and keep an image whose channels stand there."""

_KNOWN: WeakKeyDictionary[Graph, dict[str, int]] = WeakKeyDictionary()


def channel_axes(graph: Graph) -> dict[str, int]:
    """The images of the graph by name, each with the axis of its channels: FIRST or LAST.

    What convolutions, pools and their like read and write is an image, and so is what goes from there through
    operators that keep the layout, forwards and backwards. Tokens, matrices and vectors are none.
    """
    if graph not in _KNOWN:
        _KNOWN[graph] = _found(graph)
    return _KNOWN[graph]


def _found(graph: Graph) -> dict[str, int]:
    axes: dict[str, int] = {}
    for node in graph.nodes:
        if node.op in _SPATIAL:
            _mark(graph, axes, (*graph.activations(node)[:1], *node.present_outputs), FIRST)
        else:
            _pass_on(graph, axes, node)
    for node in reversed(graph.nodes):
        if _keeps(node) and node.op not in _SPATIAL:
            known = next((axes[name] for name in node.present_outputs if name in axes), None)
            if known is not None:
                _mark(graph, axes, graph.activations(node), known)
    return axes


def _pass_on(graph: Graph, axes: dict[str, int], node: Node) -> None:
    """From what a node reads to what it writes."""
    known = next((axes[name] for name in graph.activations(node) if name in axes), None)
    if known is None:
        return
    if node.op == "Transpose":
        turned = _TURNS.get((known, tuple(node.attributes.get("perm", ()))))
        if turned is not None:
            _mark(graph, axes, node.present_outputs, turned)
    elif _keeps(node) or (known == LAST and node.op in _LAST_AXIS_OPS):
        _mark(graph, axes, node.present_outputs, known)


_TURNS = {
    (FIRST, (0, 2, 3, 1)): LAST, (LAST, (0, 3, 1, 2)): FIRST,
    (FIRST, (0, 2, 3, 4, 1)): LAST, (LAST, (0, 4, 1, 2, 3)): FIRST,
}  # fmt: skip


def _keeps(node: Node) -> bool:
    return CLASS_OF_OP.get(node.op) in _KEEPING or node.op in _KEEPING_OPS


def _mark(graph: Graph, axes: dict[str, int], names: Iterable[str], axis: int) -> None:
    for name in names:
        value = graph.values.get(name)
        if value is not None and value.is_concrete and len(value.dims) >= IMAGE_RANK:
            axes.setdefault(name, axis)


def is_layout_turn(graph: Graph, node: Node) -> bool:
    """Whether a Transpose only moves an image's channels to the other end: nothing, where images lie channels last.

    The image may be flattened to tokens, whose order is that of its pixels: before the channels move, or behind it.
    """
    order = tuple(node.attributes.get("perm", ()))
    before, after = node.inputs[0], node.outputs[0]
    known = channel_axes(graph).get(before)
    if known is not None and (known, order) in _TURNS:
        return True
    if len(order) < TOKENS_RANK:
        return False
    first_to_last = (0, *range(2, len(order)), 1)
    last_to_first = (0, len(order) - 1, *range(1, len(order) - 1))
    return (order == first_to_last and _is_flat_image(graph, before, _sources(graph, before))) or (
        order == last_to_first and _is_flat_image(graph, after, _targets(graph, after))
    )


def _is_flat_image(graph: Graph, name: str, views: Iterable[str]) -> bool:
    """Whether one of the views of a tensor is an image with the tensor's second axis as channels."""
    axes, channels = channel_axes(graph), graph.value(name).dims[FIRST]
    return any(axes.get(view) == FIRST and graph.value(view).dims[FIRST] == channels for view in views)


def _sources(graph: Graph, name: str) -> Iterator[str]:
    """The tensor and those of which it is a reshaped view."""
    yield name
    while (producer := graph.producer_of.get(name)) is not None and producer.op in _RESHAPES:
        name = producer.inputs[0]
        yield name


def _targets(graph: Graph, name: str) -> Iterator[str]:
    """The tensor and the reshaped views of it, as long as it has no other reader."""
    yield name
    while len(readers := graph.consumers_of.get(name, ())) == 1 and readers[0].op in _RESHAPES:
        name = readers[0].outputs[0]
        yield name


def lies_between_images(graph: Graph, node: Node) -> bool:
    """Whether what the node moves comes from an image and becomes one, reshapes in between not counted."""
    axes = channel_axes(graph)
    *_, before = _sources(graph, node.inputs[0])
    *_, after = _targets(graph, node.outputs[0])
    return before in axes and after in axes


_RESHAPES = frozenset(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"))
