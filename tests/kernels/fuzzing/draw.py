"""Random operators: how they are drawn, and the registry of those that are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]


def int64(numbers: Any) -> Array:
    return np.array(numbers, np.int64)


def float32(numbers: Any) -> Array:
    return np.array(numbers, np.float32)


@dataclass(frozen=True, eq=False)
class Case:
    """One operator on its inputs, and how near to onnxruntime's its outputs must be."""

    op: str
    inputs: tuple[Array | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1
    domain: str = ""
    tolerance: float = 1e-5
    """Relative to the largest magnitude of the expected output, or 1 if that is larger; for floating point."""
    steps: int = 0
    """How far integers may be off, where both round a floating-point number."""

    def __str__(self) -> str:
        given = ", ".join("-" if x is None else f"{x.dtype.name}{list(x.shape)}" for x in self.inputs)
        return f"{self.op}-{self.opset}({given}) {dict(self.attributes)}"


class Draw:
    """Random choices from one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """Between `low` and `high`, both included."""
        return int(self.generator.integers(low, high + 1))

    def integers(self, count: int, low: int, high: int) -> list[int]:
        return [self.integer(low, high) for _ in range(count)]

    def pick(self, *choices: Any) -> Any:
        return choices[self.integer(0, len(choices) - 1)]

    def chance(self, probability: float = 0.5) -> bool:
        return bool(self.generator.random() < probability)

    def number(self, low: float, high: float) -> float:
        return float(np.float32(self.generator.uniform(low, high)))

    def shape(self, fewest: int = 0, most: int = 4, largest: int = 6) -> Shape:
        """A shape of `fewest` to `most` dimensions; one in thirty has an empty dimension."""
        sizes = self.integers(self.integer(fewest, most), 1, largest)
        if sizes and self.chance(1 / 30):
            sizes[self.integer(0, len(sizes) - 1)] = 0
        return tuple(sizes)

    def axis(self, rank: int) -> int:
        return self.integer(-rank, rank - 1)

    def axes(self, rank: int) -> list[int]:
        """At least one axis, each counted from the front or from the back."""
        chosen = self.generator.permutation(rank)[: self.integer(1, max(rank, 1))]
        return [int(axis) - (rank if self.chance(0.3) else 0) for axis in chosen]

    def broadcastable(self, shape: Sequence[int]) -> Shape:
        """A shape that broadcasts to `shape`."""
        start = self.integer(0, len(shape)) if self.chance(0.4) else 0
        return tuple(1 if self.chance(0.25) else size for size in shape[start:])

    def tensor(self, shape: Sequence[int], dtype: Any = np.float32, low: float = -3, high: float = 3) -> Array:
        """Numbers between `low` and `high`, spread evenly."""
        dtype = np.dtype(dtype)
        if dtype.kind == "b":
            return self.generator.integers(0, 2, shape).astype(bool)
        if dtype.kind in "iu":
            least = max(int(low), 0) if dtype.kind == "u" else int(low)
            return self.generator.integers(least, max(int(high), least) + 1, shape).astype(dtype)
        return np.asarray(self.generator.uniform(low, high, shape)).astype(dtype)

    def bytes(self, shape: Sequence[int], dtype: Any) -> Array:
        """Integers over the whole range of an 8-bit dtype."""
        limits = np.iinfo(dtype)
        return self.generator.integers(limits.min, limits.max + 1, shape).astype(dtype)


Generator = Callable[[Draw], Case]
GENERATORS: dict[str, Generator] = {}
"""By the name of what they draw: an operator, or several of one form."""


def draws(name: str) -> Callable[[Generator], Generator]:
    """Register a function that draws cases; a second one of the name raises ValueError."""

    def register(generator: Generator) -> Generator:
        if name in GENERATORS:
            raise ValueError(f"{name} is drawn already")
        GENERATORS[name] = generator
        return generator

    return register


def draw_case(seed: int) -> Case:
    """The case of a seed; the operators take turns."""
    names = sorted(GENERATORS)
    return GENERATORS[names[seed % len(names)]](Draw(seed))
