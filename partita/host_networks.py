"""Networks that `partita calibrate --host` times operators in: random ones, made of the blocks that real ones share.

An operator timed by itself finds its inputs and weights in the cache and in the order of memory that suits it; in a
network it does not. So operators are timed where they stand between others. No published network is among these.
"""

import random
from collections.abc import Callable, Iterator

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.host_blocks import Images
from partita.host_sequences import Tokens, Waves
from partita.passes.pipeline import prepare

OPSET = 20
MOST_MMACS = 400.0
"""Of one network: some 30 ms on a core."""
MOST_BLOCKS, SMALLEST_SIDE = 20, 5
IMAGE_SIDES = (32, 48, 64, 96, 112, 128, 160, 192, 224, 256, 320, 384)
CHANNELS = (3, 3, 3, 1, 4, 12)
LENGTHS = (16, 32, 49, 64, 77, 100, 128, 196, 197, 256, 384)
WIDTHS = (64, 96, 128, 192, 256, 312, 384, 512, 768, 1024)
HEAD_WIDTHS = (16, 24, 32, 64)
RECIPES = (
    "plain", "waves", "residual", "tokens", "inverted", "mixed", "waves", "dense", "hybrid", "decoder", "mixed",
    "waves",
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
        if net.side > SMALLEST_SIDE and rng.random() < 0.35:
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
    def block(net: Images) -> None:
        rng.choice((net.plain, net.residual, net.inverted, net.joined, net.grouped, net.enlarged, net.normed))()

    return _image_network(name, rng, block)


def _token_network(name: str, rng: random.Random, *, decoder: bool) -> GraphBuilder:
    b = GraphBuilder(name, OPSET)
    net = Tokens(b, rng, rng.choice(LENGTHS), rng.choice(WIDTHS), rng.choice(HEAD_WIDTHS))
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


_MAKERS: dict[str, Callable[[str, random.Random], GraphBuilder]] = {
    "plain": _plain, "residual": _residual, "inverted": _inverted, "mixed": _mixed, "dense": _dense,
    "tokens": _tokens, "decoder": _decoder, "waves": _waves, "hybrid": _hybrid,
}  # fmt: skip
