"""Blocks of images for the networks that `partita calibrate --host` runs, with random sizes."""

import math
import random

from partita.graph.build import GraphBuilder
from partita.host_blocks import SUNDRY_SHARE, Blocks
from partita.units import MACS_PER_MMAC

LARGEST_MMACS = 150.0
"""Of one operator."""
NARROWEST = 8


class Images(Blocks):
    """Maps of channels, as image networks have them."""

    def __init__(self, b: GraphBuilder, rng: random.Random, channels: int, side: int) -> None:
        super().__init__(b, rng)
        self.x = b.input("x", "float32", (1, channels, side, side))
        self.channels, self.side = channels, side

    def conv(self, filters: int, window: int = 1, stride: int = 1, group: int = 1, *, bias: bool | None = None) -> str:
        """A convolution of the current map, which becomes the current one; padded so that windows fit."""
        group = group if self.channels % group == 0 and filters % group == 0 else 1
        side = -(-self.side // stride)
        work = side * side * filters * (self.channels // group) * window * window / MACS_PER_MMAC
        while work > LARGEST_MMACS and filters >= 2 * NARROWEST and group == 1:
            filters, work = filters // 2, work / 2
        inputs = [self.x, self.weight(filters, self.channels // group, window, window)]
        if bias if bias is not None else self.rng.random() < 0.85:
            inputs.append(self.weight(filters))
        before, after = (window - 1) // 2, window // 2 if stride == 1 else (side - 1) * stride + window - self.side
        after = max(0, after - (before if stride > 1 else 0))
        pads = (before, before, after, after)
        self.x = self.b.node("Conv", *inputs, group=group, pads=pads, strides=(stride, stride))
        self.channels, self.side = filters, side
        self.mmacs += work
        return self.x

    def act(self) -> None:
        if self.rng.random() < SUNDRY_SHARE:
            self.x = self.moved(self.x)
        self.x = self.activated(self.x)
        if self.rng.random() < SUNDRY_SHARE:
            self.x = self.sundry(self.x)

    def moved(self, x: str) -> str:
        """Times a number and plus another one: one for all, or one for each channel; or only the latter."""
        shape = (1,) if self.rng.random() < 0.5 else (1, self.channels, 1, 1)
        if self.rng.random() < 0.5:
            x = self.b.node("Mul", x, self.weight(*shape))
        return self.b.node("Add", x, self.weight(*shape))

    def scaled(self) -> None:
        """A convolution whose result is moved before and after its activation."""
        self.conv(self.some_channels(), self.rng.choice((1, 1, 3)), bias=False)
        self.x = self.moved(self.activated(self.moved(self.x)))
        self.conv(self.channels, self.rng.choice((3, 5)), 1, self.channels)
        self.x = self.activated(self.moved(self.x))

    def some_channels(self) -> int:
        """Usual for maps of this size: the smaller, the more; a multiple of 8, now and then of 4."""
        middle = 2200.0 / max(self.side, 4)
        found = int(middle * math.exp(self.rng.uniform(-1.1, 1.1)))
        grain = self.rng.choice((8, 8, 8, 4, 16))
        return max(NARROWEST, min(found // grain * grain, 1024))

    def stem(self) -> None:
        size, stride = self.rng.choice(((3, 2), (3, 2), (3, 2), (7, 2), (3, 1), (5, 2), (6, 2), (4, 4), (8, 8)))
        if self.side > 200:
            stride = max(stride, 2)
        self.conv(self.rng.choice((8, 16, 24, 32, 32, 48, 64)), size, stride)
        self.act()
        if self.rng.random() < 0.3:
            self.pool("MaxPool", 3, 2)

    def shrink(self) -> None:
        """To half the size by a convolution or a pool."""
        kind = self.rng.random()
        if kind < 0.3:
            self.pool(self.rng.choice(("MaxPool", "AveragePool")), self.rng.choice((2, 3)), 2)
        elif kind < 0.65:
            self.conv(self.some_channels(), self.rng.choice((1, 3, 3)), 2)
            self.act()
        else:
            self.conv(self.channels, self.rng.choice((3, 5)), 2, self.channels)
            self.act()
            self.conv(self.some_channels())
            self.act()

    def pool(self, op: str, window: int, stride: int) -> None:
        pad = (window - 1) // 2
        self.x = self.b.node(op, self.x, kernel_shape=(window,) * 2, strides=(stride,) * 2, pads=(pad,) * 4)
        self.side = (self.side + 2 * pad - window) // stride + 1

    def padded(self) -> None:
        """A border that is added and cut off again."""
        before, after = self.rng.choice(((1, 1), (0, 1), (2, 2)))
        wide = self.b.node("Pad", self.x, self.ints(0, 0, before, before, 0, 0, after, after))
        ends = self.ints(before + self.side, before + self.side)
        self.x = self.b.node("Slice", wide, self.ints(before, before), ends, self.ints(2, 3))

    def plain(self) -> None:
        for _ in range(self.rng.randint(1, 3)):
            self.conv(self.some_channels(), self.rng.choice((1, 1, 3, 3, 3, 5)))
            self.act()

    def residual(self) -> None:
        before, channels = self.x, self.channels
        if self.rng.random() < 0.5:
            self.conv(max(NARROWEST, channels // 4))
            self.act()
            self.conv(self.channels, 3)
        else:
            self.conv(channels, 3)
        self.act()
        self.conv(channels, self.rng.choice((1, 3)))
        if self.rng.random() < SUNDRY_SHARE:
            self.padded()
        if self.channels == channels:
            self.x = self.b.node("Add", self.x, before)
        self.act()

    def inverted(self) -> None:
        before, channels, wide = self.x, self.channels, self.channels * self.rng.choice((2, 3, 4, 6))
        self.conv(min(wide, 1152))
        self.act()
        self.conv(self.channels, self.rng.choice((3, 3, 5, 7)), 1, self.channels)
        self.act()
        if self.rng.random() < 0.4:
            self.squeezed()
        self.conv(channels if self.rng.random() < 0.7 else self.some_channels())
        if self.channels == channels:
            self.x = self.b.node("Add", self.x, before)

    def squeezed(self) -> None:
        """Squeeze and excitation: every channel times a number that all of them decide."""
        kept, side, channels = self.x, self.side, self.channels
        if self.rng.random() < 0.5:
            self.x = self.b.node("GlobalAveragePool", self.x)
        else:
            self.x = self.b.node("ReduceMean", self.x, self.ints(2, 3), keepdims=1)
        self.side = 1
        self.conv(max(NARROWEST // 2, channels // self.rng.choice((4, 4, 8, 16, 24))), bias=True)
        self.x = self.b.node("Relu", self.x) if self.rng.random() < 0.6 else self.swish(self.x)
        self.conv(channels, bias=True)
        gate = self.b.node(self.rng.choice(("Sigmoid", "HardSigmoid")), self.x)
        self.x, self.side, self.channels = self.b.node("Mul", kept, gate), side, channels

    def joined(self) -> None:
        """Branches side by side, concatenated."""
        before, channels, side = self.x, self.channels, self.side
        ends, widths = [], []
        for _ in range(self.rng.randint(2, 4)):
            self.x, self.channels, self.side = before, channels, side
            for _ in range(self.rng.randint(1, 2)):
                self.conv(max(NARROWEST, self.some_channels() // 2), self.rng.choice((1, 3)))
                self.act()
            ends.append(self.x)
            widths.append(self.channels)
        self.x, self.channels = self.b.node("Concat", *ends, axis=1), sum(widths)

    def grown(self) -> None:
        """New channels behind the old ones."""
        before, channels = self.x, self.channels
        if self.rng.random() < 0.5:
            self.normed()
        self.conv(4 * self.rng.choice((8, 12, 16, 24, 32)))
        self.act()
        self.conv(max(NARROWEST, self.channels // 4), 3)
        self.x, self.channels = self.b.node("Concat", before, self.x, axis=1), channels + self.channels
        if self.channels > 800:
            self.conv(self.channels // 4)

    def normed(self) -> None:
        """A normalisation that nothing folds, for a pool stands before it."""
        if self.rng.random() < 0.4:
            inputs = [self.weight(self.channels) for _ in range(2)]
            self.x = self.b.node("InstanceNormalization", self.x, *inputs)
        else:
            self.pool("MaxPool", 3, 1)
            self.x = self.b.node("BatchNormalization", self.x, *[self.weight(self.channels) for _ in range(4)])
        self.x = self.b.node("Relu", self.x)

    def grouped(self) -> None:
        for width in (16, 8, 24):
            if self.channels % width == 0 and self.channels > width:
                self.conv(self.channels, 3, 1, self.channels // width)
                self.act()
                return
        self.plain()

    def shuffled(self) -> None:
        """Half of the channels through a branch, then all of them shuffled."""
        if self.channels % 2:
            self.conv(self.channels // 2 * 2 or 2)
        half, channels = self.channels // 2, self.channels
        kept, self.x = self.b.node("Split", self.x, self.ints(half, half), outputs=2, axis=1)
        self.channels = half
        self.conv(half)
        self.act()
        self.conv(half, 3, 1, half)
        self.conv(half)
        self.act()
        x = self.b.node("Concat", kept, self.x, axis=1)
        x = self.b.node("Reshape", x, self.ints(1, 2, half, self.side, self.side))
        x = self.b.node("Transpose", x, perm=(0, 2, 1, 3, 4))
        self.x, self.channels = self.b.node("Reshape", x, self.ints(1, channels, self.side, self.side)), channels

    def upsampled(self) -> None:
        """Twice the size, by a resize or a transposed convolution."""
        kind = self.rng.random()
        if kind < 0.8:
            scales = self.number([1, 1, 2, 2])
            mode = self.rng.choice(("nearest", "nearest", "linear"))
            how = self.rng.choice(("half_pixel", "asymmetric"))
            self.x = self.b.node("Resize", self.x, "", scales, mode=mode, coordinate_transformation_mode=how)
        else:
            filters = max(NARROWEST, self.channels // 2)
            weight = self.weight(self.channels, filters, 2, 2)
            self.x, self.channels = self.b.node("ConvTranspose", self.x, weight, strides=(2, 2)), filters
        self.side *= 2

    def meets(self, other: str, channels: int) -> None:
        """Another map of the same size, beside this one or added to it."""
        if self.rng.random() < 0.4:
            self.conv(channels)
        if self.channels == channels:
            self.x = self.b.node("Add", self.x, other)
        else:
            self.x, self.channels = self.b.node("Concat", self.x, other, axis=1), self.channels + channels

    def enlarged(self) -> None:
        """Half the channels at twice the size, and back."""
        if self.side > 96 or self.side < 4:
            self.plain()
            return
        self.upsampled()
        self.conv(max(NARROWEST, self.channels // 2), self.rng.choice((1, 3)))
        self.act()
        self.shrink()

    def as_tokens(self, width: int) -> str:
        """[1, pixels, width]"""
        self.conv(width)
        flat = self.b.node("Reshape", self.x, self.ints(1, width, self.side * self.side))
        return self.b.node("Transpose", flat, perm=(0, 2, 1))

    def head(self) -> str:
        b, kind = self.b, self.rng.random()
        if kind < 0.4:
            x = b.node("Flatten", b.node("GlobalAveragePool", self.x))
        elif kind < 0.8:
            x = b.node("ReduceMean", self.x, self.ints(2, 3), keepdims=0)
        else:
            return b.node("Sigmoid", self.conv(self.rng.choice((1, 4, 20))))
        classes = self.rng.choice((10, 100, 1000, 1000))
        y = b.node("Gemm", x, self.weight(classes, self.channels), self.weight(classes), transB=1)
        return b.node("Softmax", y) if self.rng.random() < 0.6 else y
