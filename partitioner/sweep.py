"""The placement problem solved exactly without an integer program: dynamic programming along the execution order.

A state holds all that later operators can depend on: which unit has the floor, where each tensor still to be read
lies and where it has been copied to, and which fusions have begun. Networks keep few tensors alive at a time, so there
are few states. It shares nothing with the integer program but the problem, and so is its oracle.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from partita.errors import PlacementError
from partita.partitioner.problem import HOST, Problem, Tensor

NOBODY = -1
"""Has the floor before the first call."""
MOST_STATES = 50_000

Lying = tuple[int, int, frozenset[int]]
"""A tensor to be read later: its number, the location that made it, the locations that have it by now."""
Begun = tuple[int, int]
"""An operator still to come and the candidate, chosen already, that covers it."""


@dataclass(frozen=True, slots=True)
class State:
    floor: int
    lying: tuple[Lying, ...]
    begun: tuple[Begun, ...]


@dataclass(frozen=True, slots=True)
class _Best:
    """The least time in which a state is reached, and how."""

    time_us: float
    candidate: int
    before: "_Best | None"


def solve_by_sweep(problem: Problem) -> tuple[tuple[int, ...], float]:
    """The best choice of candidates and its time in microseconds.

    Raises PlacementError if no choice exists, or if the problem keeps so many tensors alive that there would be more
    than MOST_STATES states.
    """
    sweep = Sweep(problem)
    states: dict[State, _Best] = {sweep.start(): _Best(problem.fixed_us, -1, None)}
    for operator in range(problem.operators):
        states = sweep.step(operator, states)
        if len(states) > MOST_STATES:
            raise PlacementError(f"more than {MOST_STATES} states at operator {operator}: too many tensors are alive")
        if not states:
            raise PlacementError("no choice of kernels covers every operator")
    best = min(states.values(), key=lambda best: best.time_us)
    return _chosen(best), best.time_us


def _chosen(best: _Best) -> tuple[int, ...]:
    chosen: set[int] = set()
    link: _Best | None = best
    while link is not None and link.candidate >= 0:
        chosen.add(link.candidate)
        link = link.before
    return tuple(sorted(chosen))


class Sweep:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.made_by: list[list[int]] = [[] for _ in range(problem.operators)]
        self.read_by: list[list[int]] = [[] for _ in range(problem.operators)]
        self.last_reader: list[int] = []
        for number, tensor in enumerate(problem.tensors):
            if tensor.producer != HOST:
                self.made_by[tensor.producer].append(number)
            for consumer in tensor.consumers:
                if consumer != HOST:
                    self.read_by[consumer].append(number)
            self.last_reader.append(max(tensor.consumers))

    def start(self) -> State:
        host = self.problem.host
        inputs = [
            (number, host, frozenset((host,)))
            for number, tensor in enumerate(self.problem.tensors)
            if tensor.producer == HOST and self.last_reader[number] != HOST
        ]
        return State(NOBODY, tuple(inputs), ())

    def step(self, operator: int, states: dict[State, _Best]) -> dict[State, _Best]:
        """The states after `operator`."""
        found: dict[State, _Best] = {}
        for state, best in states.items():
            for candidate, after, more_us in self.moves(operator, state):
                time_us = best.time_us + more_us
                known = found.get(after)
                if known is None or time_us < known.time_us:
                    found[after] = _Best(time_us, candidate, best)
        return found

    def moves(self, operator: int, state: State) -> Iterator[tuple[int, State, float]]:
        """The candidates that may cover `operator`, each with the state after it and the time that it adds."""
        begun = dict(state.begun)
        for candidate in (begun[operator],) if operator in begun else self._beginning_at(operator):
            if self._fits(candidate, operator, begun):
                yield candidate, *self._after(operator, candidate, state)

    def _beginning_at(self, operator: int) -> tuple[int, ...]:
        candidates = self.problem.candidates
        return tuple(c for c in self.problem.covering[operator] if candidates[c].operators[0] == operator)

    def _fits(self, candidate: int, operator: int, begun: dict[int, int]) -> bool:
        """No later operator of it has been promised to another candidate."""
        later = (i for i in self.problem.candidates[candidate].operators if i > operator)
        return all(begun.get(i, candidate) == candidate for i in later)

    def _after(self, operator: int, number: int, state: State) -> tuple[State, float]:
        """The state after `operator` is covered by candidate `number`, and the time that adds."""
        problem = self.problem
        candidate = problem.candidates[number]
        location, floor, more_us = candidate.location, state.floor, 0.0
        if candidate.operators[-1] == operator:
            unit = problem.unit_of_location[location]
            more_us += candidate.cost_us + (problem.call_us[unit] if unit != floor else 0.0)
            floor = unit
        lying: list[Lying] = []
        for tensor, source, places in state.lying:
            if tensor in self.read_by[operator] and location not in places:
                more_us += problem.tensors[tensor].transfer_us[source][location]
                places = places | {location}
            if self.last_reader[tensor] > operator:
                lying.append((tensor, source, places))
        for tensor in self.made_by[operator]:
            places, to_host_us = self._made(problem.tensors[tensor], location)
            more_us += to_host_us
            if self.last_reader[tensor] > operator:
                lying.append((tensor, location, places))
        begun = {i: c for i, c in state.begun if i > operator}
        begun.update((i, number) for i in candidate.operators if i > operator)
        return State(floor, tuple(sorted(lying, key=lambda t: t[0])), tuple(sorted(begun.items()))), more_us

    def _made(self, tensor: Tensor, location: int) -> tuple[frozenset[int], float]:
        """Where a new tensor lies; a model output goes to the host at once."""
        host = self.problem.host
        if HOST not in tensor.consumers or location == host:
            return frozenset((location,)), 0.0
        return frozenset((location, host)), tensor.transfer_us[location][host]
