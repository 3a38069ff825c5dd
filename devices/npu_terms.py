"""What an operator makes an accelerator do, term by term: blocks of products, elements that vector units touch.

Images lie in blocks of 32 channels and matrices in blocks of 32 columns, so a tensor with fewer of them is touched as
if it had 32. Convolutions and products are rounded up to whole tiles: 32 channels in, 32 out, pixels in 8 rows by 4.
Sources: X14 of the preset sd8gen3-qnn (32x32 tiles of the matrix unit); depth-first blocks of 32 channels as Hexagon NN
stores them. The terms were chosen so that whole networks come out right; `docs/fidelity.md` says what each buys.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from partita.devices.npu_tiles import stays_on_chip
from partita.graph.images import FIRST, IMAGE_RANK, channel_axes, is_layout_turn, lies_between_images
from partita.graph.ir import Graph, Node, Shape
from partita.graph.op_class import CONVOLUTIONS, FIRST_CONV_CHANNELS, conv_weight
from partita.graph.products import Matmul
from partita.graph.quantisation import SCHEMES
from partita.graph.work import (
    BATCHED_MATMUL,
    DENSE_CONV,
    DEPTHWISE_CONV,
    ELEMENTWISE,
    FIRST_CONV,
    FREE,
    GATHER,
    GEMM,
    GROUPED_CONV,
    MOVEMENT,
    NORM,
    POOL,
    RECURRENT,
    REDUCE,
    RESIZE,
    SOFTMAX,
    STRIDED_DEPTHWISE_CONV,
    Work,
    work_of,
)

MATRIX_TERMS = ("matrix", "matrix_feed", "grouped", "first_conv", "batched_matmul")
"""Of the matrix unit: multiply-accumulates in whole tiles, and elements fed to it."""
VECTOR_TERMS = (
    "image_traffic", "token_traffic", "depthwise", "strided_depthwise", "image_elementwise", "image_broadcast",
    "channel_broadcast", "channel_division", "token_elementwise", "token_broadcast", "norm", "softmax",
    "transcendental", "pool", "resize", "image_permute", "image_move", "token_move",
)  # fmt: skip
"""Of the vector units: elements read and written, or taps."""
MOVING_TERMS = ("image_traffic", "token_traffic", "image_permute", "image_move", "token_move")
"""Of these, what moves data in fast memory and computes nothing."""
TERMS = (*MATRIX_TERMS, *VECTOR_TERMS)

BLOCK = 32
FLOAT = "float16"
CHANNEL_BROADCAST, CHANNEL_DIVISION = "channel_broadcast", "channel_division"
TILE_ROWS, TILE_COLUMNS = 8, 4
HEADS_BEFORE_TOKENS, CHANNELS_BEFORE_TOKENS = (0, 2, 1, 3), (0, 2, 3, 1)
"""How the axes (batch, tokens, heads, channels) are turned for attention; the first turns them back too."""
ATTENTION = "Attention"
"""The pattern that runs as its primitives: there is no kernel for the whole."""
_TRANSCENDENTAL = frozenset(("Gelu", "Erf", "Sigmoid", "Tanh", "Exp", "HardSwish", "Swish", "HardSigmoid"))
_BINARY = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Min", "Max"))


@dataclass(frozen=True, slots=True)
class Terms:
    """How often an operator does what each term counts; a term that is not there counts nothing."""

    counts: Mapping[str, float]
    padded_elements: int
    """Of what it reads and writes, channels in whole blocks."""
    is_token: bool
    """Whether it works on tokens rather than on images."""
    kept_elements: int = 0
    """Of what it reads and writes, what `devices.npu_tiles` keeps in fast memory however large it is."""


def terms_of(graph: Graph, node: Node, work: Work, dtype: str) -> Terms | None:
    """The terms of one operator; None if they do not describe it, as those of loops and recurrent cells.

    The shapes that it touches must be known.
    """
    if work.op_class in (FREE, RECURRENT) or (node.regions and node.body is None):
        return None
    return _Reader(graph, node, work, is_quantised=dtype in SCHEMES).terms()


def normalises_channels(graph: Graph, node: Node) -> bool:
    """Whether it scales or shifts the few channels of a model's input image, each by its own constant."""
    if node.body is not None or node.op not in _BINARY:
        return False
    terms = terms_of(graph, node, work_of(graph, node), FLOAT)
    return terms is not None and not {CHANNEL_BROADCAST, CHANNEL_DIVISION}.isdisjoint(terms.counts)


def primitives(graph: Graph, node: Node) -> tuple[Graph, tuple[Node, ...]] | None:
    """The operators that run one by one for a fused one that has no kernel, with a graph that knows their types."""
    body = node.body
    if body is None or node.op != ATTENTION:
        return None
    weights = frozenset(name for name in body.inputs if graph.is_constant(name))
    return replace(body, missing=body.missing | weights), body.nodes


