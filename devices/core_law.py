"""What an operator costs on a core of a CPU: a sum over what its kernels have to do, each kind at its own rates.

    latency = dispatch + sum over kernels and terms: count * us

The terms are those of `devices.core_terms`; the rates are fitted by `devices.calibration.fit_core` to operators that
ran within networks, so that caches are as cold, and tensors lie as they do in models.
"""

from collections.abc import Mapping

from partita.devices.core_record import FALLBACK, KernelTime
from partita.devices.core_terms import Kernel, kernels_of
from partita.devices.soc import Unit
from partita.graph.ir import Graph, Node
from partita.graph.op_class import FREE
from partita.graph.plan import Cost
from partita.graph.work import Work

MEMORY = "mb_"
"""How the names of terms begin that count bytes."""
GUESSED_CACHE_BYTES = float(1 << 20)


def core_cost(graph: Graph, node: Node, unit: Unit, dtype: str, work: Work) -> Cost | None:
    """Time of `node` on a unit with a `core_law`; None if the law does not know one of its kernels.

    Work and memory are told apart by what terms count; the longer of the two includes the other.
    """
    kernels = kernels_of(graph, node, dtype, cache_bytes(unit), unit.core_law)
    found = [(kernel, time) for kernel in kernels if (time := time_of(kernel, unit.core_law)) is not None]
    if len(found) < len(kernels):
        return None
    memory_us = sum(_us(kernel, time, of_memory=True) for kernel, time in found)
    compute_us = sum(_us(kernel, time, of_memory=False) for kernel, time in found)
    busy_us, dispatch_us = memory_us + compute_us, unit.dispatch_us.value
    low_us = sum(kernel_us(kernel, time) * time.low for kernel, time in found) + unit.dispatch_us.least
    high_us = sum(kernel_us(kernel, time) * time.high for kernel, time in found) + unit.dispatch_us.most
    is_bound_by_memory = memory_us > compute_us
    stays = work.input_bytes + work.output_bytes <= cache_bytes(unit)
    return Cost(
        latency_us=dispatch_us + busy_us,
        low_us=min(low_us, dispatch_us + busy_us),
        high_us=max(high_us, dispatch_us + busy_us),
        dispatch_us=dispatch_us,
        compute_us=compute_us if is_bound_by_memory else busy_us,
        memory_us=busy_us if is_bound_by_memory else memory_us,
        dram_bytes=0 if work.op_class == FREE else work.weight_bytes if stays else work.total_bytes,
        evidence="fitted",
    )


def cache_bytes(unit: Unit) -> float:
    """What a core keeps near it."""
    return unit.on_chip_bytes.value if unit.on_chip_bytes is not None else GUESSED_CACHE_BYTES


def time_of(kernel: Kernel, law: Mapping[str, KernelTime]) -> KernelTime | None:
    """The rates of a kernel: those of its kind, else those of its class."""
    return law.get(kernel.kind) or law.get(FALLBACK + kernel.op_class)


def kernel_us(kernel: Kernel, time: KernelTime) -> float:
    """What a kernel takes beside its dispatch."""
    return _us(kernel, time, of_memory=True) + _us(kernel, time, of_memory=False)


def _us(kernel: Kernel, time: KernelTime, *, of_memory: bool) -> float:
    counted = (term for term in kernel.counts if term.startswith(MEMORY) == of_memory)
    return sum(kernel.counts[term] * time.us.get(term, 0.0) for term in counted)
