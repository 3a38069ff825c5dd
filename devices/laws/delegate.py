"""What TensorFlow Lite's GPU delegate launches for a kernel: how much of the output a thread computes, and its groups.

Facts read in tensorflow/tensorflow, tensorflow/lite/delegates/gpu/common: `tasks/conv_generic.cc` (1538d626),
`tasks/conv_metal.cc` (13df1271), `tasks/conv_constants.cc` (08df8c40), `tasks/fully_connected.cc` (0062afb1),
`tasks/reduce.cc` and `task/work_group_picking.cc` (09860328, the choice without trials),
`selectors/default/dw_convolution_selector.cc` (2b746b8f), `task/util.cc` (the sizes for Mali).
"""

from dataclasses import dataclass, fields, replace

import numpy as np

from partita.devices.laws.gpu_kernels import Columns
from partita.devices.laws.trees import Bools, Floats

PLAIN, SPECIAL, LINEAR, LINEAR_WITH_SLICES = 0.0, 1.0, 2.0, 3.0
"""Variants: the usual kernel; weights in constants, 3x3 depthwise or a mean by groups; pixels (and slices) in a row."""
LANES = {"adreno": (64, 128), "mali": (8,), "powervr": (32,), "apple": (32,)}
"""Threads that run in step; an Adreno does either, by the registers that a kernel needs."""
MOST_THREADS = {"adreno": 1024, "mali": 384, "powervr": 512, "apple": 512}
"""In a group of a kernel without a block of its own."""
MOST_CONV_THREADS = 256
MOST_CONV_DEPTH = {"adreno": 64}
"""Of a group of a convolution, along the slices; 16 elsewhere."""
CONSTANT_BYTES = 3584
"""Weights up to this size, for at most 8 slices, are constants of the program on Adreno 6xx."""
CONSTANT_SLICES = 8
ADRENO_FULL_WAVE = 128
LANES_OF_APPLE = 32
NEWER_APPLE_UNITS = 4
"""From the A11 on cores are fewer and larger, and tiles begin with two rows."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The GPU as the delegate sees it."""

    vendor: str
    """One of `LANES`."""
    units: int
    """Compute units that its driver or, for Apple's, the delegate's own table tells."""


@dataclass(frozen=True, slots=True, eq=False)
class Launch:
    """Threads of kernels, a row each; a thread computes a tile of the output."""

    tile_width: Floats
    tile_height: Floats
    tile_slices: Floats
    grid_x: Floats
    grid_y: Floats
    grid_z: Floats
    group_x: Floats
    group_y: Floats
    group_z: Floats
    unrolled: Floats
    """Slices that are read in one turn of the innermost loop."""
    variant: Floats

    @property
    def tile(self) -> Floats:
        return self.tile_width * self.tile_height * self.tile_slices

    @property
    def threads(self) -> Floats:
        return self.grid_x * self.grid_y * self.grid_z

    @property
    def group(self) -> Floats:
        """Threads of a group, those beyond the grid included."""
        return self.group_x * self.group_y * self.group_z

    @property
    def groups(self) -> Floats:
        x, y, z = np.ceil(self.grid_x / self.group_x), np.ceil(self.grid_y / self.group_y), self.grid_z / self.group_z
        result: Floats = x * y * np.ceil(z)
        return result

    def waves(self, lanes: int) -> Floats:
        """Sets of threads in step."""
        result: Floats = self.groups * np.ceil(self.group / lanes)
        return result

    def where(self, mask: Bools, other: "Launch") -> "Launch":
        """The other's rows where the mask holds."""
        names = [field.name for field in fields(self)]
        return replace(self, **{name: np.where(mask, getattr(other, name), getattr(self, name)) for name in names})


Triple = tuple[Floats, Floats, Floats]


def launched(columns: Columns, gpu: Gpu) -> Launch:
    """What runs for each row."""
    found = _CONVOLUTION_OF[gpu.vendor](columns, gpu)
    kernels = _windows(columns, gpu)
    found = found.where(columns.is_kind("depthwise", "max_pool", "average_pool"), kernels)
    found = found.where(columns.is_kind("concat"), _concat(columns, gpu))
    found = found.where(columns.is_kind("mean"), _mean(columns, gpu))
    return found.where(columns.is_kind("fully_connected"), _fully_connected(columns, gpu))


def _where(mask: Bools, chosen: Triple, other: Triple) -> Triple:
    x, y, z = (np.where(mask, a, b) for a, b in zip(chosen, other, strict=True))
    return x, y, z


def _grid(columns: Columns, tile: Triple) -> Triple:
    width, height, slices = tile
    return (
        np.ceil(columns["width"] / width), np.ceil(columns["height"] / height), np.ceil(columns.slices / slices),
    )  # fmt: skip


