"""CPU law: a pool of threads with equal chunks over unequal cores, and parts of each kernel that run on one thread.

    kernel  = ((compute^p + memory^p)^(1/p) + unfold) with p = 1.5, + dispatch + sync * (threads - 1)
    compute = work on the main thread * serial share + chunk on the slowest core * (1 - serial share)

`unfold` is the copy of a convolution's windows into the rows of a matrix (im2col), which TensorFlow Lite does for every
convolution but the plain 1x1. An equal chunk on the slowest core is why one slow core more can make a pool slower.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from partita.devices import kernel_shape as ks
from partita.devices.kernel_shape import KernelShape
from partita.devices.laws.trees import Bools, Floats

CLASSES = (
    "pointwise", "conv", "first", "depthwise3", "depthwise3_strided", "depthwise5", "grouped", "gemm", "pool", "mean",
    "add", "movement", "activation", "multiply", "norm", "relu", "depthwise5_strided", "depthwise7",
)  # fmt: skip
SPLIT_FROM = {"depthwise5_strided": "depthwise5", "depthwise7": "depthwise5"}
"""Later classes, in the order of `CLASSES`, and the one whose parameters they have in a law that was fitted before."""
MOVING = ("mean", "add", "movement", "activation", "multiply", "norm", "relu")
"""Classes whose work is the elements that they read and write."""
DENSE = tuple(CLASSES.index(name) for name in ("pointwise", "conv", "first"))
DEPTHWISE = tuple(CLASSES.index(name) for name in CLASSES if name.startswith("depthwise"))
GROUPED, GEMM, NORM, DEPTHWISE7 = (CLASSES.index(name) for name in ("grouped", "gemm", "norm", "depthwise7"))
UNFOLDED = tuple(CLASSES.index(name) for name in ("conv", "first", "pointwise"))
FIRST_CHANNELS = 4
WIDEST_WINDOW = 25
"""Taps for which libraries have a depthwise kernel (XNNPACK's and QNNPACK's: 9 and 25); wider ones go another way."""
ROWS_OF_TILE, COLUMNS_OF_TILE = 4, 8
"""Of the block that the matrix kernel computes at a time: Ruy's on Armv8; XNNPACK's has up to 6 rows."""
NORM_OF_PARTS = 1.5
"""Between a sum (1) and the longer of the two (infinity): in-order cores wait for memory, others partly."""
REFERENCE = {"depth": 128.0, "columns": 64.0, "rows": 400.0}
"""Sizes at which the slopes of efficiency have no effect."""

OF_DEPTHWISE = 2
"""Which triple of slopes is that of depthwise convolutions, whose depth is their window."""
BYTES_PER_US = OPS_PER_US = 1e3
"""At 1 GB/s, and at 1 GMAC/s."""

_CLASS_OF_KIND = {
    ks.GROUPED: "grouped", ks.MAX_POOL: "pool", ks.AVERAGE_POOL: "pool", ks.MEAN: "mean", ks.CONCAT: "movement",
    ks.MOVEMENT: "movement", ks.ADD: "add", ks.MULTIPLY: "multiply", ks.NORM: "norm", ks.RELU: "relu",
    ks.ACTIVATION: "activation",
}  # fmt: skip

PARAMETERS = {
    "efficiency": ("class",), "core": ("core",), "class_on_core": ("class", "core"), "bandwidth": ("core",),
    "shared_bandwidth": ("core",), "dispatch": ("core",), "sync": ("core",), "serial": ("class",),
    "element_rate": ("core",), "slopes": (12,), "output_cost": (4,), "hard_swish": (1,), "pad": (1,), "unfold": (3,),
    "serial_unfold": (1,), "main_on_slow": (1,), "last_core": ("core",), "norm_row": (1,),
    "wide_window": (1,),
}  # fmt: skip
"""Name -> shape. All are logarithms, but `slopes` (plain), and `serial`, `serial_unfold`, `main_on_slow` (logits)."""
LATER, NOTHING = ("norm_row", "wide_window"), -30.0
"""Costs that a law fitted before they were known does not have, and the logarithm that they then have."""


Parameters = Mapping[str, Floats]


@dataclass(frozen=True)
class KernelColumns:
    """Kernels as columns of numbers, for all of them at once."""

    shapes: Sequence[KernelShape]
    rows_of_tile: int = ROWS_OF_TILE

    @cached_property
    def classes(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return np.array([CLASSES.index(class_of(shape)) for shape in self.shapes], dtype=np.int64)

    def column(self, name: str) -> Floats:
        return np.array([getattr(shape, name) for shape in self.shapes], dtype=np.float64)

    @cached_property
    def depth(self) -> Floats:
        return self.column("depth")

    @cached_property
    def rows(self) -> Floats:
        return self.column("pixels")

    @cached_property
    def columns(self) -> Floats:
        return self.column("channels")

    @cached_property
    def elements(self) -> Floats:
        return self.column("elements")

    @cached_property
    def read(self) -> Floats:
        return self.column("read_elements") + self.elements * self.column("extra_inputs")

    @cached_property
    def work(self) -> Floats:
        """Multiply-accumulates in whole tiles; elements moved where nothing is multiplied."""
        macs = self.elements * self.depth
        tiled = np.ceil(self.rows / self.rows_of_tile) * self.rows_of_tile * np.ceil(self.columns / COLUMNS_OF_TILE)
        work = np.where(self.is_dense, tiled * COLUMNS_OF_TILE * self.depth, macs)
        counts_elements = np.isin(self.classes, [CLASSES.index(name) for name in MOVING])
        return np.where(counts_elements, self.read + self.elements, work)

    @cached_property
    def weights(self) -> Floats:
        return self.column("weights")

    @cached_property
    def unfolded(self) -> Floats:
        """Elements that the unfolding of windows writes."""
        strided = (self.column("stride") > 1) & (self.classes == CLASSES.index("pointwise"))
        windows = np.isin(self.classes, [CLASSES.index("conv"), CLASSES.index("first")])
        return np.where(windows | strided, self.rows * self.depth, 0.0)

    @cached_property
    def padded(self) -> Floats:
        """Elements that a separate padding before a depthwise convolution copies."""
        pads = self.column("pads").astype(bool) & self.is_depthwise
        return np.where(pads, self.column("read_elements"), 0.0)

    @cached_property
    def is_dense(self) -> Bools:
        return np.isin(self.classes, DENSE)

    @cached_property
    def is_depthwise(self) -> Bools:
        return np.isin(self.classes, DEPTHWISE)

    @cached_property
    def sizes(self) -> tuple[Floats, Floats, Floats]:
        """Logarithms of depth, columns and rows over their reference."""
        depth = np.where(self.depth > 0, np.log(np.maximum(self.depth, 1) / REFERENCE["depth"]), 0.0)
        columns = np.log(np.maximum(self.columns, 1) / REFERENCE["columns"])
        return depth, columns, np.log(np.maximum(self.rows, 1) / REFERENCE["rows"])

    @cached_property
    def moved(self) -> Floats:
        return self.read + self.elements + self.weights

    @cached_property
    def hard_swish(self) -> Floats:
        swished = np.array([any("Swish" in link for link in shape.followers) for shape in self.shapes], dtype=float)
        return swished * self.elements


def class_of(shape: KernelShape) -> str:
    if shape.kind == ks.CONV:
        if shape.in_channels <= FIRST_CHANNELS:
            return "first"
        if shape.pixels == 1:
            return "gemm"
        return "pointwise" if shape.taps == 1 else "conv"
    if shape.kind == ks.GEMM:
        return "gemm" if shape.pixels == 1 else "pointwise"
    if shape.kind == ks.DEPTHWISE:
        if shape.taps > WIDEST_WINDOW:
            return "depthwise7"
        if shape.side >= 5:
            return "depthwise5_strided" if shape.stride > 1 else "depthwise5"
        return "depthwise3_strided" if shape.stride > 1 else "depthwise3"
    return _CLASS_OF_KIND[shape.kind]


def kernel_us(  # noqa: PLR0913  (what a pool of threads is made of)
    kernels: KernelColumns,
    p: Parameters,
    types: Sequence[str],
    cores: Mapping[str, int],
    whole: Mapping[str, int],
    size_bytes: float,
    *,
    compute: Floats | None = None,
) -> Floats:
    """Time of each kernel on a pool of `cores` (type -> threads).

    `types` are the core types from the fastest to the slowest, `whole` how many of each the chip has; `compute` is
    what `compute_us` gives, if the caller has it.
    """
    compute = compute_us(kernels, p) if compute is None else compute
    used = [types.index(name) for name in types if cores.get(name)]
    fast, slow = used[0], used[-1]
    threads = sum(cores.values())
    serial = _sigmoid(p["serial"])[kernels.classes]
    serial = np.where(kernels.classes == GROUPED, 1.0, serial)  # a reference kernel, which has no threads
    on_slow = float(_sigmoid(p["main_on_slow"])[0])
    crowd = np.exp(p["last_core"][slow]) if cores[types[slow]] >= whole[types[slow]] and threads > 1 else 0.0
    chunk = compute[:, slow] / threads * (1 + crowd)
    main = on_slow * compute[:, slow] + (1 - on_slow) * compute[:, fast]
    work_us = main * serial + chunk * (1 - serial) if threads > 1 else compute[:, fast]
    alone = on_slow / np.exp(p["bandwidth"][slow]) + (1 - on_slow) / np.exp(p["bandwidth"][fast])
    pooled = _pooled(p, [(types.index(name), count) for name, count in cores.items() if count], slow)
    shared = pooled * (1 + crowd) if threads > 1 else alone
    moved = (kernels.moved + 2 * np.exp(p["pad"][0]) * kernels.padded) * size_bytes
    memory_us = moved / BYTES_PER_US * (serial * alone + (1 - serial) * shared)
    serial_unfold = float(_sigmoid(p["serial_unfold"])[0])
    factor = _by_class(np.exp(p["unfold"]), UNFOLDED, kernels)
    unfold_us = (
        factor * kernels.unfolded * size_bytes / BYTES_PER_US * (serial_unfold * alone + (1 - serial_unfold) * shared)
    )
    parts = (work_us**NORM_OF_PARTS + memory_us**NORM_OF_PARTS) ** (1 / NORM_OF_PARTS)
    total: Floats = parts + unfold_us + fixed_us(p, types, cores)
    return total


def fixed_us(p: Parameters, types: Sequence[str], cores: Mapping[str, int]) -> float:
    """What a kernel of any size takes: to be handed out, and to wait for all threads."""
    used = [types.index(name) for name in types if cores.get(name)]
    threads = sum(cores.values())
    return float(np.exp(p["dispatch"][used[0]])) + float(np.exp(p["sync"][used[-1]])) * (threads - 1)


def _pooled(p: Parameters, used: Sequence[tuple[int, int]], slow: int) -> float:
    """Nanoseconds per byte of the whole pool: its cores' own bandwidth, under what they share."""
    own = sum(float(np.exp(p["bandwidth"][core])) * count for core, count in used)
    shared = 2 * float(np.exp(p["shared_bandwidth"][slow]))
    return float(np.hypot(1 / own, 1 / shared))


