"""How tensors lie at a location and how operators are computed there: in a floating-point type or quantised."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from partita.errors import ModelError
from partita.graph.dtypes import is_floating, name_of_numpy, numpy_of_name
from partita.graph.ir import Node
from partita.graph.quantisation import SCHEMES, Range, Scheme, grid_of
from partita.kernels.executor import compute
from partita.kernels.program import as_float32, from_float32
from partita.kernels.quantised import Quantised, compute_quantised, quantise


class Storage(Protocol):
    """The arithmetic of one location."""

    def stored(self, name: str, tensor: Any) -> Any:
        """The tensor `name` as it lies here; tensors that are no floats stay as they are."""

    def constant(self, array: Any) -> Any:
        """A constant as operators here read it."""

    def compute(self, node: Node, inputs: Sequence[Any], outer: Mapping[str, Any] | None) -> tuple[Any, ...]:
        """The outputs of one operator on tensors that lie here, not yet stored."""


def storage_of(dtype: str, ranges: Mapping[str, Range]) -> Storage:
    """The arithmetic of a location of this dtype; a quantised one needs the ranges of the tensors that lie there."""
    if dtype in SCHEMES:
        return QuantisedStorage(SCHEMES[dtype], ranges)
    return FloatStorage(dtype)


@dataclass(frozen=True, slots=True)
class FloatStorage:
    """Floating-point tensors in one type; each result is rounded to it once."""

    dtype: str

    def stored(self, name: str, tensor: Any) -> Any:
        return self.constant(tensor)

    def constant(self, array: Any) -> Any:
        plain = array.values() if isinstance(array, Quantised) else array
        if not isinstance(plain, np.ndarray) or not is_floating(name_of_numpy(plain.dtype)):
            return plain
        wanted = numpy_of_name(self.dtype)
        if plain.dtype == wanted:
            return plain
        return from_float32(plain if plain.dtype == np.float32 else as_float32(plain), wanted)

    def compute(self, node: Node, inputs: Sequence[Any], outer: Mapping[str, Any] | None) -> tuple[Any, ...]:
        return compute(node, inputs, outer)


@dataclass(frozen=True, slots=True)
class QuantisedStorage:
    """Floating-point tensors as codes on a grid that spans the range seen in calibration."""

    scheme: Scheme
    ranges: Mapping[str, Range]

    def stored(self, name: str, tensor: Any) -> Any:
        if isinstance(tensor, Quantised):
            tensor = tensor.values()
        if not isinstance(tensor, np.ndarray) or not is_floating(name_of_numpy(tensor.dtype)):
            return tensor
        if name not in self.ranges:
            raise ModelError(
                f"tensor {name!r} is quantised, but calibration did not see it: give the plan's own ranges"
            )
        return quantise(tensor, grid_of(self.ranges[name], self.scheme))

    def constant(self, array: Any) -> Any:
        return array

    def compute(self, node: Node, inputs: Sequence[Any], outer: Mapping[str, Any] | None) -> tuple[Any, ...]:
        if node.regions and node.body is None:
            plain = [x.values() if isinstance(x, Quantised) else x for x in inputs]
            around = {k: v.values() if isinstance(v, Quantised) else v for k, v in (outer or {}).items()}
            return compute(node, plain, around)
        return compute_quantised(node, inputs, self.scheme)
