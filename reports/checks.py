"""What a run of the plan did to the model's outputs, compared with a reference run."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from partita.graph.ir import Array

DECIBEL = 10.0
"""Decibels per factor of ten in power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCheck:
    """One output of the placed model against the same output of the reference."""

    name: str
    max_error: float
    """Largest absolute difference; infinite if only one of the two is finite somewhere."""
    snr_db: float
    """Power of the reference over power of the difference, in decibels; infinite if they are equal."""
    top1_agreement: float | None
    """Share of rows whose largest element stands at the same place; None for outputs of rank below 2."""


def compare_outputs(reference: Mapping[str, Array], placed: Mapping[str, Array]) -> tuple[OutputCheck, ...]:
    """Every numeric output that both runs have, in the reference's order; ValueError if shapes differ."""
    names = [name for name in reference if name in placed and np.asarray(reference[name]).dtype.kind != "O"]
    return tuple(_compare(name, np.asarray(reference[name]), np.asarray(placed[name])) for name in names)


def _compare(name: str, reference: Array, placed: Array) -> OutputCheck:
    if reference.shape != placed.shape:
        raise ValueError(f"output {name!r} has shape {placed.shape}, the reference {reference.shape}")
    wanted, got = reference.astype(np.float64), placed.astype(np.float64)
    same = (wanted == got) | (np.isnan(wanted) & np.isnan(got))
    with np.errstate(invalid="ignore"):  # inf - inf, where both are the same
        error = np.where(same, 0.0, np.abs(wanted - got))
    error = np.where(np.isnan(error), np.inf, error)
    finite = np.where(np.isfinite(wanted), wanted, 0.0)
    noise, power = float(np.sum(error**2)), float(np.sum(finite**2))
    rows = wanted.ndim >= 2 and wanted.size > 0
    return OutputCheck(
        name=name,
        max_error=float(error.max(initial=0.0)),
        snr_db=_decibels(power, noise),
        top1_agreement=float(np.mean(wanted.argmax(-1) == got.argmax(-1))) if rows else None,
    )


def _decibels(power: float, noise: float) -> float:
    if noise == 0:
        return float("inf")
    return DECIBEL * float(np.log10(power / noise)) if power > 0 and np.isfinite(noise) else float("-inf")
