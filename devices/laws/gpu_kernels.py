"""Kernels on a GPU as rows of numbers: which kernel TensorFlow Lite's delegate runs for a shape, and its sizes.

Channels are stored in slices of four (`tflite/delegates/gpu`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from partita.devices import kernel_shape as ks
from partita.devices.kernel_shape import KernelShape
from partita.devices.laws.trees import Bools, Floats

KINDS = ("conv", "winograd", "grouped", "depthwise", "fully_connected", "concat", "mean", "max_pool", "average_pool")
SLICE = 4
"""Channels that are stored side by side."""
SIZE_BYTES = 2.0
"""Of an element, in half precision."""
WINOGRAD_SLICES, WINOGRAD_TILES, WINOGRAD_TILE = 16, 32, 4
"""Source: LiteRT f674577, tflite/delegates/gpu/common: 3x3, stride 1, 16 slices in and out, 32 tiles of 4x4."""

LONG_US = 1000.0
"""What a kernel takes beyond this is `long_us`."""
PER_BYTE = ("elementwise", "after_winograd", "padding")
"""Element-wise kernels, what nothing links to Winograd kernels, separate padding before depthwise convolutions."""
BASE = (
    "kind", "height", "width", "in_channels", "channels", "side", "taps", "stride", "groups", "inputs", "links",
    "extra", "sigmoid", "hard_swish", "relu", "first_channels", "broken",
)  # fmt: skip
"""The columns from which everything else follows; a concatenation is broken where an input has no whole slices."""
COLUMN_OF = {name: index for index, name in enumerate(BASE)}


def kind_of(shape: KernelShape, *, has_winograd: bool) -> str | None:
    """The delegate's kernel for a shape, None for element-wise ones, which the trees do not know."""
    if shape.kind == ks.CONV:
        if shape.pixels == 1 and shape.taps == 1:
            return "fully_connected"
        return "winograd" if has_winograd and is_winograd(shape) else "conv"
    if shape.kind == ks.GEMM:
        return "fully_connected" if shape.pixels == 1 else "conv"
    return {
        ks.GROUPED: "grouped", ks.DEPTHWISE: "depthwise", ks.CONCAT: "concat", ks.MEAN: "mean", ks.MAX_POOL: "max_pool",
        ks.AVERAGE_POOL: "average_pool",
    }.get(shape.kind)  # fmt: skip


def is_winograd(shape: KernelShape) -> bool:
    """Whether the delegate takes a 3x3 convolution for its 4x4 Winograd kernel, where a GPU has one."""
    tiles = -(-shape.height // WINOGRAD_TILE) * -(-shape.width // WINOGRAD_TILE)
    deep = min(-(-shape.in_channels // SLICE), -(-shape.channels // SLICE)) >= WINOGRAD_SLICES
    return (shape.taps, shape.side, shape.stride) == (9, 3, 1) and deep and tiles >= WINOGRAD_TILES


def unlinked_bytes(shape: KernelShape, kind: str | None) -> dict[str, float]:
    """What a shape moves beyond its kernel, by `PER_BYTE`; None is the kind of an element-wise kernel."""
    output = shape.elements * (1 + shape.extra_inputs)
    alone = shape.read_elements + output if kind is None else 0
    followers = shape.elements + output if kind == "winograd" and shape.followers else 0
    padded = 2 * shape.read_elements if shape.kind == ks.DEPTHWISE and shape.pads else 0
    found = (alone, followers, padded)
    return {name: elements * SIZE_BYTES for name, elements in zip(PER_BYTE, found, strict=True)}


def long_us(times_us: Floats) -> Floats:
    """What kernels take beyond a millisecond, which in a model costs more on some GPUs."""
    return np.maximum(times_us - LONG_US, 0.0)


def base_row(shape: KernelShape, kind: str) -> list[float]:
    """One row of `BASE`; a Winograd kernel has nothing linked to it."""
    links = () if kind == "winograd" else shape.followers
    extra = 0 if kind == "winograd" else shape.extra_inputs
    affine = sum(link in ("BatchNormalization", "Mul", "Add") for link in links)
    return [
        KINDS.index(kind), shape.height, shape.width,
        shape.channels if kind == "concat" else shape.in_channels, shape.channels,
        shape.side if kind != "mean" else 1, shape.taps if kind != "concat" else 1, shape.stride, shape.groups,
        shape.inputs if kind == "concat" else 1, len(links), max(extra, affine),
        any(link in ("Sigmoid", "HardSigmoid") for link in links), any("Swish" in link for link in links),
        bool(links) and links[-1] in ("Relu", "Clip"), shape.joined[0] if shape.joined else 0,
        any(channels % SLICE for channels in shape.joined),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What follows from rows of `BASE`, a column each."""

    base: Floats

    def __getitem__(self, name: str) -> Floats:
        column: Floats = self.base[:, COLUMN_OF[name]]
        return column

    def is_kind(self, *kinds: str) -> Bools:
        return np.isin(self["kind"], [KINDS.index(kind) for kind in kinds])

    @property
    def in_slices(self) -> Floats:
        return np.ceil(self["in_channels"] / SLICE)

    @property
    def slices(self) -> Floats:
        return np.ceil(self["channels"] / SLICE)

    @property
    def depth(self) -> Floats:
        """Steps of the innermost loop of a thread: taps times slices read."""
        grouped = np.ceil(self["in_channels"] / np.maximum(self["groups"], 1) / SLICE)
        slices = np.where(self.is_kind("grouped"), grouped, self.in_slices)
        windows = self.is_kind("depthwise", "mean", "max_pool", "average_pool")
        result: Floats = np.where(self.is_kind("concat"), 1.0, self["taps"] * np.where(windows, 1.0, slices))
        return result

    @property
    def macs(self) -> Floats:
        """Multiply-accumulates on whole slices; window elements where nothing is multiplied."""
        per_slice = np.where(self.is_kind("conv", "winograd", "fully_connected", "grouped"), SLICE * SLICE, SLICE)
        result: Floats = self["height"] * self["width"] * self.slices * self.depth * per_slice
        return np.where(self.is_kind("concat"), 0.0, result)

    @property
    def read_bytes(self) -> Floats:
        tall = (self["height"] - 1) * self["stride"] + self["side"]
        wide = (self["width"] - 1) * self["stride"] + self["taps"] / np.maximum(self["side"], 1)
        pixels = np.where(self.is_kind("mean"), self["taps"], tall * wide)
        pixels = np.where(self.is_kind("concat"), self["height"] * self["width"], pixels)
        return pixels * self.in_slices * SLICE * SIZE_BYTES

    @property
    def written_bytes(self) -> Floats:
        return self["height"] * self["width"] * self.slices * SLICE * SIZE_BYTES

    @property
    def weight_bytes(self) -> Floats:
        dense = self["taps"] * self.in_slices * self.slices * SLICE * SLICE
        grouped = self["taps"] * self["in_channels"] / np.maximum(self["groups"], 1) * self["channels"]
        depthwise = self["taps"] * self.in_slices * SLICE
        chosen = np.select(
            [self.is_kind("conv", "winograd", "fully_connected"), self.is_kind("grouped"), self.is_kind("depthwise")],
            [dense, grouped, depthwise],
            0.0,
        )
        return chosen * SIZE_BYTES

    def tiles(self, tile: Sequence[int]) -> Floats:
        """Tiles of an output, each the work of one thread."""
        wide, tall, deep = tile
        result: Floats = np.ceil(self["width"] / wide) * np.ceil(self["height"] / tall) * np.ceil(self.slices / deep)
        return result
