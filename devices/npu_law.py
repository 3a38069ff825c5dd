"""What an operator costs on an accelerator with a matrix unit, vector units and fast memory of its own: a fitted law.

    latency = dispatch / speed + (work^p + memory^p)^(1/p)
    work    = sum over terms: count / (rate * factor of the dtype * speed)
    memory  = weights / weights' rate + (activations / DRAM's rate if they do not fit into fast memory, less those that
              are handed on piece by piece: `devices.npu_tiles`)

The rates hold for the unit's own numbers as they were when it was rated (`at`), and change with them. The exponent p
says how far weights stream in behind the work of matrix and vector units (2: about half).
"""

from collections.abc import Callable, Sequence

from partita.devices.npu_record import NpuLaw
from partita.devices.npu_terms import MATRIX_TERMS, MOVING_TERMS, Terms, primitives, terms_of
from partita.devices.soc import Unit
from partita.errors import SocError
from partita.graph.dtypes import size_bytes
from partita.graph.ir import Graph, Node
from partita.graph.plan import Cost
from partita.graph.work import FREE, Work
from partita.units import transfer_us

COUNTS_PER_US_AT_1_G_PER_S = 1e3

WorkOf = Callable[[Graph, Node, str], Work]


def npu_cost(graph: Graph, node: Node, unit: Unit, dtype: str, work_of: WorkOf) -> Cost | None:
    """Time of `node` on a unit that has an NpuLaw; None if the law does not describe such an operator.

    A fused operator without a kernel of its own costs as much as its primitives one after the other. Part of what is
    called compute or memory is time in which the other waits; the longer of the two includes it.
    """
    law = unit.npu_law
    if law is None:
        return None
    inside = primitives(graph, node)
    if inside is not None:
        body, nodes = inside
        return _together([npu_cost(body, each, unit, dtype, work_of) or _nothing() for each in nodes])
    work = work_of(graph, node, dtype)
    if work.op_class == FREE:
        return _nothing()
    terms = terms_of(graph, node, work, dtype)
    return _cost(terms, work, unit, law, dtype) if terms is not None else None


def _cost(terms: Terms, work: Work, unit: Unit, law: NpuLaw, dtype: str) -> Cost:
    if not terms.counts:
        return _nothing()
    factors = law.dtypes[dtype]
    fixed = law.token_dispatch_us if terms.is_token else unit.dispatch_us
    dispatch_us = fixed.value * factors.dispatch.value / law.speed.value
    compute_us = work_us(terms, law, dtype, unit)
    spilled = spilled_bytes(terms, work, law, dtype)
    weights_rate = (unit.weights_gb_per_s or unit.bandwidth_gb_per_s).value
    memory_us = transfer_us(work.weight_bytes, weights_rate) + transfer_us(spilled, unit.bandwidth_gb_per_s.value)
    more = factors.overlap.value if factors.overlap is not None else 1.0
    busy_us = combined(compute_us, memory_us, law.overlap.value * more)
    latency_us, spread = dispatch_us + busy_us, factors.spread.value
    return Cost(
        latency_us=latency_us,
        low_us=latency_us / spread,
        high_us=latency_us * spread,
        dispatch_us=dispatch_us,
        compute_us=busy_us if compute_us >= memory_us else compute_us,
        memory_us=busy_us if compute_us < memory_us else memory_us,
        dram_bytes=work.weight_bytes + spilled,
        evidence="fitted",
    )


def work_us(terms: Terms, law: NpuLaw, dtype: str, unit: Unit) -> float:
    """Time of the matrix and vector units."""
    factors, total_us = law.dtypes[dtype], 0.0
    for term, count in terms.counts.items():
        if term not in law.rate_g_per_s:
            raise SocError(f"npu_law.rate_g_per_s.{term} is missing; every term of devices.npu_terms needs a rate")
        factor = factors.matrix if term in MATRIX_TERMS else factors.vector
        speed = law.speed if term in MATRIX_TERMS else law.vector_speed or law.speed
        rate = law.rate_g_per_s[term].value * factor.value * speed.value * change(term, law, dtype, unit)
        total_us += count / (rate * COUNTS_PER_US_AT_1_G_PER_S)
    return total_us


def change(term: str, law: NpuLaw, dtype: str, unit: Unit) -> float:
    """How many times as fast as the law says a unit is whose numbers are no longer those that the law was rated at."""
    if term in MATRIX_TERMS:
        now, then = unit.peak_gmac_per_s[dtype].value, law.at.peak_gmac_per_s.get(dtype)
    elif term in MOVING_TERMS:
        now, then = (unit.on_chip_gb_per_s or unit.bandwidth_gb_per_s).value, law.at.on_chip_gb_per_s
    else:
        now, then = unit.peak_gop_per_s[dtype].value, law.at.peak_gop_per_s.get(dtype)
    return now / then if then else 1.0


def spills(terms: Terms, law: NpuLaw, dtype: str) -> bool:
    return size_bytes(terms.padded_elements, dtype) > law.working_bytes.value


def spilled_bytes(terms: Terms, work: Work, law: NpuLaw, dtype: str) -> int:
    """What crosses to and from DRAM beside weights: nothing, or all but what stays on chip piece by piece."""
    if not spills(terms, law, dtype):
        return 0
    return max(0, work.input_bytes + work.output_bytes - size_bytes(terms.kept_elements, dtype))


def combined(work_us: float, memory_us: float, overlap: float) -> float:
    """Between the longer of the two and their sum."""
    longer, shorter = max(work_us, memory_us), min(work_us, memory_us)
    if longer == 0:
        return 0.0
    return float(longer * (1 + (shorter / longer) ** overlap) ** (1 / overlap))


def _together(parts: Sequence[Cost]) -> Cost:
    """One cost for operators that run one after the other."""
    dispatch_us = sum(part.dispatch_us for part in parts)
    busy_us = sum(max(part.compute_us, part.memory_us) for part in parts)
    return Cost(
        latency_us=dispatch_us + busy_us,
        low_us=min(sum(part.low_us for part in parts), dispatch_us + busy_us),
        high_us=max(sum(part.high_us for part in parts), dispatch_us + busy_us),
        dispatch_us=dispatch_us,
        compute_us=busy_us,
        memory_us=min(sum(part.memory_us for part in parts), busy_us),
        dram_bytes=sum(part.dram_bytes for part in parts),
        evidence="fitted",
    )


def _nothing() -> Cost:
    return Cost(
        latency_us=0.0, low_us=0.0, high_us=0.0, dispatch_us=0.0, compute_us=0.0, memory_us=0.0, dram_bytes=0,
        evidence="free",
    )  # fmt: skip
