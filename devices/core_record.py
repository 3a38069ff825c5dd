"""What a Soc file says of the kernels of a CPU core that `devices.core_law` describes."""

from typing import Literal, Self

from pydantic import Field, model_validator

from partita.devices.number import Strict

FALLBACK = "class_"
"""The key of a kind that stands for all operators of a class that have none of their own."""


class KernelTime(Strict):
    """How long kernels of one kind take: a sum over what they have to do."""

    us: dict[str, float]
    """Microseconds for each count of `devices.core_terms`."""
    low: float = Field(gt=0, le=1)
    high: float = Field(ge=1)
    """Factors between which most of the kernels timed lie."""
    kind: Literal["vendor", "measured", "derived", "estimated"]
    source: str = Field(min_length=1)

    @model_validator(mode="after")
    def _takes_time(self) -> Self:
        below = [term for term, us in self.us.items() if us < 0]
        if below:
            raise ValueError(f"us.{below[0]} must be at least 0, is {self.us[below[0]]:g}")
        return self