def _on_adreno(columns: Columns, gpu: Gpu) -> Launch:
    """Larger tiles from 6, 12 and 24 waves of single outputs on a unit."""
    slices, one = columns.slices, np.ones(len(columns.base))
    waves = columns["height"] * columns["width"] * slices / gpu.units / ADRENO_FULL_WAVE
    constant = _fits_constants(columns)
    tile = (
        np.where(constant, 1.0, np.where(waves > 6, 2.0, 1.0)),
        np.where(constant, 1.0, np.where(waves > 24, 2.0, 1.0)),
        np.where(constant, slices, np.where(waves > 12, 2.0, 1.0)),
    )
    grid = _grid(columns, tile)
    plain, usual = _usual_group(grid, gpu), _conv_group(grid, gpu)
    group = _where(constant, plain, usual)
    return Launch(*tile, *grid, *group, one, np.where(constant, SPECIAL, PLAIN))


def _fits_constants(columns: Columns) -> Bools:
    read, written = columns["in_channels"], columns["channels"]
    in_slices, slices = columns.in_slices, columns.slices
    by_dot = (written % 4 != 0) & ((read % 4 == 0) | (written * in_slices < read * slices))
    elements = np.where(by_dot, written * in_slices, read * slices) * 4 * columns["taps"]
    fits = (elements * 2 <= CONSTANT_BYTES) & (slices <= CONSTANT_SLICES)
    result: Bools = fits & columns.is_kind("conv")
    return result


def _on_mali(columns: Columns, gpu: Gpu) -> Launch:
    """Larger tiles from 256, 1536 and 4096 outputs on a core of a Mali-G76; at most four for windows."""
    slices, in_slices = columns.slices, columns.in_slices
    outputs = columns["height"] * columns["width"] * slices / gpu.units
    size = np.select([outputs <= 256, outputs <= 1536, outputs <= 4096], [1.0, 2.0, 4.0], 8.0)
    size = np.where((columns["taps"] == 1) & (columns["stride"] == 1), size, np.minimum(size, 4))
    odd = (slices == 1) | (slices == 3)
    tile = (
        np.where(size >= 2, 2.0, 1.0),
        np.where((size == 8) | ((size == 4) & odd), 2.0, 1.0),
        np.where((size >= 4) & ~odd, 2.0, 1.0),
    )
    unrolled = np.where((in_slices % 2 == 0) & (size <= 2), 2.0, 1.0)
    unrolled = np.where((in_slices % 4 == 0) & (size == 1), 4.0, unrolled)
    grid = _grid(columns, tile)
    return Launch(*tile, *grid, *_conv_group(grid, gpu), unrolled, np.zeros(len(slices)))


def _on_powervr(columns: Columns, gpu: Gpu) -> Launch:
    """Two pixels by up to four slices, in groups of 32 along all pixels."""
    slices, in_slices, one = columns.slices, columns.in_slices, np.ones(len(columns.base))
    deep = np.select([(slices % 4 == 0) | (slices >= 8), (slices % 2 == 0) | (slices >= 4)], [4.0, 2.0], slices)
    unrolled = np.where(in_slices % 2 == 0, 2.0, 1.0)
    unrolled = np.where((in_slices % 4 == 0) & (deep <= 2), 4.0, unrolled)
    unrolled = np.where((deep == 1) & (in_slices <= 8), in_slices, unrolled)
    wide, tall, thick = _grid(columns, (2 * one, one, deep))
    return Launch(2 * one, one, deep, wide * tall, one, thick, 32 * one, one, one, unrolled, LINEAR * one)


def _on_apple(columns: Columns, gpu: Gpu) -> Launch:
    """Larger tiles from 16, 32 and 64 waves on a core; pixels, or all outputs, in a row where that wastes less."""
    height, width, slices, one = columns["height"], columns["width"], columns.slices, np.ones(len(columns.base))
    is_new = gpu.units <= NEWER_APPLE_UNITS
    waves = np.ceil(height * width * slices / LANES_OF_APPLE) / gpu.units
    size = np.select([waves >= 64, waves >= 32, waves >= 16], [8.0, 4.0, 2.0], 1.0)
    two = (size >= 2) & is_new
    by_width = two & (height % 2 != 0) & (width % 2 == 0)
    wide, tall = np.where(by_width, 2.0, 1.0), np.where(two & ~by_width, 2.0, 1.0)
    size = np.where(two, size / 2, size)
    by_four = (size >= 4) & ((slices % 4 == 0) | (slices >= 16))
    by_two = ~by_four & (size >= 2) & ((slices % 2 == 0) | (slices >= 4))
    deep = np.where(by_four, 4.0, np.where(by_two, 2.0, 1.0))
    deep = np.where((size >= 4) & ~by_four & ~by_two & (slices == 3), 3.0, deep)
    tile = (wide, tall, deep)
    x, y, z = _grid(columns, tile)
    as_image = np.ceil(x / 8) * np.ceil(y / 4) * z
    as_row, as_whole = np.ceil(x * y / LANES_OF_APPLE) * z, np.ceil(x * y * z / LANES_OF_APPLE)
    whole = as_row / as_whole > (1.0 if is_new else 1.04)
    row = ~whole & (as_row < as_image)
    grid = (
        np.where(whole, x * y * z, np.where(row, x * y, x)), np.where(whole | row, 1.0, y), np.where(whole, 1.0, z),
    )  # fmt: skip
    group = (np.where(whole | row, 32.0, 8.0), np.where(whole | row, 1.0, 4.0), one)
    unrolled = np.where((wide * tall * deep <= 2) & (columns.in_slices % 2 == 0), 2.0, 1.0)
    unrolled = np.where((wide * tall * deep == 1) & (columns.in_slices % 4 == 0), 4.0, unrolled)
    variant = np.select([whole, row], [LINEAR_WITH_SLICES, LINEAR], PLAIN)
    return Launch(*tile, *grid, *group, unrolled, variant)


