"""Quantised arithmetic: how a floating-point operator is stored and computed in integers at a location."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How activations and weights become integers. Sums are exact; each result is rounded once to its own grid."""

    activation_bits: int
    is_symmetric: bool
    """Activations have zero in the middle of their range, as signed integers; else the range is used in full."""
    weight_bits: int
    is_per_channel: bool
    """Weights have a scale for each output channel; else one for all."""


SCHEMES: dict[str, Scheme] = {
    "int8": Scheme(activation_bits=8, is_symmetric=False, weight_bits=8, is_per_channel=True),
    "int8_symmetric": Scheme(activation_bits=8, is_symmetric=True, weight_bits=8, is_per_channel=True),
    "int8_per_tensor": Scheme(activation_bits=8, is_symmetric=False, weight_bits=8, is_per_channel=False),
    "w8a16": Scheme(activation_bits=16, is_symmetric=False, weight_bits=8, is_per_channel=True),
    "w4a16": Scheme(activation_bits=16, is_symmetric=False, weight_bits=4, is_per_channel=True),
}
"""The quantised dtypes of locations by name. Phone NPUs call `int8`, `w8a16` and `w4a16` A8W8, A16W8 and A16W4."""


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the greatest value that a tensor took while it was observed."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that a quantised tensor can have: (code - zero_point) x scale for codes of `bits` bits."""

    scale: float
    zero_point: int
    bits: int
    is_signed: bool

    @property
    def least_code(self) -> int:
        return -(1 << (self.bits - 1)) if self.is_signed else 0

    @property
    def greatest_code(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.is_signed else (1 << self.bits) - 1


def grid_of(observed: Range, scheme: Scheme) -> Grid:
    """The grid that spans an observed range and holds zero exactly.

    Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", CVPR 2018, section 2.1.
    """
    low, high = min(observed.low, 0.0), max(observed.high, 0.0)
    bits = scheme.activation_bits
    if scheme.is_symmetric:
        return Grid(max(-low, high) / ((1 << (bits - 1)) - 1) or 1.0, 0, bits, True)
    scale = (high - low) / ((1 << bits) - 1) or 1.0
    return Grid(scale, round(-low / scale), bits, False)
