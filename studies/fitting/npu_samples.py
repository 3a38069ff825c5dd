"""What a model makes an accelerator do, as arrays: the counts of `devices.npu_terms` for what a placement runs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from partita.devices import Soc
from partita.devices.cost import changes_layout
from partita.devices.npu_terms import TERMS, primitives, terms_of
from partita.graph.dtypes import is_floating, size_bytes
from partita.graph.ir import Graph, Node
from partita.graph.match import Match
from partita.graph.plan import Location
from partita.graph.work import FREE, work_of
from partita.studies.validation.accelerated import HOST_DTYPE, Placed, borders, handed_over, placed
from partita.units import BYTES_PER_KB, THOUSAND

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One model in one dtype: a row per kernel, and what crosses the border between host and accelerator."""

    model: str
    dtype: str
    counts: Array
    """[kernels, terms], in 10^3 so that a rate in G/s gives microseconds."""
    weights_kb: Array
    """Per kernel, in 10^3 bytes."""
    activations_kb: Array
    """Read and written, without what stays in fast memory piece by piece."""
    padded_kb: Array
    is_token: NDArray[np.bool_]
    border: "Border"


@dataclass(frozen=True, slots=True)
class Border:
    """Transfers between host and accelerator, in 10^3 bytes as `devices.cost.transfer_cost` counts them."""

    syncs_in: int = 0
    syncs_out: int = 0
    in_kb: float = 0.0
    out_kb: float = 0.0
    cast_kb: float = 0.0
    """Of tensors that fit into fast memory; those that do not are in `spilled_cast_kb`."""
    spilled_cast_kb: float = 0.0
    layout_kb: float = 0.0
    conversions: int = 0


def sample_of(name: str, graph: Graph, matches: Sequence[Match], soc: Soc, location: Location) -> Sample | None:
    """The model as it is placed whole at the location; None if part of it would run elsewhere."""
    whole = placed(graph, matches, soc, location)
    if not whole.is_whole:
        return None
    rows = [row for node, _, _ in whole.kernels for row in _rows(whole.formulation.graph, node, location.dtype)]
    counts, weights, activations, padded, is_token = zip(*rows, strict=True)
    return Sample(
        model=name,
        dtype=location.dtype,
        counts=np.array(counts) / THOUSAND,
        weights_kb=np.array(weights, float) / BYTES_PER_KB,
        activations_kb=np.array(activations, float) / BYTES_PER_KB,
        padded_kb=np.array(padded, float) / BYTES_PER_KB,
        is_token=np.array(is_token),
        border=_border(whole, soc),
    )


Row = tuple[list[float], float, float, float, bool]


def _rows(graph: Graph, node: Node, dtype: str) -> list[Row]:
    inside = primitives(graph, node)
    if inside is not None:
        body, nodes = inside
        return [row for each in nodes for row in _rows(body, each, dtype)]
    work = work_of(graph, node, dtype)
    terms = terms_of(graph, node, work, dtype) if work.op_class != FREE else None
    if terms is None or not terms.counts:
        return []
    counts = [float(terms.counts.get(term, 0.0)) for term in TERMS]
    padded = size_bytes(terms.padded_elements, dtype)
    crossing = max(0, work.input_bytes + work.output_bytes - size_bytes(terms.kept_elements, dtype))
    return [(counts, work.weight_bytes, crossing, padded, terms.is_token)]


def _border(whole: Placed, soc: Soc) -> Border:
    host = Location(soc.host, HOST_DTYPE)
    law = soc.unit_named(whole.location.unit).npu_law
    total = Border()
    for value, source, target in borders(whole.formulation.graph, host, whole.location):
        handed = handed_over(value, whole.location)
        stored, wanted = source.stored(handed), target.stored(handed)
        is_input, size_kb = source == host, stored.size_bytes / BYTES_PER_KB
        is_cast = stored.dtype != wanted.dtype
        spills = law is not None and min(stored.size_bytes, wanted.size_bytes) > law.working_bytes.value
        is_turned = is_floating(handed.dtype) and changes_layout(soc, handed, source, target)
        total = Border(
            syncs_in=total.syncs_in + is_input,
            syncs_out=total.syncs_out + (not is_input),
            in_kb=total.in_kb + size_kb * is_input,
            out_kb=total.out_kb + size_kb * (not is_input),
            cast_kb=total.cast_kb + size_kb * (is_cast and not spills),
            spilled_cast_kb=total.spilled_cast_kb + size_kb * (is_cast and spills),
            layout_kb=total.layout_kb + min(size_kb, wanted.size_bytes / BYTES_PER_KB) * is_turned,
            conversions=total.conversions + is_cast + is_turned,
        )
    return total
