"""What an operator costs on a unit, and a tensor on its way between units: an analytic roofline.

    latency = dispatch + max(compute, memory)
    compute = MACs in whole tiles / (peak * utilisation) + element operations / their rate
    memory  = weights / weights' rate + activations / (on-chip rate if they fit there, else DRAM's)

The shape of the formula is the overhead model of mobile accelerators (fixed launch, then the longer of compute and
memory: Williams, Waterman and Patterson, "Roofline", CACM 2009) with the products rounded up to the matrix unit's tile.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

from partita.devices.core_law import core_cost
from partita.devices.kernel_shape import kernel_shape
from partita.devices.latency_table import table_cost
from partita.devices.laws.law import fitted_kernel, rated_at
from partita.devices.load import load_soc
from partita.devices.npu_law import npu_cost
from partita.devices.soc import Number, Soc, Unit
from partita.errors import SocError
from partita.graph.dtypes import is_floating
from partita.graph.ir import Graph, Node, Value
from partita.graph.plan import Cost, Location
from partita.graph.work import (
    BATCHED_MATMUL,
    DENSE_CONV,
    FIRST_CONV,
    FREE,
    GATHER,
    GEMM,
    GROUPED_CONV,
    MOVEMENT,
    RECURRENT,
    Work,
    work_of,
)
from partita.units import MACS_PER_GMAC, OPS_PER_GOP, US_PER_S, transfer_us

TILED_CLASSES = frozenset((DENSE_CONV, FIRST_CONV, GROUPED_CONV, GEMM, BATCHED_MATMUL, RECURRENT))
"""Classes that run on the matrix unit; depthwise convolutions run on the vector unit, which has no tile."""
PERMUTING_OPS = frozenset(("Transpose", "DepthToSpace", "SpaceToDepth"))
"""Operators that change the order of elements, and so run at the rate of a layout change."""
IMAGE_RANK = 4
OF_THE_ROOFLINE = (
    "dispatch_us", "peak_gmac_per_s", "peak_gop_per_s", "utilisation", "bandwidth_gb_per_s", "weights_gb_per_s",
    "on_chip_bytes", "on_chip_gb_per_s", "layout_gb_per_s", "tile",
)  # fmt: skip
UNITS_AT_ONCE = 64

Pick = Callable[[Number], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCost:
    """What it takes to have a tensor elsewhere; all zero if it is there already."""

    sync_us: float = 0.0
    copy_us: float = 0.0
    convert_us: float = 0.0
    dram_bytes: int = 0
    size_bytes: int = 0
    """As it leaves the source."""

    @property
    def latency_us(self) -> float:
        return self.sync_us + self.copy_us + self.convert_us


_FREE_COST = Cost(
    latency_us=0.0,
    low_us=0.0,
    high_us=0.0,
    dispatch_us=0.0,
    compute_us=0.0,
    memory_us=0.0,
    dram_bytes=0,
    evidence="free",
)

_WORKS: WeakKeyDictionary[Graph, dict[tuple[Node, str], Work]] = WeakKeyDictionary()


def operator_cost(graph: Graph, node: Node, unit: Unit, dtype: str) -> Cost:
    """Time of `node` by the best evidence: the unit's table of measurements where it has one, else the law."""
    measured = table_cost(graph, node, unit, dtype, law_cost) if unit.latencies else None
    return measured or law_cost(graph, node, unit, dtype)


def law_cost(graph: Graph, node: Node, unit: Unit, dtype: str) -> Cost:
    """Time of `node`, alone on `unit`, its floating-point tensors stored and computed in `dtype`.

    All shapes that it touches must be known. `low_us` takes every number of the unit at its fastest and the model's
    own spread to the good side, `high_us` the opposite.
    """
    if dtype not in unit.peak_gmac_per_s:
        raise SocError(f"unit {unit.name!r} does not compute in {dtype}; it does in: {', '.join(unit.peak_gmac_per_s)}")
    work = _work(graph, node, dtype)
    on_core = core_cost(graph, node, unit, dtype, work) if unit.core_law else None
    if on_core is not None:
        return on_core
    if work.op_class == FREE:
        return _FREE_COST
    fitted = _fitted_cost(graph, node, unit, dtype, work)
    if fitted is not None:
        return fitted
    permutes = node.op in PERMUTING_OPS
    nominal = _parts(work, unit, dtype, permutes, _value, _value)
    spread = unit.spread.value
    low = sum_up(_parts(work, unit, dtype, permutes, _least, _most)) / spread
    high = sum_up(_parts(work, unit, dtype, permutes, _most, _least)) * spread
    dispatch_us, compute_us, memory_us = nominal
    return Cost(
        latency_us=sum_up(nominal),
        low_us=low,
        high_us=high,
        dispatch_us=dispatch_us,
        compute_us=compute_us,
        memory_us=memory_us,
        dram_bytes=work.weight_bytes if _stays_on_chip(work, unit) else work.total_bytes,
        evidence="roofline",
    )


