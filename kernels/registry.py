"""The registry of kernels: `@kernel(op, since=N)` on one plain function per operator."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from partita.errors import UnsupportedOperatorError

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Kernel:
    """How one operator is computed.

    `function` takes the ONNX inputs by position (`None` for an absent optional one) and the attributes by keyword
    with the standard's names and defaults; it returns one array, or a tuple with one entry per output.
    """

    op: str
    domain: str
    since: int
    function: Callable[..., Any]
    widen: bool
    """float16 and bfloat16 inputs are given as float32, and each result is rounded once to its own dtype."""
    takes_output_count: bool
    """The function has a keyword `n_outputs`: how many outputs the node names."""


_KERNELS: dict[tuple[str, str], list[Kernel]] = {}


def kernel(op: str, *, domain: str = "", since: int = 1, widen: bool = True) -> Callable[[Function], Function]:
    """Register a function as the kernel of `op` from opset `since` on; a second registration raises ValueError."""

    def register(function: Function) -> Function:
        versions = _KERNELS.setdefault((domain, op), [])
        if any(known.since == since for known in versions):
            raise ValueError(f"a kernel for {domain}::{op} since {since} is registered already")
        takes_output_count = "n_outputs" in inspect.signature(function).parameters
        versions.append(Kernel(op, domain, since, function, widen, takes_output_count))
        versions.sort(key=lambda known: -known.since)
        return function

    return register


def kernel_for(op: str, domain: str = "", version: int = 1_000_000) -> Kernel:
    """The kernel of `op` as opset `version` defines it; UnsupportedOperatorError if there is none."""
    for known in _KERNELS.get((domain, op), ()):
        if known.since <= version:
            return known
    raise UnsupportedOperatorError(f"no kernel for operator {domain or 'ai.onnx'}::{op} at opset {version}")


def has_kernel(op: str, domain: str = "", version: int = 1_000_000) -> bool:
    return any(known.since <= version for known in _KERNELS.get((domain, op), ()))
