"""The Soc: a chip seen through one runtime. Every number says what kind of evidence it is and where it comes from."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from partita.devices.co_execution import CoExecution
from partita.devices.core_record import KernelTime
from partita.devices.npu_record import NpuLaw
from partita.devices.number import Number as Number
from partita.devices.number import Positive
from partita.devices.number import Strict as Strict
from partita.devices.power import Power, Sharing
from partita.devices.thermal import Thermal
from partita.errors import SocError
from partita.graph.work import OP_CLASSES

FORMAT = "partita-soc/1"
DEFAULT = "default"
"""The key of `utilisation` that stands for every class without one of its own."""

Dtype = Literal["float32", "float16", "bfloat16", "int8", "uint8", "int16", "uint16"]
QuantisedDtype = Literal["int8", "int8_symmetric", "int8_per_tensor", "w8a16", "w4a16"]
"""The names of `graph.quantisation.SCHEMES`."""
Layout = Literal["NCHW", "NHWC", "any"]


class Tile(Strict):
    """The block in which a matrix unit works: products of [m, k] by [k, n] are rounded up to whole blocks."""

    m: Positive
    n: Positive
    k: Positive


class Cluster(Strict):
    """Equal CPU cores: facts for the reader, from which the peaks are derived."""

    name: str
    core: str
    cores: Positive
    clock_mhz: Positive


class Latency(Strict):
    """What one operator, or several that ran as one kernel, took on a unit; see `devices.latency_table`."""

    op: str
    """The operator's type; of a fused chain its pattern, such as "Conv+Relu"."""
    attributes: str = ""
    """Those that differ from the standard's defaults, as text: "group=32 strides=2x2"."""
    inputs: tuple[str, ...]
    """Shapes, with the type if it is no floating-point one: "1x32x56x56", "const 32x1x3x3", "int64 1x128"."""
    outputs: tuple[str, ...]
    dtype: Dtype | QuantisedDtype
    work: int = Field(ge=0)
    """Multiply-accumulates; element operations if there are none; bytes moved if there are neither."""
    latency_us: Number

    @property
    def name(self) -> str:
        words = " ".join(filter(None, (self.op, self.attributes, ", ".join(self.inputs))))
        return f"{words} -> {', '.join(self.outputs)} ({self.dtype})"

    @property
    def family(self) -> tuple[str, ...]:
        """What operators that differ in nothing but sizes have in common."""
        return (self.op, self.attributes, self.dtype, *(re.sub(r"\d+", "#", shape) for shape in self.inputs))


class Gains(Strict):
    """What a unit takes beyond its support file, or no longer: an assumption of a what-if, of which no file knows."""

    operators: tuple[str, ...] = ()
    """Types, taken with any attributes and shapes; "*" for all."""
    dtypes: tuple[str, ...] = ()
    """It takes in these what it takes in its preferred one."""
    lost_operators: tuple[str, ...] = ()
    """Types that it takes no more, whatever their attributes and shapes."""


