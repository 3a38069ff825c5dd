"""The placement problem in plain numbers: what solvers and baselines see. It knows no ONNX and no device.

Operators are numbered 0..n-1 in the order in which they run, locations and units likewise; times are in microseconds.
`docs/formulation.md` states the objective in the same names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

HOST = -1
"""As a tensor's producer: a model input. As a consumer: the host wants the tensor back as a model output."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One legal way to run operators: as one kernel call at one location."""

    operators: tuple[int, ...]
    """Ascending; the last is the sink, and the call runs where the sink stands in the order."""
    location: int
    cost_us: float


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation that operators exchange."""

    producer: int
    """An operator, or HOST."""
    consumers: tuple[int, ...]
    """Operators, ascending; HOST may stand first."""
    transfer_us: tuple[tuple[float, ...], ...]
    """[location it is made at][location it is wanted at]; zero on the diagonal; paid once per wanting location."""


@dataclass(frozen=True)
class Problem:
    """Choose candidates that cover every operator exactly once, for the least time of one inference."""

    operators: int
    unit_of_location: tuple[int, ...]
    host: int
    """The location of model inputs and outputs."""
    call_us: tuple[float, ...]
    """Per unit, the fixed cost of each maximal run of kernel calls on it."""
    fixed_us: float
    """Paid once whatever is chosen."""
    candidates: tuple[Candidate, ...]
    tensors: tuple[Tensor, ...]

    @cached_property
    def covering(self) -> tuple[tuple[int, ...], ...]:
        """Per operator, the candidates that cover it."""
        found: list[list[int]] = [[] for _ in range(self.operators)]
        for index, candidate in enumerate(self.candidates):
            for operator in candidate.operators:
                found[operator].append(index)
        return tuple(tuple(candidates) for candidates in found)

    @cached_property
    def locations_of(self) -> tuple[tuple[int, ...], ...]:
        """Per operator, the locations at which some candidate runs it, ascending."""
        return tuple(tuple(sorted({self.candidates[c].location for c in covering})) for covering in self.covering)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The exact time of a choice of candidates, taken apart."""

    kernels_us: float
    calls_us: float
    transfers_us: float
    fixed_us: float
    segments: tuple[tuple[int, tuple[int, ...]], ...]
    """(unit, candidates in the order in which they run)."""

    @property
    def total_us(self) -> float:
        return self.kernels_us + self.calls_us + self.transfers_us + self.fixed_us


def evaluate(problem: Problem, chosen: Sequence[int]) -> Evaluation:
    """The time of running the chosen candidates; ValueError if they do not cover every operator exactly once."""
    location_of: dict[int, int] = {}
    for index in chosen:
        candidate = problem.candidates[index]
        for operator in candidate.operators:
            if operator in location_of:
                raise ValueError(f"operator {operator} is covered twice")
            location_of[operator] = candidate.location
    if len(location_of) != problem.operators:
        raise ValueError(f"{problem.operators - len(location_of)} operators are not covered")
    segments = segments_of(problem, chosen)
    return Evaluation(
        kernels_us=sum(problem.candidates[index].cost_us for index in chosen),
        calls_us=sum(problem.call_us[unit] for unit, _ in segments),
        transfers_us=sum(us for tensor in problem.tensors for us in _transfers(problem, tensor, location_of)),
        fixed_us=problem.fixed_us,
        segments=segments,
    )


def segments_of(problem: Problem, chosen: Sequence[int]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Maximal runs of calls on one unit, in the order of the calls' sinks."""
    runs: list[tuple[int, list[int]]] = []
    for index in sorted(chosen, key=lambda i: problem.candidates[i].operators[-1]):
        unit = problem.unit_of_location[problem.candidates[index].location]
        if not runs or runs[-1][0] != unit:
            runs.append((unit, []))
        runs[-1][1].append(index)
    return tuple((unit, tuple(calls)) for unit, calls in runs)


def _transfers(problem: Problem, tensor: Tensor, location_of: dict[int, int]) -> list[float]:
    """Time of each transfer of one tensor: one per location that wants it and does not make it."""
    source = problem.host if tensor.producer == HOST else location_of[tensor.producer]
    wanted = {problem.host if c == HOST else location_of[c] for c in tensor.consumers}
    return [tensor.transfer_us[source][target] for target in sorted(wanted) if target != source]