def compute_us(kernels: KernelColumns, p: Parameters) -> Floats:
    """[kernels, core types]: the arithmetic of each kernel on one core of each type."""
    classes = kernels.classes
    rate = np.exp(p["efficiency"][classes][:, None] + p["core"][None, :] + p["class_on_core"][classes])
    work_us = kernels.work * np.exp(-_efficiency(kernels, p["slopes"])) / OPS_PER_US
    cost = np.exp(p["output_cost"])
    per_output = (
        kernels.is_dense * 20.0 * cost[0]
        + kernels.is_depthwise * 5.0 * cost[1]
        + (classes == GROUPED) * 20.0 * cost[2]
        + (classes == GEMM) * 20.0 * cost[3]
    )
    per_row = (classes == NORM) * 20.0 * np.exp(p["norm_row"][0])  # its loop over channels begins anew at each pixel
    steps = per_output * kernels.elements + 5.0 * np.exp(p["hard_swish"][0]) * kernels.hard_swish
    per_call_us = (classes == DEPTHWISE7) * np.exp(p["wide_window"][0])
    output_us = (steps + per_row * kernels.rows) / OPS_PER_US + per_call_us
    result: Floats = work_us[:, None] / rate + output_us[:, None] / np.exp(p["core"] + p["element_rate"])[None, :]
    return result


def _efficiency(kernels: KernelColumns, slopes: Floats) -> Floats:
    """Logarithm of what a kernel's own size does to its rate."""
    depth, columns, rows = kernels.sizes
    total = np.zeros(len(kernels.shapes))
    members = (kernels.classes == 0, kernels.classes == 1, kernels.is_depthwise, kernels.classes == GROUPED)
    for number, inside in enumerate(members):
        a, b, c = slopes[3 * number : 3 * number + 3]
        total = total + inside * (a * depth * (number != OF_DEPTHWISE) + b * columns + c * rows)
    return total


def _by_class(values: Floats, members: Sequence[int], kernels: KernelColumns) -> Floats:
    table = np.zeros(len(CLASSES))
    table[list(members)] = values
    result: Floats = table[kernels.classes]
    return result


def _sigmoid(x: Floats) -> Floats:
    result: Floats = 1 / (1 + np.exp(-x))
    return result
