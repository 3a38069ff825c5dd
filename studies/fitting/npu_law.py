"""The law of `devices.npu_law` over whole models at once, its parameters as one vector, and their priors."""

import tomllib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partita.devices.npu_terms import MATRIX_TERMS, TERMS
from partita.studies.fitting.least_squares import Prior
from partita.studies.fitting.npu_samples import Sample
from partita.units import BYTES_PER_KB

Array = NDArray[np.float64]

PRIORS_FILE = Path(__file__).with_name("npu_priors.toml")
SPILL = "spill"


@dataclass(frozen=True)
class Priors:
    """Parameters by name, the logarithm of each with the deviation in which it is believed beforehand."""

    values: Mapping[str, float]
    deviations: Mapping[str, float]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(self.values)

    @cached_property
    def prior(self) -> Prior:
        center = np.log([self.values[name] for name in self.names])
        return Prior(center, np.array([self.deviations[name] for name in self.names]))

    def named(self, x: Array) -> dict[str, float]:
        return dict(zip(self.names, map(float, np.exp(x)), strict=True))


def read_priors(kind: str, path: Path = PRIORS_FILE) -> Priors:
    """The priors of one kind of accelerator from the file beside this one."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))[kind]
    return Priors(
        {name: float(entry["value"]) for name, entry in table.items()},
        {name: float(entry["deviation"]) for name, entry in table.items()},
    )


class Stack:
    """Samples of one dtype, laid one below the other."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.models = tuple(sample.model for sample in samples)
        self.dtype = samples[0].dtype
        self.owner = np.repeat(np.arange(len(samples)), [len(sample.counts) for sample in samples])
        self.counts = np.concatenate([sample.counts for sample in samples])
        self.weights_kb = np.concatenate([sample.weights_kb for sample in samples])
        self.activations_kb = np.concatenate([sample.activations_kb for sample in samples])
        self.padded_kb = np.concatenate([sample.padded_kb for sample in samples])
        self.is_token = np.concatenate([sample.is_token for sample in samples])
        fields = ("syncs_in", "syncs_out", "in_kb", "out_kb", "cast_kb", "spilled_cast_kb", "layout_kb", "conversions")
        self.border = {name: np.array([getattr(s.border, name) for s in samples], float) for name in fields}

    def without(self, terms: Sequence[str]) -> "Stack":
        """As if these terms counted nothing; "spill" stands for the traffic of what does not fit on chip."""
        changed = copy(self)
        changed.counts = self.counts * np.array([term not in terms for term in TERMS])
        if SPILL in terms:
            changed.padded_kb = np.zeros_like(self.padded_kb)
        return changed


def predicted_us(stack: Stack, p: Mapping[str, float]) -> Array:
    """Whole models, as `devices.npu_law` and `devices.cost.transfer_cost` add up."""
    dtype = stack.dtype
    matrix, vector, dispatch = (p.get(f"{part}.{dtype}", 1.0) for part in ("matrix", "vector", "dispatch"))
    rates = np.array([p[term] * (matrix if term in MATRIX_TERMS else vector) for term in TERMS])
    work = stack.counts @ (1 / rates)
    spilled = np.where(stack.padded_kb * BYTES_PER_KB > p["working_bytes"], stack.activations_kb, 0.0)
    memory = stack.weights_kb / p["weights_gb_per_s"] + spilled / p["bandwidth_gb_per_s"]
    power = p["overlap"] * p.get(f"overlap.{dtype}", 1.0)
    longer, shorter = np.maximum(work, memory), np.minimum(work, memory)
    ratio = np.divide(shorter, longer, out=np.zeros_like(longer), where=longer > 0)
    busy = longer * (1 + ratio**power) ** (1 / power)
    fixed = np.where(stack.is_token, p["token_dispatch_us"], p["dispatch_us"]) * dispatch
    kernels = np.bincount(stack.owner, busy + fixed, len(stack.models))
    total: Array = p["call_us"] + kernels + _border_us(stack.border, p)
    return total


def _border_us(border: Mapping[str, Array], p: Mapping[str, float]) -> Array:
    total: Array = (
        (border["syncs_in"] + border["syncs_out"]) * p["sync_us"]
        + border["in_kb"] / p["copy_in_gb_per_s"]
        + border["out_kb"] / p["copy_out_gb_per_s"]
        + border["cast_kb"] / p["cast_gb_per_s"]
        + border["spilled_cast_kb"] / p["spilled_cast_gb_per_s"]
        + border["layout_kb"] / p["layout_gb_per_s"]
        + border["conversions"] * p["dispatch_us"]
    )
    return total
