"""Measured latencies of a unit's operators, looked up before any law: exactly, or between two that bracket an operator.

An entry stands for every operator of its type, attributes, shapes and dtype. An operator that is not in the table lies
between two entries if they differ from it in nothing but sizes, none of its dimensions is smaller than the smaller
one's or larger than the larger one's, and the two are close. Its time then follows a power law through both: time is
taken to grow with work, and never beyond what the two entries took.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import onnx

from partita.devices.soc import Latency, Unit
from partita.errors import SocError
from partita.graph.dtypes import is_floating
from partita.graph.ir import Graph, Node, Value
from partita.graph.plan import Cost
from partita.graph.work import Work, work_of

Law = Callable[[Graph, Node, Unit, str], Cost]

WIDEST_BRACKET = 8.0
"""Work of the larger entry over that of the smaller one: within three doublings kernels seldom change their way."""
MEASURED, INTERPOLATED = "measured", "interpolated"
KNOWN_SHARE = 0.5
"""A fused operator is corrected by its members if those in the table make up this share of it by the law."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What an operator's latency depends on, apart from unit and dtype, in the words of a table."""

    op: str
    attributes: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


_SIGNATURES: WeakKeyDictionary[Graph, dict[Node, Signature]] = WeakKeyDictionary()


def signature(graph: Graph, node: Node) -> Signature:
    """The table key of an operator; shapes that are not known are written "?"."""
    known = _SIGNATURES.setdefault(graph, {})
    if node not in known:
        known[node] = Signature(
            node.op if not node.domain or node.body is not None else f"{node.domain}.{node.op}",
            _attributes(node),
            tuple(_shape(graph, name) for name in node.inputs),
            tuple(_shape(graph, name) for name in node.outputs),
        )
    return known[node]


def _shape(graph: Graph, name: str) -> str:
    value = graph.values.get(name)
    role = "const " if name and graph.is_constant(name) else ""
    return role + _text(value) if name else "none"


def _text(value: Value | None) -> str:
    if value is None or not value.is_concrete:
        return "?"
    dtype = "" if is_floating(value.dtype) else f"{value.dtype} "
    return dtype + ("x".join(map(str, value.dims)) or "scalar")


_SHAPED_BY_INPUTS = {"kernel_shape": ("Conv", "ConvTranspose", "ConvInteger", "QLinearConv")}
"""Attributes that repeat what the shape of an operator's weights says."""
_USUAL = {"strides": 1, "dilations": 1, "pads": 0, "output_padding": 0}
"""Lists whose absence means that all entries are this."""


def _attributes(node: Node) -> str:
    if node.body is not None:
        parts = (f"{inner.op}({text})" for inner in node.body.nodes if (text := _attributes(inner)))
        return "; ".join(parts)
    defaults = _defaults(node.op, node.domain, node.version)
    texts = [
        f"{name}={_value_text(value)}"
        for name, value in sorted(node.attributes.items())
        if not (isinstance(value, Graph) or _is_usual(node.op, name, value, defaults))
    ]
    return " ".join(texts)