class _Reader:
    """One operator with what surrounds it."""

    def __init__(self, graph: Graph, node: Node, work: Work, *, is_quantised: bool) -> None:
        self.graph, self.node, self.work = graph, node, work
        self.is_quantised = is_quantised
        self.axes = channel_axes(graph)
        inner = node.body.nodes if node.body is not None else (node,)
        self.ops = {node.op, *(each.op for each in inner)}
        self.main = next((each for each in inner if each.op in (*CONVOLUTIONS, "ConvTranspose")), node)
        self.inputs = graph.activations(node)
        self.outputs = node.present_outputs
        touched = (*self.inputs, *self.outputs)
        self.is_token = work.op_class in (GEMM, BATCHED_MATMUL, SOFTMAX) or not any(n in self.axes for n in touched)
        self.read = sum(map(self._padded, self.inputs))
        self.written = sum(map(self._padded, self.outputs))

    def terms(self) -> Terms:
        counts = self._counts()
        if counts and self.ops & _TRANSCENDENTAL and self.work.op_class != SOFTMAX:
            counts = {**counts, "transcendental": self.written}
        kept = [name for name in (*self.inputs, *self.outputs) if stays_on_chip(self.graph, name)]
        return Terms(counts, self.read + self.written, self.is_token, sum(map(self._elements, kept)))

    def _counts(self) -> dict[str, float]:
        op_class, touched = self.work.op_class, self.read + self.written
        if op_class in (DENSE_CONV, FIRST_CONV, GROUPED_CONV):
            return {**self._convolution(), "image_traffic": touched}
        if op_class in (GEMM, BATCHED_MATMUL):
            term = "matrix" if op_class == GEMM else BATCHED_MATMUL
            return {term: _in_tiles(self.work.matmul), "token_traffic": touched}
        if op_class in (DEPTHWISE_CONV, STRIDED_DEPTHWISE_CONV):
            term = "depthwise" if op_class == DEPTHWISE_CONV else "strided_depthwise"
            return {term: self.written * self._taps()}
        if op_class == POOL:
            return {"pool": self.read if "Global" in self.node.op else self.written * self._taps()}
        if op_class in (ELEMENTWISE, NORM):
            return self._elementwise(touched)
        if op_class in (MOVEMENT, GATHER):
            return self._movement(touched)
        plain = {REDUCE: ("pool", self.read), SOFTMAX: ("softmax", self.written), RESIZE: ("resize", self.written)}
        term, count = plain.get(op_class, ("image_move", touched))
        return {term: count}

    def _convolution(self) -> dict[str, float]:
        product = self.work.matmul
        if self.main.op not in CONVOLUTIONS or product is None:
            fed = product.m * product.k if product is not None else 0
            return {"matrix": _in_tiles(product), "matrix_feed": fed}
        output = self._dims(self.main.outputs[0])
        groups = int(self.main.attributes.get("group", 1))
        taps = math.prod(self._dims(conv_weight(self.main))[2:])
        depth = product.k // taps
        pixels = output[0] * _pixels_in_tiles(output[2:])
        if self.work.op_class == FIRST_CONV:
            return {FIRST_CONV: pixels * _up(product.k) * _up(product.n)}
        if groups > 1:
            return {"grouped": pixels * taps * _in_blocks_of_groups(groups, depth, product.n)}
        fed = pixels * taps * _up(depth)
        return {"matrix": fed * _up(product.n), "matrix_feed": fed}

    def _elementwise(self, touched: int) -> dict[str, float]:
        if self.work.op_class == NORM:
            return self._normalisation(touched)
        smaller = self._broadcast_operands()
        if self.is_token and (smaller or not self._lies_in_blocks()):
            return {"token_broadcast" if smaller else "token_elementwise": touched}
        if not smaller:
            return {"image_elementwise": touched}
        dims, axis = self._dims(self.outputs[0]), self.axes.get(self.outputs[0])
        few = axis == FIRST and dims[FIRST] <= FIRST_CONV_CHANNELS
        if few and any(self.graph.is_constant(name) for name in smaller):
            if self.node.op == "Div":
                return {CHANNEL_DIVISION: 2 * math.prod(dims)}
            return {"image_elementwise": touched} if self.is_quantised else {CHANNEL_BROADCAST: 2 * math.prod(dims)}
        return {"image_broadcast": touched}

    def _lies_in_blocks(self) -> bool:
        """Tokens taken apart into heads have the axes of an image, and fill its blocks as well."""
        return len(self._dims(self.outputs[0])) >= IMAGE_RANK

    def _normalisation(self, touched: int) -> dict[str, float]:
        """A BatchNormalization that is not folded is one pass over an image, but quantised a product and a sum.

        Source: DenseNet has 121 of them, and 125 layers more in 8 bits than in float on the phone (AI Hub).
        """
        if "BatchNormalization" not in self.ops:
            return {"norm": touched}
        return {"image_broadcast": 2 * touched} if self.is_quantised else {"image_elementwise": touched}

    def _broadcast_operands(self) -> list[str]:
        """Operands that are repeated to fit the result.

        One number for all elements needs no repeating, and whole blocks of the last two axes only have to be read again
        for each of the outer ones, as a mask is for each head.
        """
        first = self.node.op.partition("+")[0]
        if first not in _BINARY or len(self.node.present_inputs) < 2:
            return []
        dims = self._dims(self.outputs[0])
        sizes = {name: math.prod(self._dims(name)) for name in self.node.present_inputs}
        repeated = [name for name, size in sizes.items() if 1 < size != math.prod(dims)]
        if len(dims) < IMAGE_RANK or dims[-1] % BLOCK:
            return repeated
        return [name for name in repeated if self._dims(name)[-2:] != dims[-2:]]

    def _movement(self, touched: int) -> dict[str, float]:
        op = self.node.op
        if op == "Transpose":
            if self._turns_nothing():
                return {}
            in_blocks = lies_between_images(self.graph, self.node) or self._moves_heads()
            return {"image_permute" if in_blocks else "token_move": touched}
        if op in ("DepthToSpace", "SpaceToDepth"):
            return {"image_permute": touched}
        if op == "Concat":
            return {} if self._joins_whole_blocks() else {"token_move" if self.is_token else "image_move": touched}
        if self._takes_what_lies_together():
            return {}
        return {"token_move" if self.is_token or self.work.op_class == GATHER else "image_move": 2 * self.written}

    def _moves_heads(self) -> bool:
        """Whether a Transpose takes the heads of attention apart or joins them, their channels kept together.

        A product may read its operand by columns, so that keys need not be turned as well.
        """
        order = tuple(self.node.attributes.get("perm", ()))
        return order == HEADS_BEFORE_TOKENS or (order == CHANNELS_BEFORE_TOKENS and self._feeds_products())

    def _feeds_products(self) -> bool:
        readers = self.graph.consumers_of.get(self.outputs[0], ())
        return bool(readers) and all(reader.op == "MatMul" for reader in readers)

    def _turns_nothing(self) -> bool:
        """Where elements keep their order, or a product reads its operand by columns instead of by rows."""
        if _moves_nothing(self._dims(self.node.inputs[0]), self.node) or is_layout_turn(self.graph, self.node):
            return True
        return _swaps_rows(self.node) and self._feeds_products()

    def _takes_what_lies_together(self) -> bool:
        """One entry of the outermost axis is part of the tensor as it lies."""
        if self.node.op != "Gather" or self.graph.is_constant(self.node.inputs[0]):
            return False
        whole, axis = self._dims(self.node.inputs[0]), int(self.node.attributes.get("axis", 0))
        one = math.prod(self._dims(self.node.inputs[1])) == 1 and self.graph.is_constant(self.node.inputs[1])
        return one and math.prod(whole[:axis]) == 1

    def _joins_whole_blocks(self) -> bool:
        """A Concat of images along channels that come in whole blocks only lists them: nothing is copied."""
        axis = int(self.node.attributes.get("axis", 0))
        parts = [self._dims(name) for name in self.inputs]
        return axis == self.axes.get(self.outputs[0]) == FIRST and all(dims[FIRST] % BLOCK == 0 for dims in parts)

    def _taps(self) -> int:
        kernel = self.main.attributes.get("kernel_shape")
        if kernel is None and self.main.op in CONVOLUTIONS:
            kernel = self._dims(conv_weight(self.main))[2:]
        return math.prod(kernel or ())

    def _elements(self, name: str) -> int:
        return math.prod(self._dims(name))

    def _padded(self, name: str) -> int:
        value = self.graph.values.get(name)
        if value is None or not value.is_concrete:
            return 0
        dims = value.dims
        if not dims or not math.prod(dims):
            return math.prod(dims)
        axis = self.axes.get(name, -1) if not self.is_token else -1
        return math.prod(dims) // dims[axis] * _up(dims[axis])

    def _dims(self, name: str) -> Shape:
        body = self.node.body
        if body is not None and name in body.values:
            return body.value(name).dims
        return self.graph.value(name).dims