def _fitted_cost(graph: Graph, node: Node, unit: Unit, dtype: str, work: Work) -> Cost | None:
    """The cost by the unit's fitted law, if it has one that knows the kernel; split as the roofline splits it."""
    if unit.npu_law is not None:
        return npu_cost(graph, node, unit, dtype, _work)
    if unit.law is None:
        return None
    shape = kernel_shape(graph, node)
    fitted = fitted_kernel(unit, dtype, shape) if shape is not None else None
    if fitted is None:
        return None
    permutes = node.op in PERMUTING_OPS
    parts = _parts(work, unit, dtype, permutes, _value, _value)
    roofline_us = sum_up(parts)
    changed = 1.0
    rated = _as_rated(_Identity(unit))
    if rated is not None:
        changed = roofline_us / sum_up(_parts(work, rated, dtype, permutes, _value, _value))
    share = fitted.latency_us * changed / roofline_us if roofline_us > 0 else 0.0
    dispatch_us, compute_us, memory_us = (part * share for part in parts)
    return Cost(
        latency_us=fitted.latency_us * changed,
        low_us=fitted.low_us * changed,
        high_us=fitted.high_us * changed,
        dispatch_us=dispatch_us,
        compute_us=compute_us,
        memory_us=memory_us,
        dram_bytes=work.weight_bytes if _stays_on_chip(work, unit) else work.total_bytes,
        evidence="fitted",
    )


class _Identity:
    """A unit as a key: itself, not its content."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit

    def __hash__(self) -> int:
        return id(self.unit)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.unit is other.unit


@lru_cache(maxsize=UNITS_AT_ONCE)
def _as_rated(key: _Identity) -> Unit | None:
    """The unit as its law was fitted to it, if a number of the roofline has been changed since; else None.

    A law says nothing of other hardware, so its times change as the roofline's do.
    """
    place = rated_at(key.unit.law or "")
    if place is None:
        return None
    rated = load_soc(place[1]).unit_named(place[0])
    return None if all(getattr(key.unit, field) == getattr(rated, field) for field in OF_THE_ROOFLINE) else rated


def sum_up(parts: tuple[float, float, float]) -> float:
    """The latency of an operator from its dispatch, compute and memory times."""
    dispatch_us, compute_us, memory_us = parts
    return dispatch_us + max(compute_us, memory_us)


def _work(graph: Graph, node: Node, dtype: str) -> Work:
    works = _WORKS.get(graph)
    if works is None:
        works = _WORKS[graph] = {}
    key = (node, dtype)
    if key not in works:
        works[key] = work_of(graph, node, dtype)
    return works[key]


def _value(number: Number) -> float:
    return number.value


def _least(number: Number) -> float:
    return number.least


def _most(number: Number) -> float:
    return number.most


def _parts(work: Work, unit: Unit, dtype: str, permutes: bool, time: Pick, rate: Pick) -> tuple[float, float, float]:
    """Dispatch, compute and memory time in microseconds; `time` and `rate` pick the end of each number's range."""
    use = rate(unit.utilisation_of(work.op_class))
    compute_us = 0.0
    if work.macs:
        peak = rate(unit.peak_gmac_per_s[dtype]) * MACS_PER_GMAC
        compute_us += padded_macs(work, unit) / (peak * use) * US_PER_S
    if work.element_ops:
        elements_use = 1.0 if work.macs else use
        operations = rate(unit.peak_gop_per_s[dtype]) * OPS_PER_GOP
        compute_us += work.element_ops / (operations * elements_use) * US_PER_S
    return time(unit.dispatch_us), compute_us, _memory_us(work, unit, permutes, use, rate)


