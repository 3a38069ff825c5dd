"""Which execution provider of ONNX Runtime and which delegate of LiteRT drive a unit, with the options that pick it."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from partita.devices.soc import Unit
from partita.devices.support import backend_named

FLOAT16 = "float16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """An execution provider of ONNX Runtime and its options."""

    name: str
    """As `InferenceSession(providers=...)` takes it."""
    options: dict[str, str] = field(default_factory=dict)
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """A delegate of LiteRT (TensorFlow Lite), in the terms of its tools' flags."""

    name: str
    flags: dict[str, str] = field(default_factory=dict)
    counts_partitions: bool = False
    """Whether it heeds `max_delegated_partitions`."""
    sets_least_nodes: bool = False
    """Whether it heeds `min_nodes_per_partition`."""
    source: str = ""


def provider_of(unit: Unit, dtype: str) -> Provider | None:
    """The provider of ONNX Runtime that drives `unit` computing in `dtype`; None if there is none."""
    backend = backend_named(unit.support)
    found = _tables()["onnxruntime"].get(_family(unit))
    if found is None:
        return None
    soc_model = _tables()["soc_model"].get(f"v{backend.generation}", "")
    options = {key: text.format(soc_model=soc_model) for key, text in _chosen(found, "options", dtype).items()}
    kept = {key: text for key, text in options.items() if text}
    return Provider(name=found["provider"], options=kept, source=found["source"])


def delegate_of(unit: Unit, dtype: str) -> Delegate | None:
    """The delegate of LiteRT that drives `unit` computing in `dtype`; None if there is none."""
    found = _tables()["litert"].get(_family(unit))
    if found is None:
        return None
    return Delegate(
        name=found["delegate"],
        flags=_chosen(found, "flags", dtype),
        counts_partitions=found.get("counts_partitions", False),
        sets_least_nodes=found.get("sets_least_nodes", False),
        source=found["source"],
    )


def _family(unit: Unit) -> str:
    return unit.support.partition(":")[0]


def _chosen(table: dict[str, Any], always: str, dtype: str) -> dict[str, str]:
    return {**table.get(always, {}), **(table.get(FLOAT16, {}) if dtype == FLOAT16 else {})}


@cache
def _tables() -> dict[str, Any]:
    return tomllib.loads(files("partita.devices").joinpath("providers.toml").read_text("utf-8"))
