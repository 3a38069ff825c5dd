"""What a preset says of an accelerator that `devices.npu_law` describes."""

from pydantic import Field

from partita.devices.number import Number, Positive, Strict


class DtypeFactors(Strict):
    """What a type to compute in changes beside the rates of an NpuLaw, and how sure the law is in it."""

    matrix: Positive
    vector: Positive
    dispatch: Positive
    overlap: Positive | None = None
    """Of the law's exponent, if it differs: with half the bytes, weights of more operators are fetched ahead."""
    spread: Positive
    """Factor either way that holds 90 % of whole models that were not fitted."""


class Fit(Strict):
    """What parameters were fitted to, and how well they do: errors are medians over whole models, as fractions."""

    data: str
    devices: tuple[str, ...]
    models: tuple[str, ...]
    median_error: float
    cross_validated_error: float


class RatedAt(Strict):
    """The unit's own numbers for which the rates of an NpuLaw hold: a changed number changes them in proportion."""

    peak_gmac_per_s: dict[str, float]
    """By dtype, for what the matrix unit does."""
    peak_gop_per_s: dict[str, float]
    """By dtype, for what the vector units compute."""
    on_chip_gb_per_s: float
    """For what they move."""


class NpuLaw(Strict):
    """How fast an accelerator with a matrix and a vector unit is; `devices.npu_law` is the law."""

    rate_g_per_s: dict[str, Positive]
    """What each term of `devices.npu_terms` counts, 10^9 a second."""
    speed: Positive
    """Of everything but memory, beside the rates and fixed costs: 1 on the chip they were fitted on."""
    vector_speed: Positive | None = None
    """Of the terms of the vector units, if it is not `speed`: their number may have changed by another factor."""
    token_dispatch_us: Number
    """Fixed cost of an operator that works on tokens; `dispatch_us` is that of one on images."""
    working_bytes: Positive
    """Fast memory: an operator that touches more than this reads and writes DRAM."""
    spilled_cast_gb_per_s: Positive | None = None
    """Rate of casting an input or output that does not fit into fast memory, if it is not the unit's
    `cast_gb_per_s`; in bytes of the tensor as it is read."""
    overlap: Positive
    """Exponent p of (work^p + memory^p)^(1/p): 1 adds, a large one hides the shorter behind the longer."""
    dtypes: dict[str, DtypeFactors]
    at: RatedAt
    fit: dict[str, Fit] = Field(default_factory=dict)
    """By dtype."""