class Unit(Strict):
    """A processor and the runtime that drives it."""

    name: str = Field(min_length=1)
    kind: Literal["cpu", "gpu", "npu", "dsp"]
    title: str
    dtypes: tuple[Dtype, ...] = Field(min_length=1)
    """Floating-point types it computes in, the preferred one first."""
    optional_dtypes: tuple[QuantisedDtype, ...] = ()
    """Quantised types that it computes a floating-point model in only where the user allows it."""
    layout: Layout
    """How it stores images; "any" takes what it gets."""
    support: str
    """Name of the support file: which operators it takes."""
    fusions: str
    """Name of the fusion file: which chains it runs as one kernel."""
    call_us: Number
    """Fixed cost of one segment."""
    dispatch_us: Number
    """Fixed cost of one kernel."""
    peak_gmac_per_s: dict[str, Positive]
    """Multiply-accumulates, by dtype."""
    peak_gop_per_s: dict[str, Positive]
    """Element operations as `graph.work` counts them, by dtype."""
    utilisation: dict[str, Positive]
    """Share of the peak that a class of operators reaches; `default` for the classes that are not listed."""
    bandwidth_gb_per_s: Positive
    """Reached alone, from and to DRAM."""
    weights_gb_per_s: Positive | None = None
    """Rate at which weights stream in, if it is not `bandwidth_gb_per_s`."""
    on_chip_bytes: Positive | None = None
    """Memory in which the activations of an operator stay if they fit: VTCM, caches."""
    on_chip_gb_per_s: Positive | None = None
    layout_gb_per_s: Positive
    """Layout changes and transposes, counted in bytes of the tensor."""
    cast_gb_per_s: Positive
    """Casts between floating-point types, counted in bytes of the tensor as it is read."""
    tile: Tile | None = None
    memory_bytes: Positive | None = None
    """What may lie at it at any time, activations and weights, if that is less than anyone needs."""
    max_segments: Positive | None = None
    """How many segments it takes of one model: a compiler that makes one program of the first part takes one."""
    spread: Positive
    """Factor by which the model itself may be wrong either way, beside the ranges of its numbers."""
    clusters: tuple[Cluster, ...] = ()
    npu_law: NpuLaw | None = None
    """Comes before the roofline for what it describes."""
    core_law: dict[str, KernelTime] = Field(default_factory=dict)
    """Of a CPU core, by kind of kernel: comes before the roofline for what it describes; see `devices.core_law`."""
    law: str | None = None
    """A fitted law of `devices/fits`, UNIT-PRESET, or a file NAME.json: it goes before the numbers above where it knows
    a kernel.

    Where they differ from those of that preset, its times change as theirs do."""
    cores: dict[str, int] = Field(default_factory=dict)
    """Threads of a CPU by core type, as its law calls them: {"large": 1, "med": 1}; the law's own if empty."""
    gains: Gains | None = None
    latencies: tuple[Latency, ...] = ()
    """Measured operators, which come before any law; in a file they stand under `[[latencies]]` with their `unit`."""

    @cached_property
    def latencies_by_family(self) -> dict[tuple[str, ...], tuple[Latency, ...]]:
        found: dict[tuple[str, ...], list[Latency]] = {}
        for latency in self.latencies:
            found.setdefault(latency.family, []).append(latency)
        return {family: tuple(members) for family, members in found.items()}

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        dtypes = (*self.dtypes, *self.optional_dtypes)
        _same_keys("peak_gmac_per_s", self.peak_gmac_per_s, dtypes, dtypes)
        _same_keys("peak_gop_per_s", self.peak_gop_per_s, dtypes, dtypes)
        _same_keys("utilisation", self.utilisation, (DEFAULT,), (DEFAULT, *OP_CLASSES))
        if self.npu_law is not None:
            _same_keys("npu_law.dtypes", self.npu_law.dtypes, dtypes, dtypes)
        if (self.on_chip_bytes is None) != (self.on_chip_gb_per_s is None):
            raise ValueError("on_chip_bytes and on_chip_gb_per_s must be given together")
        if self.on_chip_gb_per_s is not None and self.on_chip_gb_per_s.value < self.bandwidth_gb_per_s.value:
            raise ValueError("on_chip_gb_per_s must be at least bandwidth_gb_per_s")
        if self.spread.least < 1:
            raise ValueError(f"spread must be at least 1, is {self.spread.least:g}")
        return self

    def utilisation_of(self, op_class: str) -> Number:
        return self.utilisation.get(op_class, self.utilisation[DEFAULT])


class Link(Strict):
    """One direction between two units."""

    source: str
    target: str
    sync_us: Number
    """Fixed cost of handing a tensor over: waiting for the queue, mapping, cache maintenance."""
    copy_gb_per_s: Positive


class Dram(Strict):
    """The memory that all units share."""

    peak_gb_per_s: Positive
    share_of_one: Positive
    """Share of the peak that one engine alone reaches at most."""
    share_of_several: Positive
    """Share of the peak that several engines reach together."""