_CONVOLUTION_OF = {"adreno": _on_adreno, "mali": _on_mali, "powervr": _on_powervr, "apple": _on_apple}


def _windows(columns: Columns, gpu: Gpu) -> Launch:
    """Depthwise convolutions and pools: one output a thread, four of a 3x3 depthwise one without stride."""
    one = np.ones(len(columns.base))
    four = columns.is_kind("depthwise") & (columns["taps"] == 9) & (columns["stride"] == 1)
    side = np.where(four, 2.0, 1.0)
    grid = _grid(columns, (side, side, one))
    fixed = gpu.vendor in ("powervr", "apple")
    of_four = (8 * one, 4 * one, one) if fixed else _conv_group(grid, gpu)
    group = _where(four, of_four, _usual_group(grid, gpu))
    return Launch(side, side, one, *grid, *group, one, np.where(four, SPECIAL, PLAIN))


def _concat(columns: Columns, gpu: Gpu) -> Launch:
    """All slices of a pixel are one thread's."""
    one = np.ones(len(columns.base))
    grid = (columns["width"], columns["height"], one)
    return Launch(one, one, columns.slices, *grid, *_usual_group(grid, gpu), one, np.zeros(len(one)))


def _mean(columns: Columns, gpu: Gpu) -> Launch:
    """A group for each slice where the image fills a quarter of one, else a thread."""
    one, side = np.ones(len(columns.base)), np.round(np.sqrt(columns["taps"]))
    most = 64 if gpu.vendor == "mali" else 256
    wide, tall = one, one
    for _ in range(8):
        wide = np.where((side >= 2 * wide) & (2 * wide <= most), 2 * wide, wide)
    for _ in range(8):
        tall = np.where((side >= 2 * tall) & (2 * wide * tall <= most), 2 * tall, tall)
    in_groups = wide * tall >= most / 4
    grid = (np.where(in_groups, wide, 1.0), np.where(in_groups, tall, 1.0), columns.slices)
    usual = _usual_group((one, one, columns.slices), gpu)
    group = _where(in_groups, (wide, tall, one), usual)
    return Launch(one, one, one, *grid, *group, one, np.where(in_groups, SPECIAL, PLAIN))


def _fully_connected(columns: Columns, gpu: Gpu) -> Launch:
    """Four threads share the sum of a slice."""
    one = np.ones(len(columns.base))
    wide = {"adreno": 32.0, "mali": 16.0}.get(gpu.vendor, 8.0)
    return Launch(one, one, one, columns.slices, one, one, wide * one, 4 * one, one, one, np.zeros(len(one)))


def _conv_group(grid: Triple, gpu: Gpu) -> Triple:
    x, y, z = grid
    deep = _divider(z, MOST_CONV_DEPTH.get(gpu.vendor, 16))
    plane = np.floor(MOST_CONV_THREADS / deep)
    wide = np.minimum(x, plane)
    tall = np.minimum(np.floor(plane / wide), y)
    return wide, np.where((tall == y) & (y % 2 == 0), y / 2, tall), deep


def _usual_group(grid: Triple, gpu: Gpu) -> Triple:
    x, y, z = grid
    deep = np.select([z % 8 == 0, z % 4 == 0, z % 2 == 0], [8.0, 4.0, 2.0], _divider(z, 8))
    plane = np.floor(MOST_THREADS[gpu.vendor] / deep)
    wide = np.minimum(np.ceil(x / 2), plane)
    return wide, np.minimum(np.floor(plane / wide), y), deep


def _divider(numbers: Floats, most: int) -> Floats:
    """The largest divisor of each up to `most`."""
    found = np.ones_like(numbers)
    for divisor in range(2, most + 1):
        found = np.where(numbers % divisor == 0, float(divisor), found)
    return found
