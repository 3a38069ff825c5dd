"""What a CPU's law says of a network, in the parts in which one runtime's kernels differ from another's.

Runtimes on CPUs part ways in four places: Winograd kernels for 3x3 windows of stride 1 (ncnn, TNN, MNN and Paddle-Lite
have them, TensorFlow Lite has not), grouped convolutions (on a reference kernel of one thread in TensorFlow Lite, group
by group on the kernel of plain ones in others), the layers at the end that do nothing but read weights (bound by a
chip's memory, not by its cores), and depthwise convolutions.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from partita.devices import kernel_shape as ks
from partita.devices.kernel_shape import KernelShape
from partita.devices.laws.law import kernel_times_us
from partita.devices.laws.trees import Floats
from partita.devices.soc import Unit
from partita.graph.dtypes import size_bytes
from partita.units import transfer_us

CPU_PARTS = {
    "dense": 0.3, "winograd": 0.5, "windows": 0.2, "depthwise": 0.3, "grouped": 0.4, "streamed": 0.8, "rest": 0.3,
    "fixed": 0.5,
}  # fmt: skip
"""Part -> deviation of its factor's logarithm: what runtimes and memories differ in most is held the loosest."""
PART_OF = {ks.CONV: "dense", ks.GEMM: "dense", ks.DEPTHWISE: "depthwise", ks.GROUPED: "grouped"}
LEAST_WINOGRAD_CHANNELS = 16
"""Below these, transforming costs what the products save."""
TAPS_OF_3X3 = 9


def cpu_parts_us(unit: Unit, dtype: str, shapes: Sequence[KernelShape]) -> Floats:
    """Microseconds of each part of CPU_PARTS, for one network."""
    plain = [_ungrouped(shape) for shape in shapes]
    times_us = np.nan_to_num(kernel_times_us(unit, dtype, plain))
    sums = dict.fromkeys(CPU_PARTS, 0.0)
    for shape, time_us in zip(shapes, times_us.tolist(), strict=True):
        part = _part(shape)
        sums[part] += max(time_us, _streaming_us(unit, dtype, shape)) if part == "streamed" else time_us
    sums["fixed"] = unit.call_us.value
    return np.array(list(sums.values()))


def _ungrouped(shape: KernelShape) -> KernelShape:
    """A plain convolution of as many multiply-accumulates; any other kernel as it is."""
    if shape.kind != ks.GROUPED:
        return shape
    return replace(shape, kind=ks.CONV, in_channels=shape.in_channels // shape.groups, groups=1)


def _part(shape: KernelShape) -> str:
    if shape.kind == ks.CONV and shape.taps > 1:
        has_winograd = shape.taps == TAPS_OF_3X3 and shape.stride == 1 and shape.in_channels >= LEAST_WINOGRAD_CHANNELS
        return "winograd" if has_winograd else "windows"
    if shape.kind == ks.GEMM and shape.pixels == 1:
        return "streamed"
    return PART_OF.get(shape.kind, "rest")


def _streaming_us(unit: Unit, dtype: str, shape: KernelShape) -> float:
    """The time in which memory gives the weights."""
    rate = unit.weights_gb_per_s or unit.bandwidth_gb_per_s
    return transfer_us(size_bytes(shape.weights, dtype), rate.value)
