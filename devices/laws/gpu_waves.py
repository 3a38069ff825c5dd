"""GPU law: waves of threads over tiles of the output, memory traffic, a fixed cost; then a learned correction.

    physical  = fixed + bytes read / rate + bytes written / rate + weights / rate + MACs / rate
                + sum over (tile, wave) of cost * depth * ceil(tiles of the output / wave)
    kernel    = physical * exp(correction), the correction fading out beyond the sizes that it was fitted on

All coefficients are at least 0, so that the physical part grows with every size. The correction (trees over sizes,
tiles and the physical part) is made monotone between usual sizes: a kernel lies half way between the longest that one
with fewer channels or pixels takes and the shortest that one with more takes. Channels are stored in slices of four
(TensorFlow Lite's GPU delegate, `tflite/delegates/gpu`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from partita.devices import kernel_shape as ks
from partita.devices.kernel_shape import KernelShape
from partita.devices.laws.trees import Floats, Trees

KINDS = ("conv", "winograd", "grouped", "depthwise", "fully_connected", "concat", "mean", "max_pool", "average_pool")
SLICE = 4
"""Channels that are stored side by side."""
SIZE_BYTES = 2.0
TILES = ((1, 1, 1), (2, 1, 1), (2, 1, 2), (2, 2, 1), (2, 2, 2), (1, 1, 2), (1, 1, 4), (4, 1, 1))
"""Width, height and slices of the output that one thread computes."""
WAVES = (32, 64, 128, 256, 512, 1024, 2048)
"""Threads that run at a time."""
WINOGRAD_SLICES, WINOGRAD_TILES, WINOGRAD_TILE = 16, 32, 4
"""Source: LiteRT f674577, tflite/delegates/gpu/common: 3x3, stride 1, 16 slices in and out, 32 tiles of 4x4."""

BASE = (
    "kind", "height", "width", "in_channels", "channels", "side", "taps", "stride", "groups", "inputs", "links",
    "extra", "sigmoid", "hard_swish", "relu",
)  # fmt: skip
"""The columns from which everything else follows."""
_AT = {name: index for index, name in enumerate(BASE)}


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
        bool(links) and links[-1] in ("Relu", "Clip"),
    ]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """What follows from rows of `BASE`, a column each."""

    base: Floats

    def __getitem__(self, name: str) -> Floats:
        column: Floats = self.base[:, _AT[name]]
        return column

    def is_kind(self, *kinds: str) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
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


def physical_terms(columns: Columns) -> Floats:
    """[rows, terms]: what the coefficients of the physical part multiply; every one grows with every size."""
    one = np.ones(len(columns.base))
    pixels = columns["height"] * columns["width"]
    terms = [one, columns.read_bytes, columns.written_bytes, columns.weight_bytes, columns.macs, columns.depth,
             columns.written_bytes * columns["extra"], pixels, columns.slices]  # fmt: skip
    for tile in TILES:
        tiles, steps = columns.tiles(tile), columns.depth * float(np.prod(tile))
        terms += [steps * np.ceil(tiles / wave) for wave in WAVES]
        terms.append(steps * tiles)
    return np.stack(terms, axis=1)


def features(columns: Columns, log_physical: Floats) -> Floats:
    """[rows, features]: what the trees look at."""
    height, width, slices = columns["height"], columns["width"], columns.slices
    macs, pixels = columns.macs, height * width
    moved = columns.read_bytes + columns.written_bytes + columns.weight_bytes
    tiled = columns.tiles((2, 2, 2))
    found = [
        *(columns[name] for name in BASE), columns.in_slices, slices, columns.depth, macs, columns.read_bytes,
        columns.written_bytes, columns.weight_bytes, pixels, macs / np.maximum(moved, 1),
        macs / np.maximum(pixels * slices, 1), *(columns.tiles(tile) for tile in (*TILES, (4, 1, 2), (2, 2, 4))),
        np.ceil(np.ceil(width / 2) / 8) * np.ceil(np.ceil(height / 2) / 4) * np.ceil(slices / 2),
        np.ceil(width / 16) * np.ceil(height / 4) * slices, np.ceil(width / 4) * np.ceil(height / 4) * slices,
        np.ceil(width / 8) * np.ceil(height / 8), tiled * 8 / (pixels * slices), macs * tiled * 8 / (pixels * slices),
        slices % 2, columns.in_slices % 2, slices % 4, columns.in_slices % 4, width % 4, columns["channels"] % 4,
        columns["in_channels"] % 4, log_physical,
    ]  # fmt: skip
    return np.stack(found, axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class KernelLaw:
    """The fitted law of one GPU."""

    coefficients: Mapping[str, Floats]
    """Kind -> microseconds per unit of each physical term."""
    trees: Trees | None
    longest_us: Mapping[str, float]
    """Kind -> the largest physical time that it was fitted on."""
    fade: float = 3.0
    """Doublings of that time, times ln 2, after which half of the correction is gone."""

    def log_us(self, base: Floats) -> Floats:
        """Logarithm of each row's time, without the envelope."""
        columns = Columns(base)
        physical = self.log_physical(columns)
        if self.trees is None:
            return physical
        correction = np.clip(self.trees.predict(features(columns, physical)), -MOST_CORRECTION, MOST_CORRECTION)
        longest = np.array([np.log(self.longest_us.get(kind, 1e-9)) for kind in KINDS])
        beyond = np.maximum(0.0, physical - longest[columns["kind"].astype(int)])
        result: Floats = physical + correction / (1 + beyond / self.fade)
        return result

    def log_physical(self, columns: Columns) -> Floats:
        terms = physical_terms(columns)
        result = np.zeros(len(terms))
        kinds = columns["kind"].astype(int)
        for index in np.unique(kinds):
            inside = kinds == index
            result[inside] = terms[inside] @ self.coefficients[KINDS[index]]
        return np.log(np.maximum(result, SHORTEST_US))

    def us(self, base: Floats) -> Floats:
        """Time of each row, made monotone: between the most of smaller kernels and the least of larger ones."""
        rows, place = np.unique(base, axis=0, return_inverse=True)
        smaller, larger = neighbours(rows, -1), neighbours(rows, 1)
        at_least = _extreme(np.maximum, self.log_us(smaller.rows), smaller.owners, len(rows))
        at_most = _extreme(np.minimum, self.log_us(larger.rows), larger.owners, len(rows))
        result: Floats = np.exp((at_least + at_most) / 2)[place.reshape(-1)]
        return result