def _memory_us(work: Work, unit: Unit, permutes: bool, use: float, rate: Pick) -> float:
    weights_us = transfer_us(work.weight_bytes, rate(unit.weights_gb_per_s or unit.bandwidth_gb_per_s))
    if permutes:
        return weights_us + transfer_us(work.output_bytes, rate(unit.layout_gb_per_s))
    bandwidth = rate(unit.bandwidth_gb_per_s)
    if unit.on_chip_gb_per_s is not None and _stays_on_chip(work, unit):
        bandwidth = rate(unit.on_chip_gb_per_s)
    if work.op_class in (MOVEMENT, GATHER):
        bandwidth *= use
    return weights_us + transfer_us(work.input_bytes + work.output_bytes, bandwidth)


def _stays_on_chip(work: Work, unit: Unit) -> bool:
    return unit.on_chip_bytes is not None and work.input_bytes + work.output_bytes <= unit.on_chip_bytes.value


def padded_macs(work: Work, unit: Unit) -> float:
    """Multiply-accumulates with the largest product rounded up to whole tiles of the unit's matrix engine."""
    if unit.tile is None or work.matmul is None or work.op_class not in TILED_CLASSES:
        return work.macs
    product = work.matmul
    whole = 1
    for size, block in ((product.m, unit.tile.m), (product.n, unit.tile.n), (product.k, unit.tile.k)):
        whole *= math.ceil(size / block.value) * round(block.value)
    exact = max(1, product.m * product.n * product.k)
    return work.macs * max(whole, exact) / exact


def transfer_cost(soc: Soc, value: Value, source: Location, target: Location) -> TransferCost:
    """What it takes to have a tensor that lies at `source` also at `target`.

    Integer tensors are never cast. The accelerator of the two units converts (the target, if both are); an image
    (rank 4, floating point) also changes layout between units that store images differently.
    """
    stored, wanted = source.stored(value), target.stored(value)
    size, new_size = stored.size_bytes, wanted.size_bytes
    if source.unit == target.unit:
        if stored.dtype == wanted.dtype:
            return TransferCost()
        unit = soc.unit_named(source.unit)
        convert_us = unit.dispatch_us.value + transfer_us(size, unit.cast_gb_per_s.value)
        return TransferCost(convert_us=convert_us, dram_bytes=size + new_size, size_bytes=size)
    link = soc.link(source.unit, target.unit)
    converter = soc.unit_named(source.unit if target.unit == soc.host else target.unit)
    convert_us, moved = 0.0, 2 * size
    if stored.dtype != wanted.dtype:
        convert_us += converter.dispatch_us.value + transfer_us(size, cast_rate(converter, min(size, new_size)).value)
        moved += size + new_size
    if changes_layout(soc, value, source, target):
        smaller = min(size, new_size)
        convert_us += converter.dispatch_us.value + transfer_us(smaller, converter.layout_gb_per_s.value)
        moved += 2 * smaller
    return TransferCost(
        sync_us=link.sync_us.value,
        copy_us=transfer_us(size, link.copy_gb_per_s.value),
        convert_us=convert_us,
        dram_bytes=moved,
        size_bytes=size,
    )


def cast_rate(unit: Unit, size_bytes: int) -> Number:
    """Rate in GB/s at which a unit casts a tensor whose smaller form takes so many bytes."""
    law = unit.npu_law
    if law is None or law.spilled_cast_gb_per_s is None or size_bytes <= law.working_bytes.value:
        return unit.cast_gb_per_s
    return law.spilled_cast_gb_per_s


def changes_layout(soc: Soc, value: Value, source: Location, target: Location) -> bool:
    """Whether the order of the elements differs: never for one channel or one pixel, whose orders are the same."""
    if not is_floating(value.dtype) or len(value.dims) != IMAGE_RANK:
        return False
    layouts = {soc.unit_named(source.unit).layout, soc.unit_named(target.unit).layout}
    _, channels, height, width = value.dims
    return layouts == {"NCHW", "NHWC"} and channels > 1 and height * width > 1
