"""How far one result is from another: what a placement's arithmetic does to the outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One output against its reference."""

    output: str
    max_relative: float
    """Largest absolute difference over the largest absolute value of the reference."""
    max_absolute: float
    mean_relative: float
    snr_db: float
    """Signal-to-noise ratio in decibel; infinite if both are equal."""
    cosine: float
    top1_agrees: bool
    """The largest element along the last axis is the same everywhere."""


def differences(reference: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Every output of `given` against `reference`, in order; a sequence by its tensors, text by whether it is equal."""
    found: list[Difference] = []
    for name in reference:
        found += _differences(name, reference[name], given[name])
    return tuple(found)


def _differences(name: str, a: Any, b: Any) -> list[Difference]:
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [d for i, (x, y) in enumerate(zip(a, b, strict=True)) for d in _differences(f"{name}[{i}]", x, y)]
    numeric = all(isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "biufcV" for x in (a, b))
    if numeric and np.shape(a) == np.shape(b):
        return [difference(name, np.asarray(a), np.asarray(b))]
    if numeric or isinstance(a, list) or isinstance(b, list):
        return [difference(name, np.zeros(1), np.full(1, np.inf))]
    equal = np.array_equal(np.asarray(a), np.asarray(b))
    return [difference(name, np.zeros(1), np.zeros(1) if equal else np.full(1, np.inf))]


def difference(output: str, reference: np.ndarray, given: np.ndarray) -> Difference:
    """The difference of two tensors of one shape; one that is not finite where the other is counts as infinite."""
    if reference.shape != given.shape:
        raise ValueError(f"output {output!r} has shape {given.shape}, its reference {reference.shape}")
    a, b = reference.astype(np.float64), given.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        error = np.where(same, 0.0, np.abs(a - b))
    error = np.nan_to_num(error, nan=np.inf)
    finite = np.where(np.isfinite(a), a, 0.0)
    scale = float(np.abs(finite).max(initial=0.0)) or 1.0
    with np.errstate(over="ignore"):
        noise, signal = float(np.square(error).sum()), float(np.square(finite).sum())
    return Difference(
        output=output,
        max_relative=float(error.max(initial=0.0)) / scale,
        max_absolute=float(error.max(initial=0.0)),
        mean_relative=float(error.mean()) / scale if error.size else 0.0,
        snr_db=_decibels(signal, noise),
        cosine=_cosine(finite, b, signal),
        top1_agrees=bool((np.argmax(a, -1) == np.argmax(b, -1)).all()) if a.ndim and a.shape[-1] else True,
    )


def _decibels(signal: float, noise: float) -> float:
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise < np.inf else float("-inf")


def _cosine(a: np.ndarray, b: np.ndarray, signal: float) -> float:
    b = np.where(np.isfinite(b), b, 0.0)
    norm = float(np.sqrt(signal) * np.sqrt(np.square(b).sum()))
    return float((a * b).sum()) / norm if norm > 0 else 1.0
