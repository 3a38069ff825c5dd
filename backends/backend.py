"""What a backend is: something that loads the sub-model of a segment and runs it on tensors."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from partita.devices import Unit
from partita.errors import BackendError
from partita.graph.pieces import Piece
from partita.graph.quantisation import SCHEMES, Range

Run = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Inputs of a sub-model by name -> its outputs by name, both in the model's own dtypes."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class SubModel:
    """A segment for a backend: as a graph with its fused operators, and as an ONNX file of primitives."""

    piece: Piece
    path: Path
    unit: Unit
    ranges: Mapping[str, Range] = field(default_factory=dict)
    """Of the tensors that the plan quantises."""

    @property
    def title(self) -> str:
        return f"segment {self.piece.segment.index} of {self.unit.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A way to run segments."""

    name: str
    title: str
    packages: tuple[str, ...]
    """Modules that must be installed."""
    extra: str
    """The extra of this project that brings them."""
    precision: str | None
    """What it computes floating-point operators in, whatever the plan says; None if it does as the plan says."""
    load: Callable[[SubModel], Run]

    @property
    def missing(self) -> tuple[str, ...]:
        """The packages that it needs and that are not installed."""
        return tuple(package for package in self.packages if find_spec(package) is None)


LONGEST_ERROR = 300
"""Characters of a backend's own words in an error of ours."""
BACKENDS: dict[str, Backend] = {}
"""By name, in the order in which they are listed."""
Load = Callable[[SubModel], Run]


def backend(
    name: str, title: str, *, packages: tuple[str, ...] = (), extra: str = "", precision: str | None = None
) -> Callable[[Load], Load]:
    """Registers a loader; a second one of the same name is an error of the programmer."""

    def register(load: Load) -> Load:
        if name in BACKENDS:
            raise ValueError(f"backend {name!r} is registered twice")
        BACKENDS[name] = Backend(name=name, title=title, packages=packages, extra=extra, precision=precision, load=load)
        return load

    return register


def backend_called(name: str) -> Backend:
    """The backend of that name, ready to be used; BackendError if there is none or it is not installed."""
    if name not in BACKENDS:
        raise BackendError(f"there is no backend {name!r}; there are {', '.join(BACKENDS)}")
    found = BACKENDS[name]
    if found.missing:
        raise BackendError(
            f"the backend {name} needs {' and '.join(found.missing)}, not installed here: "
            f"pip install 'partita[{found.extra}]'"
        )
    return found


def check_takes(found: Backend, piece: Piece) -> None:
    """BackendError if the plan quantises operators of the segment and the backend cannot compute as it says."""
    quantised = [dtype for dtype in piece.dtypes if dtype in SCHEMES]
    if quantised and found.precision is not None:
        raise BackendError(
            f"the plan computes segment {piece.segment.index} on {piece.unit} in {quantised[0]}, which {found.name} "
            f"does not know: run it with {piece.unit}=numpy, or place the model without --allow"
        )
