"""Blocks of hybrid networks by their names, such as conv_56_32_48_3_2_hard_swish_5_se, as kernels of a phone's CPU.

A name gives the sizes in the order of its kind; the structure of each kind is that of microsoft/nn-Meter, branch
dev/hybrid-transformer, where the blocks were built with Keras and converted to TensorFlow Lite: batch normalisation is
folded away, and heads of attention are 16 wide.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from partita.devices import kernel_shape as ks
from partita.devices.kernel_shape import KernelShape
from partita.errors import StudyError

HEAD = 16
SQUEEZE = 4
"""Channels over those in the middle of a squeeze-and-excitation."""
CLASSES_OF_HEAD = 1000

FIELDS = {
    "conv": ("side", "cin", "cout", "expansion", "stride", "hard", "swish", "window", "squeeze"),
    "firstconv": ("side", "cin", "cout", "stride", "window"),
    "mbpool": ("side", "cin", "cout", "expansion", "hard", "swish"),
    "transattn": ("side", "cin", "hard", "swish", "expansion", "norm"),
    "transds": ("side", "cin", "cout", "stride", "expansion"),
    "transffn": ("side", "cin", "expansion", "hard", "swish", "norm"),
}
"""What the parts of a name are, after its kind."""
WORDS = {"hard": ("hard",), "swish": ("swish",), "squeeze": ("se", "nose"), "norm": ("ln",)}
SIDES_AT_MOST, CHANNELS_AT_MOST = 4096, 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A part of a network; sizes in pixels and channels."""

    kind: str
    side: int
    """Of the square input."""
    cin: int
    cout: int
    expansion: int = 1
    """Of the channels in between; of an attention, the width of values over that of keys."""
    stride: int = 1
    window: int = 3
    squeezes: bool = True

    @property
    def family(self) -> str:
        """What is left out together in a cross-validation: all sizes and expansions of the same channels."""
        return f"{self.kind}_{self.cin}_{self.cout}"


def parse(name: str) -> Block:
    """The block of a name; StudyError says which part of it is wrong."""
    kind, *parts = name.split("_")
    fields = FIELDS.get(kind)
    if fields is None:
        raise StudyError(f"block {name!r}: no kind {kind!r} of block is known; there are: {', '.join(FIELDS)}")
    if len(parts) != len(fields):
        raise StudyError(f"block {name!r}: has {len(parts)} parts after {kind}, expected {'_'.join(fields)}")
    found = dict(zip(fields, parts, strict=True))
    for field, words in WORDS.items():
        if found.get(field, words[0]) not in words:
            raise StudyError(f"block {name!r}: {field} is {found[field]!r}, expected {' or '.join(words)}")
    sizes = {field: _size(name, field, text) for field, text in found.items() if field not in WORDS}
    sizes.setdefault("cout", sizes["cin"])
    return Block(kind=kind, squeezes=found.get("squeeze", "se") == "se", **sizes)


def _size(name: str, field: str, text: str) -> int:
    largest = SIDES_AT_MOST if field == "side" else CHANNELS_AT_MOST
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= largest):
        raise StudyError(f"block {name!r}: {field} is {text!r}, expected a whole number from 1 to {largest}")
    return int(text)


def kernels(block: Block) -> tuple[KernelShape, ...]:
    """What a CPU runs for a block, in order."""
    return tuple(_KERNELS_OF[block.kind](block))


def macs(shapes: Sequence[KernelShape]) -> int:
    return sum(shape.macs for shape in shapes)