def _up(size: int, block: int = BLOCK) -> int:
    return -(-size // block) * block


def _in_tiles(product: Matmul | None) -> int:
    return product.batch * _up(product.m) * _up(product.n) * _up(product.k) if product is not None else 0


def _pixels_in_tiles(sizes: Shape) -> int:
    if len(sizes) < 2:
        return _up(math.prod(sizes))
    *outer, height, width = sizes
    return math.prod(outer) * _up(height, TILE_ROWS) * _up(width, TILE_COLUMNS)


def _in_blocks_of_groups(groups: int, depth: int, width: int) -> int:
    """Products of one tap and pixel: groups narrower than a block share one, with zeros between them."""
    widest = max(depth, width)
    return _up(groups * width) * BLOCK if widest <= BLOCK else groups * _up(widest) ** 2


def _moves_nothing(dims: Shape, node: Node) -> bool:
    """Whether only axes of size 1 change places."""
    order = node.attributes.get("perm") or tuple(reversed(range(len(dims))))
    longer = [axis for axis in order if dims[axis] > 1]
    return longer == sorted(longer)


def _swaps_rows(node: Node) -> bool:
    """Whether a Transpose only exchanges the last two axes."""
    order = tuple(node.attributes.get("perm", ()))
    return order == (*range(len(order) - 2), len(order) - 1, len(order) - 2)
