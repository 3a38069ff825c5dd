"""The placement problem in plain numbers: what solvers and baselines see. It knows no ONNX and no device.

Operators are numbered 0..n-1 in the order in which they run, locations and units likewise; times are in
microseconds, energies in millijoules. `docs/formulation.md` states the objective in the same names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    energy_mj: float = 0.0
    noise: float = 0.0
    """Power of the rounding noise it adds, over the power of what it computes."""
    weights: tuple[int, ...] = ()
    """The weights that it reads, which must lie at its location."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation that operators exchange."""

    producer: int
    """An operator, or HOST."""
    consumers: tuple[int, ...]
    """Operators, ascending; HOST may stand first."""
    transfer_us: tuple[tuple[float, ...], ...]
    """[location it is made at][location it is wanted at]; zero on the diagonal; paid once per wanting location."""
    transfer_mj: tuple[tuple[float, ...], ...] = ()
    """Energy in the same form; empty for none."""
    size_bytes: tuple[int, ...] = ()
    """Per location, what it takes there; empty for nothing."""
    stays: bool = False
    """Whether it is state: where it is made it lies from the beginning to the end."""


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
    call_mj: tuple[float, ...] = ()
    """Per unit, the energy of each segment's call; empty for none."""
    fixed_mj: float = 0.0
    weight_bytes: tuple[tuple[int, ...], ...] = ()
    """Per weight and location, what it takes there; held once per location, however many candidates read it."""

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


Move = tuple[Tensor, int, int]
"""A tensor, the location it leaves and the one it goes to."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The exact time of a choice of candidates, taken apart."""

    kernels_us: float
    calls_us: float
    transfers_us: float
    fixed_us: float
    segments: tuple[tuple[int, tuple[int, ...]], ...]
    """(unit, candidates in the order in which they run)."""
    energy_mj: float = 0.0
    noise: float = 0.0

    @property
    def total_us(self) -> float:
        return self.kernels_us + self.calls_us + self.transfers_us + self.fixed_us


def evaluate(problem: Problem, chosen: Sequence[int]) -> Evaluation:
    """The time of running the chosen candidates; ValueError if they do not cover every operator exactly once."""
    location_of = locations_of_choice(problem, chosen)
    segments = segments_of(problem, chosen)
    moves = [(tensor, a, b) for tensor in problem.tensors for a, b in transfers_of(problem, tensor, location_of)]
    return Evaluation(
        kernels_us=sum(problem.candidates[index].cost_us for index in chosen),
        calls_us=sum(problem.call_us[unit] for unit, _ in segments),
        transfers_us=sum(tensor.transfer_us[a][b] for tensor, a, b in moves),
        fixed_us=problem.fixed_us,
        segments=segments,
        energy_mj=_energy_mj(problem, chosen, segments, moves),
        noise=sum(problem.candidates[index].noise for index in chosen),
    )


def _energy_mj(
    problem: Problem, chosen: Sequence[int], segments: tuple[tuple[int, tuple[int, ...]], ...], moves: list[Move]
) -> float:
    calls_mj = sum(problem.call_mj[unit] for unit, _ in segments) if problem.call_mj else 0.0
    moves_mj = sum(tensor.transfer_mj[a][b] for tensor, a, b in moves if tensor.transfer_mj)
    return sum(problem.candidates[index].energy_mj for index in chosen) + calls_mj + moves_mj + problem.fixed_mj


def segments_of(problem: Problem, chosen: Sequence[int]) -> tuple[tuple[int, tuple[int, ...]], ...]:
    """Maximal runs of calls on one unit, in the order of the calls' sinks."""
    runs: list[tuple[int, list[int]]] = []
    for index in sorted(chosen, key=lambda i: problem.candidates[i].operators[-1]):
        unit = problem.unit_of_location[problem.candidates[index].location]
        if not runs or runs[-1][0] != unit:
            runs.append((unit, []))
        runs[-1][1].append(index)
    return tuple((unit, tuple(calls)) for unit, calls in runs)


def reordered(problem: Problem, order: Sequence[int]) -> Problem:
    """The same problem with its operators run in another order, in which every reader comes after what it reads.

    Candidates and tensors keep their numbers; the operators inside a candidate are renumbered like all others.
    """
    position = {HOST: HOST} | {operator: i for i, operator in enumerate(order)}
    candidates = tuple(
        Candidate(tuple(sorted([position[i] for i in c.operators])), c.location, c.cost_us, c.energy_mj, c.noise,
                  c.weights)
        for c in problem.candidates
    )  # fmt: skip
    tensors = tuple(
        Tensor(position[t.producer], tuple(sorted([position[i] for i in t.consumers])), t.transfer_us, t.transfer_mj,
               t.size_bytes, t.stays)
        for t in problem.tensors
    )  # fmt: skip
    return replace(problem, candidates=candidates, tensors=tensors)


def locations_of_choice(problem: Problem, chosen: Sequence[int]) -> dict[int, int]:
    """Where each operator runs; ValueError if one is covered twice or not at all."""
    location_of: dict[int, int] = {}
    for index in chosen:
        candidate = problem.candidates[index]
        for operator in candidate.operators:
            if operator in location_of:
                raise ValueError(f"operator {operator} is covered twice")
            location_of[operator] = candidate.location
    if len(location_of) != problem.operators:
        raise ValueError(f"{problem.operators - len(location_of)} operators are not covered")
    return location_of


def transfers_of(problem: Problem, tensor: Tensor, location_of: dict[int, int]) -> list[tuple[int, int]]:
    """(from, to) of each transfer of one tensor: one per location that wants it and does not make it."""
    source = problem.host if tensor.producer == HOST else location_of[tensor.producer]
    wanted = {problem.host if c == HOST else location_of[c] for c in tensor.consumers}
    return [(source, target) for target in sorted(wanted) if target != source]
