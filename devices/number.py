"""Records read from files, and numbers that say what kind of evidence they are and where they come from."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class Strict(BaseModel):
    """A frozen record that refuses unknown fields, wrong types, infinities and NaN."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class Number(Strict):
    """A quantity with the range in which it may lie, and its evidence; the unit of measure is in the field's name."""

    value: float
    low: float | None = None
    high: float | None = None
    kind: Literal["vendor", "measured", "derived", "estimated"]
    source: str = Field(min_length=1)

    @property
    def least(self) -> float:
        return self.value if self.low is None else self.low

    @property
    def most(self) -> float:
        return self.value if self.high is None else self.high

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if not 0 <= self.least <= self.value <= self.most:
            raise ValueError(f"0 <= low <= value <= high must hold, is {self.least:g}, {self.value:g}, {self.most:g}")
        return self


def _above_zero(number: Number) -> Number:
    if number.least <= 0:
        raise ValueError(f"must be above 0, is {number.least:g}")
    return number


Positive = Annotated[Number, AfterValidator(_above_zero)]
"""A Number that divides something: its whole range is above 0."""