@dataclass(frozen=True, slots=True, eq=False)
class Neighbours:
    """Rows of `BASE`, and which row each belongs to."""

    rows: Floats
    owners: np.ndarray[tuple[int], np.dtype[np.int64]]


def _extreme(
    choose: np.ufunc, values: Floats, owners: np.ndarray[tuple[int], np.dtype[np.int64]], count: int
) -> Floats:
    result = values[:count].copy()  # each row is its own first neighbour
    choose.at(result, owners, values)
    return result


MOST_CORRECTION = 1.5
SHORTEST_US = 0.5
USUAL_CHANNELS = np.array(
    [4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 72, 80, 88, 96, 112, 120, 128, 144, 160, 176, 192, 208, 224, 240,
     256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 832, 896, 960, 1024, 1152, 1280, 1408, 1536, 1664,
     1792, 1920, 2048, 2304, 2560, 3072, 4096, 5120, 6144, 8192, 16384]
)  # fmt: skip
USUAL_PIXELS = np.array([1, 2, 4, 7, 8, 10, 14, 16, 19, 20, 24, 28, 32, 38, 40, 48, 56, 64, 75, 80, 96, 112, 128, 150,
                         160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 1024, 2048, 4096])  # fmt: skip
STEPS = (
    *((step, 0, 0) for step in range(1, 8)),
    *((0, step, 0) for step in range(1, 8)),
    *((0, 0, step) for step in range(1, 5)),
    (1, 1, 1),
)
"""How many usual sizes away: channels, input channels, pixels either way."""


def neighbours(base: Floats, direction: int) -> Neighbours:
    """The rows, then each again with fewer (-1) or more (1) channels or pixels."""
    kinds = base[:, _AT["kind"]]
    tied = np.isin(kinds, [KINDS.index(name) for name in ("depthwise", "mean", "max_pool", "average_pool", "concat")])
    fixed_channels = kinds == KINDS.index("grouped")
    found, owners = [base], [np.arange(len(base))]
    for channels, in_channels, pixels in STEPS:
        row = base.copy()
        row[:, _AT["channels"]] = _usual(row[:, _AT["channels"]], USUAL_CHANNELS, direction * channels)
        row[:, _AT["in_channels"]] = _usual(row[:, _AT["in_channels"]], USUAL_CHANNELS, direction * in_channels)
        row[tied, _AT["in_channels"]] = row[tied, _AT["channels"]]
        for name in ("height", "width"):
            moved = _usual(row[:, _AT[name]], USUAL_PIXELS, direction * pixels)
            row[:, _AT[name]] = np.where(row[:, _AT[name]] > 1, np.maximum(moved, 2), row[:, _AT[name]])
        keep = (kinds != KINDS.index("winograd")) & ~(fixed_channels & (channels + in_channels > 0))
        keep &= (row != base).any(axis=1)
        found.append(row[keep])
        owners.append(np.flatnonzero(keep))
    return Neighbours(np.concatenate(found), np.concatenate(owners))


def _usual(sizes: Floats, usual: np.ndarray[tuple[int], np.dtype[np.int64]], steps: int) -> Floats:
    """The usual size that is `steps` away from each; the size itself where there is none."""
    if steps == 0:
        return sizes
    at = np.searchsorted(usual, sizes, side="left" if steps < 0 else "right") + (steps if steps < 0 else steps - 1)
    inside = (at >= 0) & (at < len(usual))
    result: Floats = np.where(inside, usual[np.clip(at, 0, len(usual) - 1)], sizes)
    return result
