"""Layers of bottleneck ResNets as Caffe's prototxt lists them, to spread a network's whole time over them.

Source of the architecture: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, table 1; of the order
of layers: the authors' prototxt files (convolution, scale, then ReLU; the shortcut's convolution first).
"""

from collections.abc import Iterator
from dataclasses import dataclass

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
IMAGE = 224
SIZE_BYTES = 2
"""Of a number in float16."""


@dataclass(frozen=True, slots=True)
class LayerWork:
    """What a layer does; nothing if it is fused into the one before."""

    macs: int = 0
    weight_bytes: int = 0
    tensor_bytes: int = 0
    """Of what it reads and writes."""


def layers_of(network: str) -> tuple[LayerWork, ...] | None:
    """The layers of a network, by its name in small letters; None if it is no ResNet of these."""
    blocks = BLOCKS.get(network)
    return None if blocks is None else tuple(_layers(blocks))


def _layers(blocks: tuple[int, ...]) -> Iterator[LayerWork]:
    size = IMAGE // 2
    yield from _convolution(3, 64, 7, size, IMAGE)
    yield LayerWork(tensor_bytes=SIZE_BYTES * 64 * (size**2 + (size // 2) ** 2))
    channels, size = 64, size // 2
    for stage, count in enumerate(blocks):
        inner = 64 * 2**stage
        for block in range(count):
            before = size
            if block == 0:
                size = size if stage == 0 else size // 2
                yield from _convolution(channels, 4 * inner, 1, size, before, has_relu=False)
            yield from _convolution(channels, inner, 1, size, before)
            yield from _convolution(inner, inner, 3, size, size)
            yield from _convolution(inner, 4 * inner, 1, size, size, has_relu=False)
            yield LayerWork(tensor_bytes=SIZE_BYTES * 4 * inner * size**2)
            yield LayerWork()
            channels = 4 * inner
    yield LayerWork(tensor_bytes=SIZE_BYTES * channels * (size**2 + 1))
    yield LayerWork(1000 * channels, SIZE_BYTES * 1000 * channels, SIZE_BYTES * (channels + 1000))
    yield LayerWork()


def _convolution(
    read: int, written: int, kernel: int, size: int, size_before: int, *, has_relu: bool = True
) -> Iterator[LayerWork]:
    weights = kernel**2 * read * written
    tensors = read * size_before**2 + written * size**2
    yield LayerWork(weights * size**2, SIZE_BYTES * weights, SIZE_BYTES * tensors)
    yield LayerWork()
    if has_relu:
        yield LayerWork()
