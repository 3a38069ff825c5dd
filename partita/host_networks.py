"""Networks that `partita calibrate --host` times operators in: random ones, made of the blocks that real ones share.

An operator timed by itself finds its inputs and weights in the cache and in the order of memory that suits it; in a
network it does not. So operators are timed where they stand between others. No published network is among these.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.host_blocks import PARADE, Blocks
from partita.host_images import Images
from partita.host_sequences import Tokens, Waves
from partita.passes.pipeline import prepare
from partita.units import MACS_PER_MMAC

OPSET = 20
MOST_MMACS = 400.0
"""Of one network: some 30 ms on a core."""
MOST_BLOCKS, SMALLEST_SIDE = 20, 5
LARGE_SIDE = 64
"""Of maps that are soon made smaller."""
IMAGE_SIDES = (32, 48, 64, 96, 112, 128, 160, 192, 224, 224, 256, 320, 384, 416, 512, 640)
CHANNELS = (3, 3, 3, 1, 4, 12)
LENGTHS = (6, 12, 16, 20, 32, 49, 64, 77, 100, 128, 196, 197, 256, 384, 577, 1024)
LEAST_ROWS, MOST_ROWS = 4, 1500
"""Of the tensors in a parade."""
MOST_LAYER_MMACS = 800.0
"""Of one layer of tokens."""
WIDTHS = (64, 96, 128, 192, 256, 312, 384, 512, 768, 1024)
HEAD_WIDTHS = (16, 24, 32, 64)
RECIPES = (
    "plain", "waves", "residual", "tokens", "inverted", "pyramid", "mixed", "dense", "hybrid", "decoder", "pyramid",
    "waves", "parade",
)  # fmt: skip


def networks(count: int, seed: int) -> Iterator[Graph]:
    """`count` networks, the same for the same seed, in an order that mixes their kinds."""
    for index in range(count):
        rng = random.Random(f"{seed} {index}")
        recipe = RECIPES[index % len(RECIPES)]
        yield _prepared(_MAKERS[recipe](f"{recipe}{index}", rng))


def _prepared(b: GraphBuilder) -> Graph:
    return prepare(b.build())


def _image_network(name: str, rng: random.Random, block: Callable[[Images], None]) -> GraphBuilder:
    b = GraphBuilder(name, OPSET)
    side = rng.choice(IMAGE_SIDES)
    net = Images(b, rng, rng.choice(CHANNELS), side)
    net.stem()
    for _ in range(MOST_BLOCKS):
        block(net)
        if net.side > SMALLEST_SIDE and rng.random() < (0.55 if net.side > LARGE_SIDE else 0.3):
            net.shrink()
        if net.mmacs > MOST_MMACS:
            break
    b.output(net.head())
    return b


def _plain(name: str, rng: random.Random) -> GraphBuilder:
    return _image_network(name, rng, Images.plain)


def _residual(name: str, rng: random.Random) -> GraphBuilder:
    return _image_network(name, rng, Images.residual)


def _inverted(name: str, rng: random.Random) -> GraphBuilder:
    return _image_network(name, rng, Images.inverted)


def _dense(name: str, rng: random.Random) -> GraphBuilder:
    return _image_network(name, rng, lambda net: rng.choice((net.joined, net.grown, net.shuffled))())


def _mixed(name: str, rng: random.Random) -> GraphBuilder:
    def blocks(net: Images) -> Sequence[Callable[[], None]]:
        usual = (net.plain, net.residual, net.inverted, net.joined, net.grouped, net.normed, net.scaled)
        return (*usual, net.enlarged, net.enlarged)

    def block(net: Images) -> None:
        rng.choice(blocks(net))()

    return _image_network(name, rng, block)


def _pyramid(name: str, rng: random.Random) -> GraphBuilder:
    """Down to small maps and up again, where each level meets the one of its size from the way down."""
    b = GraphBuilder(name, OPSET)
    net = Images(b, rng, 3, rng.choice(IMAGE_SIDES[5:]))
    net.stem()
    levels = []
    while net.side > 2 * SMALLEST_SIDE and net.mmacs < MOST_MMACS / 2:
        rng.choice((net.plain, net.residual, net.inverted, net.joined))()
        levels.append((net.x, net.channels, net.side))
        net.shrink()
    for x, channels, side in reversed(levels):
        net.upsampled()
        if net.side == side:
            net.meets(x, channels)
        rng.choice((net.plain, net.residual, net.scaled))()
    b.output(net.head())
    return b


def _token_network(name: str, rng: random.Random, *, decoder: bool) -> GraphBuilder:
    b = GraphBuilder(name, OPSET)
    length = rng.choice(LENGTHS)
    usual = [
        width for width in WIDTHS if length * width * (12 * width + 2 * length) <= MOST_LAYER_MMACS * MACS_PER_MMAC
    ]
    net = Tokens(b, rng, length, rng.choice(usual), rng.choice(HEAD_WIDTHS))
    net.embed()
    for _ in range(12):
        net.rotary_layer() if decoder else net.layer()
        if net.mmacs > MOST_MMACS:
            break
    b.output(net.head())
    return b


def _tokens(name: str, rng: random.Random) -> GraphBuilder:
    return _token_network(name, rng, decoder=False)


def _decoder(name: str, rng: random.Random) -> GraphBuilder:
    return _token_network(name, rng, decoder=True)


def _waves(name: str, rng: random.Random) -> GraphBuilder:
    b = GraphBuilder(name, OPSET)
    net = Waves(b, rng)
    net.front()
    for _ in range(rng.randint(2, 5)):
        net.block()
    net.recurrent()
    b.output(net.head())
    return b


def _hybrid(name: str, rng: random.Random) -> GraphBuilder:
    """Convolutions, then attention over the pixels, as in mobile vision transformers and text readers."""
    b = GraphBuilder(name, OPSET)
    side = rng.choice(IMAGE_SIDES[:8])
    net = Images(b, rng, 3, side)
    net.stem()
    while net.side > 20:
        rng.choice((net.plain, net.inverted, net.residual))()
        net.shrink()
    tokens = Tokens(b, rng, net.side * net.side, net.channels // 16 * 16 or 16, 16)
    tokens.take(net.as_tokens(tokens.width))
    for _ in range(rng.randint(2, 5)):
        tokens.layer()
    b.output(tokens.head())
    return b


def _parade(name: str, rng: random.Random) -> GraphBuilder:
    """All the smaller operators one after the other, at one size and then at a smaller one."""
    b = GraphBuilder(name, OPSET)
    net = Blocks(b, rng)
    width, rows = rng.choice(WIDTHS), int(math.exp(rng.uniform(math.log(LEAST_ROWS), math.log(MOST_ROWS))))
    x = b.input("x", "float32", (1, rows, width))
    for _ in range(2):
        for kind in rng.sample(PARADE, len(PARADE)):
            x = net.sundry(x, kind)
        x = b.node("Slice", x, net.ints(0), net.ints(max(1, rows // 5)), net.ints(1))
    b.output(x)
    return b


_MAKERS: dict[str, Callable[[str, random.Random], GraphBuilder]] = {
    "plain": _plain, "residual": _residual, "inverted": _inverted, "mixed": _mixed, "dense": _dense,
    "tokens": _tokens, "decoder": _decoder, "waves": _waves, "hybrid": _hybrid,
    "pyramid": _pyramid, "parade": _parade,
}  # fmt: skip
