"""The random operators as hypothesis strategies: what fails is made smaller and remembered by its choices."""

from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.kernels.fuzzing import compare  # noqa: F401  (registers the generators)
from tests.kernels.fuzzing.draw import GENERATORS, Case, Draw

STEPS = 1 << 10
"""Probabilities and numbers are drawn in so many steps, for integers become smaller in the plainest way."""


class Chosen(Draw):
    """Choices that hypothesis makes; only the contents of tensors and orders of things come from a seed, also drawn."""

    def __init__(self, draw: st.DrawFn) -> None:
        super().__init__(draw(st.integers(0, 2**32 - 1)))
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def chance(self, probability: float = 0.5) -> bool:
        return self.integer(0, STEPS - 1) >= STEPS * (1 - probability)

    def number(self, low: float, high: float) -> float:
        return float(np.float32(low + (high - low) * self.integer(0, STEPS) / STEPS))


@st.composite
def cases(draw: st.DrawFn, kinds: tuple[str, ...] = ()) -> Case:
    """A case of any of the `kinds`, by default of all that can be drawn."""
    kind: Any = draw(st.sampled_from(kinds or tuple(sorted(GENERATORS))))
    return GENERATORS[kind](Chosen(draw))