def _inverted_bottleneck(block: Block) -> Iterator[KernelShape]:
    """Expansion, depthwise convolution, squeeze-and-excitation and projection, with a shortcut."""
    wide, small = block.cin * block.expansion, -(-block.side // block.stride)
    if block.expansion > 1:
        yield _pointwise(block.side, block.cin, wide, followers=("HardSwish",))
    yield _depthwise(block.side, small, wide, block)
    if block.squeezes:
        yield _elementwise(ks.MEAN, 1, wide, read=small * small * wide, taps=small * small)
        yield _pointwise(1, wide, max(1, wide // SQUEEZE), followers=("Relu",))
        yield _pointwise(1, max(1, wide // SQUEEZE), wide)
        yield _elementwise(ks.RELU, 1, wide)
        yield _elementwise(ks.MULTIPLY, small * small, wide)
    yield _pointwise(small, wide, block.cout)
    if block.cin != block.cout:
        if block.stride > 1:
            yield _elementwise(ks.AVERAGE_POOL, small * small, block.cin, read=block.side**2 * block.cin, taps=4)
        yield _pointwise(small, block.cin, block.cout)
    if block.cin != block.cout or block.stride == 1:
        yield _elementwise(ks.ADD, small * small, block.cout, inputs=2)


def _first(block: Block) -> Iterator[KernelShape]:
    small = -(-block.side // block.stride)
    yield KernelShape(
        kind=ks.CONV, height=small, width=small, channels=block.cout, in_channels=block.cin, taps=block.window**2,
        side=block.window, stride=block.stride, read_elements=block.side**2 * block.cin,
        weights=block.window**2 * block.cin * block.cout, pads=True, followers=("HardSwish",),
    )  # fmt: skip


def _head(block: Block) -> Iterator[KernelShape]:
    """Expansion, mean over the image and two fully connected layers."""
    wide = block.cin * block.expansion
    yield _pointwise(block.side, block.cin, wide, followers=("HardSwish",))
    yield _elementwise(ks.MEAN, 1, wide, read=block.side**2 * wide, taps=block.side**2)
    yield _pointwise(1, wide, block.cout)
    yield _pointwise(1, block.cout, CLASSES_OF_HEAD)


def _attention(block: Block) -> Iterator[KernelShape]:
    tokens, heads = block.side**2, max(1, block.cin // HEAD)
    values = heads * HEAD * block.expansion
    yield _elementwise(ks.NORM, tokens, block.cin)
    yield _pointwise(block.side, block.cin, 2 * heads * HEAD + values)
    yield _elementwise(ks.MOVEMENT, tokens, 2 * heads * HEAD + values)
    yield _elementwise(ks.MOVEMENT, tokens, 2 * heads * HEAD + values)
    yield _per_head(tokens, heads, depth=HEAD, columns=tokens)
    yield _elementwise(ks.ACTIVATION, heads * tokens, tokens)
    yield _per_head(tokens, heads, depth=tokens, columns=HEAD * block.expansion)
    yield _elementwise(ks.MOVEMENT, tokens, values)
    yield _pointwise(block.side, values, block.cout)


def _feed_forward(block: Block) -> Iterator[KernelShape]:
    tokens, wide = block.side**2, block.cin * block.expansion
    yield _elementwise(ks.NORM, tokens, block.cin)
    yield _pointwise(block.side, block.cin, wide, followers=("HardSwish",))
    yield _pointwise(block.side, wide, block.cin)
    yield _elementwise(ks.ADD, tokens, block.cin, inputs=2)


_KERNELS_OF = {
    "conv": _inverted_bottleneck, "transds": _inverted_bottleneck, "firstconv": _first, "mbpool": _head,
    "transattn": _attention, "transffn": _feed_forward,
}  # fmt: skip


def _pointwise(side: int, cin: int, cout: int, followers: tuple[str, ...] = ()) -> KernelShape:
    return KernelShape(
        kind=ks.CONV, height=side, width=side, channels=cout, in_channels=cin, read_elements=side * side * cin,
        weights=cin * cout, followers=followers,
    )  # fmt: skip


def _depthwise(side: int, small: int, channels: int, block: Block) -> KernelShape:
    return KernelShape(
        kind=ks.DEPTHWISE, height=small, width=small, channels=channels, in_channels=channels, taps=block.window**2,
        side=block.window, stride=block.stride, groups=channels, read_elements=side * side * channels,
        weights=block.window**2 * channels, followers=("HardSwish",),
    )  # fmt: skip


def _per_head(tokens: int, heads: int, *, depth: int, columns: int) -> KernelShape:
    """The product of two activations for each head."""
    return KernelShape(
        kind=ks.GROUPED, height=heads, width=tokens, channels=columns, in_channels=depth, inputs=2,
        read_elements=heads * (tokens + columns) * depth,
    )  # fmt: skip


def _elementwise(
    kind: str, pixels: int, channels: int, *, read: int = 0, taps: int = 1, inputs: int = 1
) -> KernelShape:
    return KernelShape(
        kind=kind, height=1, width=pixels, channels=channels, in_channels=channels, taps=taps, inputs=inputs,
        read_elements=read or inputs * pixels * channels,
    )  # fmt: skip