def _is_usual(op: str, name: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    if op in _SHAPED_BY_INPUTS.get(name, ()):
        return True
    if name in _USUAL and isinstance(value, tuple | list):
        return all(each == _USUAL[name] for each in value)
    return name in defaults and _value_text(defaults[name]) == _value_text(value)


@lru_cache(maxsize=1024)
def _defaults(op: str, domain: str, version: int) -> Mapping[str, Any]:
    """What ONNX says an attribute is if it is not given."""
    try:
        schema = onnx.defs.get_schema(op, version, domain)
    except onnx.defs.SchemaError:
        return {}
    given = {name: attribute.default_value for name, attribute in schema.attributes.items()}
    return {name: onnx.helper.get_attribute_value(value) for name, value in given.items() if value.name}


def _value_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, np.ndarray):
        return f"tensor{list(value.shape)}"
    if isinstance(value, list | tuple):
        return "x".join(map(_value_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def work_measure(work: Work) -> int:
    """The size of an operator among those of its kind: what `Latency.work` holds."""
    return work.macs or work.element_ops or work.total_bytes


def table_cost(graph: Graph, node: Node, unit: Unit, dtype: str, law: Law) -> Cost | None:
    """The cost of an operator by the unit's table: exact, else between two entries, else None.

    A fused operator without an entry of its own costs what its members in the table say, less the dispatches that
    fusing saves; otherwise a law that is too fast or too slow would decide whether operators are fused.
    """
    if dtype not in unit.peak_gmac_per_s:
        return None  # the law says so
    found = _looked_up(graph, node, unit, dtype)
    if found is not None:
        latency_us, low_us, high_us, evidence = found
        return _with_latency(law(graph, node, unit, dtype), latency_us, low_us, high_us, evidence)
    return _by_members(graph, node, unit, dtype, law) if node.body is not None else None


Found = tuple[float, float, float, str]
"""Latency, its least and its most in microseconds, and the evidence."""


def _looked_up(graph: Graph, node: Node, unit: Unit, dtype: str) -> Found | None:
    key = signature(graph, node)
    probe = Latency.model_construct(op=key.op, attributes=key.attributes, dtype=dtype, inputs=key.inputs)
    family = unit.latencies_by_family.get(probe.family, ())
    for entry in family:
        if (entry.inputs, entry.outputs) == (key.inputs, key.outputs):
            number = entry.latency_us
            evidence = MEASURED if number.kind == "measured" else INTERPOLATED
            return number.value, number.least, number.most, evidence
    if not family:
        return None
    return interpolated(family, key, work_measure(work_of(graph, node, dtype)))


def interpolated(family: Iterable[Latency], key: Signature, work: int) -> Found | None:
    """Between the closest two entries that bracket an operator; None if none do, or if the larger one was faster."""
    below = [e for e in family if 0 < e.work <= work and _at_most(e.inputs, key.inputs) and _fits(e.outputs, key)]
    above = [e for e in family if e.work >= work > 0 and _at_most(key.inputs, e.inputs) and _fits(e.outputs, key)]
    pairs = [
        (small, large)
        for small in below
        for large in above
        if small.work < large.work <= small.work * WIDEST_BRACKET
        and 0 < small.latency_us.value <= large.latency_us.value
    ]
    if not pairs:
        return None
    small, large = min(pairs, key=lambda pair: (pair[1].work / pair[0].work, pair[0].work))
    position = math.log(work / small.work) / math.log(large.work / small.work)
    near, far = small.latency_us, large.latency_us
    value = near.value ** (1 - position) * far.value**position
    return value, min(value, near.least), max(value, far.most), INTERPOLATED


def _fits(outputs: tuple[str, ...], key: Signature) -> bool:
    return len(outputs) == len(key.outputs)


def _at_most(smaller: tuple[str, ...], larger: tuple[str, ...]) -> bool:
    """Whether no dimension of the first shapes is above the second's; they are of one family, so of equal ranks."""
    return all(
        all(a <= b for a, b in zip(_dims(one), _dims(other), strict=True))
        for one, other in zip(smaller, larger, strict=True)
    )


@lru_cache(maxsize=4096)
def _dims(shape: str) -> tuple[int, ...]:
    """The numbers of a shape's text, without the one in the name of a type such as int64."""
    last = shape.rpartition(" ")[2]
    return tuple(int(size) for size in last.split("x") if size.isdigit())


def _with_latency(by_law: Cost, latency_us: float, low_us: float, high_us: float, evidence: str) -> Cost:
    """A measured latency, split into dispatch, compute and memory as the law splits its own."""
    dispatch_us = min(by_law.dispatch_us, latency_us)
    rest_us, law_rest_us = latency_us - dispatch_us, max(by_law.compute_us, by_law.memory_us)
    factor = rest_us / law_rest_us if law_rest_us > 0 else 0.0
    compute_us = by_law.compute_us * factor if law_rest_us > 0 else rest_us
    memory_us = by_law.memory_us * factor
    sum_us = dispatch_us + max(compute_us, memory_us)  # the latency, but for rounding
    return replace(
        by_law,
        latency_us=sum_us,
        low_us=min(low_us, sum_us),
        high_us=max(high_us, sum_us),
        dispatch_us=dispatch_us,
        compute_us=compute_us,
        memory_us=memory_us,
        evidence=evidence,
    )


def _by_members(graph: Graph, node: Node, unit: Unit, dtype: str, law: Law) -> Cost | None:
    """The law for a fused operator, multiplied by measured over predicted time of its members in the table."""
    assert node.body is not None
    by_law = law(graph, node, unit, dtype)
    told = replace(node.body, missing=node.body.missing | _constant_inputs(graph, node, node.body))
    measured_us = predicted_us = all_us = low_us = high_us = 0.0
    for inner in told.nodes:
        alone = law(told, inner, unit, dtype)
        all_us += alone.latency_us
        found = _looked_up(told, inner, unit, dtype)
        if found is not None and alone.latency_us > 0:
            saved_us = alone.dispatch_us if predicted_us else 0.0
            measured_us += max(0.0, found[0] - saved_us)
            low_us, high_us = low_us + max(0.0, found[1] - saved_us), high_us + found[2]
            predicted_us += max(0.0, alone.latency_us - saved_us)
    if measured_us <= 0 or predicted_us < KNOWN_SHARE * all_us:
        return None
    factor = all_us / predicted_us if predicted_us < all_us else 1.0
    reach = min(factor, max(1.0, by_law.latency_us / predicted_us))
    return _with_latency(by_law, measured_us * reach, low_us * reach, high_us * reach, INTERPOLATED)


def _constant_inputs(graph: Graph, node: Node, body: Graph) -> frozenset[str]:
    return frozenset(
        inner for inner, outer in zip(body.inputs, node.inputs, strict=True) if outer and graph.is_constant(outer)
    )


def with_units(content: dict[str, Any], where: str) -> dict[str, Any]:
    """A Soc file's content with its `[[latencies]]` put into the units that they name."""
    entries = content.get("latencies")
    if entries is None:
        return content
    units = content.get("units")
    if not isinstance(entries, list) or not isinstance(units, list):
        raise SocError(f"{where}: latencies must be tables [[latencies]] beside [[units]]")
    of_unit: dict[Any, list[Any]] = {unit["name"]: [] for unit in units if isinstance(unit, dict) and "name" in unit}
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or entry.get("unit") not in of_unit:
            named = entry.get("unit") if isinstance(entry, dict) else entry
            known = ", ".join(map(str, of_unit))
            raise SocError(f"{where}: latencies[{index}].unit is {named!r}, which is no unit; units: {known}")
        of_unit[entry["unit"]].append({key: value for key, value in entry.items() if key != "unit"})
    filled = [_filled(unit, of_unit) for unit in units]
    return {key: value for key, value in content.items() if key != "latencies"} | {"units": filled}


def _filled(unit: Any, of_unit: Mapping[Any, list[Any]]) -> Any:
    if not isinstance(unit, dict) or not of_unit.get(unit.get("name")):
        return unit
    return unit | {"latencies": [*unit.get("latencies", ()), *of_unit[unit["name"]]]}
