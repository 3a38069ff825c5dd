"""Fitted laws by name: their files in `devices/fits`, and what a kernel costs by them on a unit."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from partita.devices.kernel_shape import KernelShape
from partita.devices.laws import core_sets, gpu_kernels, thread_pool
from partita.devices.laws.delegate import Gpu
from partita.devices.laws.gpu_waves import KernelLaw
from partita.devices.laws.thread_pool import KernelColumns
from partita.devices.laws.trees import Floats, Trees
from partita.devices.load import FOLDER, LAW_FILE
from partita.devices.soc import Unit
from partita.errors import SocError

FORMAT = "partita-law/1"
FITS = FOLDER / "fits"
SIZE_BYTES = {"float32": 4.0, "int8": 1.0}
SHAPES_AT_ONCE = 20_000
EVERY_KIND = "all"

Interval = tuple[float, float]
"""Factors on a prediction between which 90 % of measurements that were not fitted on lie."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a law says of one kernel."""

    latency_us: float
    low_us: float
    high_us: float


@cache
def law_file(name: str) -> Mapping[str, Any]:
    """The content of a law file, one of this package by its name or the user's own by its path (NAME.json)."""
    path = _path(name)
    if not path.is_file():
        raise SocError(f"there is no fitted law {name!r}; there are: {', '.join(names_of_laws())}; or a .json file")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SocError(f"{name}: not a JSON file: {error}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise SocError(f"{name}: is no fitted law; its format must be {FORMAT!r}")
    return content


def rated_at(name: str) -> tuple[str, str] | None:
    """Unit and Soc by whose numbers a law was fitted: UNIT-PRESET for those of this package, else as its file says."""
    if not name.endswith(LAW_FILE):
        unit, _, preset = name.partition("-")
        return unit, preset
    rated = law_file(name).get("rated")
    return (rated["unit"], rated["soc"]) if rated is not None else None


def _path(name: str) -> Path:
    return Path(name) if name.endswith(LAW_FILE) else FITS / f"{name}{LAW_FILE}"


def kernel_times_us(unit: Unit, dtype: str, shapes: Sequence[KernelShape]) -> Floats:
    """Time of each kernel on a unit by its fitted law; NaN where the law does not know the kind."""
    if unit.law is None:
        return np.full(len(shapes), np.nan)
    content = law_file(unit.law)
    if content["law"] == "thread_pool":
        return _on_threads(content, unit, dtype, shapes)
    return _on_gpu(unit.law, shapes)


def whole_model_interval(unit: Unit, dtype: str) -> Interval | None:
    """Factors for the latency of a whole model on the unit, whose kernels' errors cancel in part."""
    if unit.law is None:
        return None
    content = law_file(unit.law)
    part = content["dtypes"].get(dtype) if content["law"] == "thread_pool" else content
    if part is None:
        return None
    low, high = part["model_interval"]
    return low, high


def fitted_kernel(unit: Unit, dtype: str, shape: KernelShape) -> Fitted | None:
    """What the unit's law says of a kernel; None if it has none, or does not know the kind or the dtype."""
    if unit.law is None:
        return None
    return _known(_UnitKey(unit), dtype, shape)


class _UnitKey:
    """A unit as a key of a cache: by what a law reads of it."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.identity = unit.law, tuple(sorted(unit.cores.items()))

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _UnitKey) and self.identity == other.identity


@lru_cache(maxsize=SHAPES_AT_ONCE)
def _known(key: _UnitKey, dtype: str, shape: KernelShape) -> Fitted | None:
    latency_us = float(kernel_times_us(key.unit, dtype, [shape])[0])
    if not np.isfinite(latency_us):
        return None
    low, high = kernel_interval(key.unit, dtype, shape)
    return Fitted(latency_us, latency_us * low, latency_us * high)


def kernel_interval(unit: Unit, dtype: str, shape: KernelShape) -> Interval:
    """Factors for one kernel, by its kind where enough of that were measured."""
    content = law_file(unit.law or "")
    part = content["dtypes"][dtype] if content["law"] == "thread_pool" else content
    kind = gpu_kernels.kind_of(shape, has_winograd=bool(content.get("winograd"))) or EVERY_KIND
    intervals = part["interval"]
    low, high = intervals.get(kind, intervals[EVERY_KIND])
    return low, high


def _on_threads(content: Mapping[str, Any], unit: Unit, dtype: str, shapes: Sequence[KernelShape]) -> Floats:
    cores = unit.cores or content["cores"]
    unknown = [name for name in cores if name not in content["types"]]
    if unknown or any(count > content["whole"][name] for name, count in cores.items()):
        have = ", ".join(f"{count} {name}" for name, count in content["whole"].items())
        asked = ", ".join(f"{count} {name}" for name, count in cores.items())
        raise SocError(f"unit {unit.name!r} is to use {asked} cores; law {unit.law!r} knows {have}")
    return threads_us(unit.law or "", dtype, cores, shapes)


def threads_us(name: str, dtype: str, cores: Mapping[str, int], shapes: Sequence[KernelShape]) -> Floats:
    """Time of each kernel by the thread-pool law `name` on a set of its cores; NaN where it does not know the dtype."""
    content = law_file(name)
    if dtype not in content["dtypes"] or not shapes:
        return np.full(len(shapes), np.nan)
    columns = KernelColumns(shapes, content.get("rows_of_tile", thread_pool.ROWS_OF_TILE))
    parameters = _parameters(name, dtype)
    times = thread_pool.kernel_us(columns, parameters, content["types"], cores, content["whole"], SIZE_BYTES[dtype])
    cores_by_type = {kind: cores.get(kind, 0) for kind in content["types"]}
    own = content["dtypes"][dtype].get("sets", {}).get(core_sets.name_of(cores_by_type))
    if own is None:
        return times
    fixed = thread_pool.fixed_us(parameters, content["types"], cores)
    return fixed + (times - fixed) * core_sets.factors(columns, np.array(own, dtype=np.float64))


@cache
def _parameters(name: str, dtype: str) -> Mapping[str, Floats]:
    stored = law_file(name)["dtypes"][dtype]["parameters"]
    known = {key: with_later_classes(key, np.asarray(values, dtype=np.float64)) for key, values in stored.items()}
    return {later: np.array([thread_pool.NOTHING]) for later in thread_pool.LATER} | known


def with_later_classes(parameter: str, values: Floats) -> Floats:
    """The values with those of classes that the law's fit did not know: they are those of the class split since."""
    if "class" not in thread_pool.PARAMETERS[parameter]:
        return values
    for name in thread_pool.CLASSES[len(values) :]:
        origin = thread_pool.CLASSES.index(thread_pool.SPLIT_FROM[name])
        values = np.concatenate([values, values[origin : origin + 1]])
    return values


def _on_gpu(name: str, shapes: Sequence[KernelShape]) -> Floats:
    """In a model: kernels times what the queue adds, and the kernels that this runtime makes of one operator."""
    content = law_file(name)
    law = gpu_law(name)
    kinds = [gpu_kernels.kind_of(shape, has_winograd=content["winograd"]) for shape in shapes]
    result = np.full(len(shapes), float(content["gap_us"]))
    known = [index for index, kind in enumerate(kinds) if kind is not None]
    if known:
        rows = [gpu_kernels.base_row(shapes[index], kinds[index] or "") for index in known]
        times_us = law.us(np.array(rows, dtype=np.float64))
        result[known] += times_us * content["scale"] + gpu_kernels.long_us(times_us) * content["scale_of_long"]
    for index, (shape, kind) in enumerate(zip(shapes, kinds, strict=True)):
        moved = gpu_kernels.unlinked_bytes(shape, kind)
        result[index] += sum(content["us_per_byte"][name] * size for name, size in moved.items())
        result[index] += content["elementwise_us"] if kind is None else 0.0
    return result


def gpu_kernel_us(unit: Unit, rows: Floats) -> Floats:
    """Time of kernels alone in a queue, as profilers report it, without what a model adds; of `gpu_kernels.BASE`."""
    return gpu_law(unit.law or "").us(rows)


@cache
def gpu_law(name: str) -> KernelLaw:
    """The law of a GPU with its trees."""
    content = law_file(name)
    if "scale_of_long" not in content:
        raise SocError(f"{name}: fitted by an earlier version; fit it again with `partita calibrate`")
    with np.load(_path(name).with_suffix(".npz")) as arrays:
        trees = Trees(
            feature=arrays["feature"].astype(np.int64),
            threshold=arrays["threshold"].astype(np.float64),
            left=arrays["left"].astype(np.int64),
            right=arrays["right"].astype(np.int64),
            value=arrays["value"].astype(np.float64),
            roots=arrays["roots"].astype(np.int64),
            depth=int(arrays["depth"]),
        )
    coefficients = {kind: np.asarray(values, dtype=np.float64) for kind, values in content["coefficients"].items()}
    return KernelLaw(Gpu(content["vendor"], content["units"]), coefficients, trees, content["longest_us"])


@cache
def names_of_laws() -> tuple[str, ...]:
    """Names of the laws in this package, sorted."""
    return tuple(sorted(path.stem for path in FITS.glob("*.json")))