class Soc(Strict):
    """A chip and its runtime: units, the links between them, the memory below them."""

    format: Literal["partita-soc/1"]
    name: str = Field(min_length=1)
    chip: str
    runtime: str
    description: str
    host: str
    """The unit where model inputs come from and outputs go to."""
    inference_us: Number
    """Fixed cost of one inference, whatever the placement."""
    units: tuple[Unit, ...] = Field(min_length=1)
    links: tuple[Link, ...] = ()
    dram: Dram
    sharing: Sharing | None = None
    """How units that stream at the same time divide the memory; equal max-min fair shares if it is not said."""
    co_execution: CoExecution | None = None
    """What it costs two units to share one operator."""
    power: Power | None = None
    thermal: Thermal | None = None
    sources: dict[str, str] = Field(default_factory=dict)
    """What the keys stand for with which the `source` of a number begins."""

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        names = [unit.name for unit in self.units]
        _unique("unit", names)
        _unique("link", [f"{link.source} -> {link.target}" for link in self.links])
        _known("host", self.host, names)
        for index, link in enumerate(self.links):
            _known(f"links[{index}].source", link.source, names)
            _known(f"links[{index}].target", link.target, names)
            if link.source == link.target:
                raise ValueError(f"links[{index}] joins {link.source!r} to itself")
        for unit in self.units:
            self._check_bandwidth(unit)
        for part in (self.sharing, self.co_execution, self.power, self.thermal):
            if part is not None:
                part.check_units(names)
        if self.thermal is not None and self.power is None:
            raise ValueError("thermal needs [power]: nothing heats without it")
        return self

    def _check_bandwidth(self, unit: Unit) -> None:
        """A unit alone cannot get more from DRAM than one engine does."""
        most = self.dram.peak_gb_per_s.value * self.dram.share_of_one.value
        fastest = max(unit.bandwidth_gb_per_s.value, (unit.weights_gb_per_s or unit.bandwidth_gb_per_s).value)
        if fastest > most:
            raise ValueError(
                f"units[{unit.name}] moves {fastest:g} GB/s alone, more than dram.peak_gb_per_s * dram.share_of_one "
                f"= {most:g} GB/s allows"
            )

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON; not kept, because a changed copy would inherit it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The Soc as JSON with sorted keys and no spaces: equal Socs give equal text."""
        fields = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str = "SoC") -> Self:
        """The Soc that `to_json` wrote; SocError, naming `where` and the field, if the text is none."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise SocError(f"{where}: {explain(error, json_or_none(text))}") from None

    def unit_named(self, name: str) -> Unit:
        for unit in self.units:
            if unit.name == name:
                return unit
        known = ", ".join(unit.name for unit in self.units)
        raise SocError(f"SoC {self.name!r} has no unit {name!r}; it has: {known}")

    @property
    def host_unit(self) -> Unit:
        return self.unit_named(self.host)

    def link(self, source: str, target: str) -> Link:
        """The link between two units; one through the host if they have none of their own. SocError if there is no way.

        Through the host the fixed costs add up, and so do the times per byte.
        """
        direct = self._direct(source, target)
        if direct is not None:
            return direct
        first, second = self._direct(source, self.host), self._direct(self.host, target)
        if first is None or second is None:
            raise SocError(
                f"SoC {self.name!r} has no link {source} -> {target}, nor both {source} -> {self.host} and "
                f"{self.host} -> {target}; add one to its [[links]]"
            )
        through = f"through {self.host}"
        sync_us, rate = _added(first.sync_us, second.sync_us), _in_turn(first.copy_gb_per_s, second.copy_gb_per_s)
        return Link(
            source=source,
            target=target,
            sync_us=Number(value=sync_us[0], low=sync_us[1], high=sync_us[2], kind="derived", source=through),
            copy_gb_per_s=Number(value=rate[0], low=rate[1], high=rate[2], kind="derived", source=through),
        )

    def _direct(self, source: str, target: str) -> Link | None:
        return next((link for link in self.links if (link.source, link.target) == (source, target)), None)


def _added(a: Number, b: Number) -> tuple[float, float, float]:
    return a.value + b.value, a.least + b.least, a.most + b.most


def _in_turn(a: Number, b: Number) -> tuple[float, float, float]:
    return 1 / (1 / a.value + 1 / b.value), 1 / (1 / a.least + 1 / b.least), 1 / (1 / a.most + 1 / b.most)


def _same_keys(field: str, found: Iterable[str], wanted: Sequence[str], allowed: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ValueError(f"{field}.{missing[0]} is missing")
    unknown = [name for name in found if name not in allowed]
    if unknown:
        raise ValueError(f"{field}.{unknown[0]} is not known; there is: {', '.join(allowed)}")


def _unique(what: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f"{what} {name!r} occurs twice; names must be unique")


def _known(field: str, name: str, names: Sequence[str]) -> None:
    if name not in names:
        raise ValueError(f"{field} is {name!r}, which is no unit; units: {', '.join(names)}")


def json_or_none(text: str) -> Any:
    """The content of a JSON text, None if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def explain(error: ValidationError, content: Any) -> str:
    """The first thing that is wrong, on one line: the field, what is expected, what was found."""
    first, *others = error.errors(include_url=False)
    path = _path(first["loc"], content)
    more = f" (and {len(others)} more)" if others else ""
    if first["type"] == "missing":
        return f"{path} is missing{more}"
    if first["type"] == "extra_forbidden":
        return f"{path} is not a known field; remove it or correct its name{more}"
    message = first["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    found = first["input"]
    shown = f", is {found!r}" if isinstance(found, str | int | float | bool) and first["type"] != "value_error" else ""
    return f"{path}: {message}{shown}{more}" if path else f"{message}{more}"


def _path(location: Sequence[int | str], content: Any) -> str:
    """The field's path, with the name of a table (a unit, a rule) in place of its number if it has one."""
    text = ""
    for key in location:
        inner = _inside(content, key)
        if isinstance(key, int):
            name = inner.get("name") if isinstance(inner, dict) else None
            text += f"[{name if isinstance(name, str) else key}]"
        elif isinstance(content, dict) or content is None:
            text += f".{key}" if text else key
        content = inner
    return text


def _inside(content: Any, key: int | str) -> Any:
    if isinstance(content, dict):
        return content.get(key)
    if isinstance(content, list | tuple) and isinstance(key, int) and key < len(content):
        return content[key]
    return None
