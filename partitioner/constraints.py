"""What a placement must keep besides covering every operator, in plain numbers: rows for the program, and a check.

Each constraint bounds a demand: `demand` is what a choice needs, `rows` are sums that may not exceed `limit`. So the
least limit with which a problem could be solved is itself a program: the rows with a slack, and the slack minimised.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from partita.partitioner.extra import Column, Extra, Key, Term
from partita.partitioner.memory import memory_rows, peak_bytes
from partita.partitioner.problem import Problem, evaluate, locations_of_choice, segments_of
from partita.partitioner.quantities import LATENCY, terms_of

Bound = tuple[list[Term], float]
"""A sum, and what it may be at most."""
SLACK: Key = ("own", "slack")
ROUNDING = 1e-6
"""A demand may exceed its limit by this share of it, as the solver's rows may."""


class Constraint(Protocol):
    """Something that a choice of candidates must keep."""

    @property
    def option(self) -> str:
        """What the user said, as on the command line."""

    @property
    def limit(self) -> float:
        """The demand may be this at most."""

    @property
    def is_relaxable(self) -> bool:
        """Whether another limit would be another constraint of the same kind."""

    def demand(self, problem: Problem, chosen: Sequence[int]) -> float:
        """What a choice needs."""

    def bounds(self, problem: Problem, extra: Extra) -> Iterator[Bound]:
        """Sums that may not exceed a number; `extra` takes the variables that they need."""


def add(constraint: Constraint, problem: Problem, extra: Extra) -> None:
    for terms, high in constraint.bounds(problem, extra):
        extra.at_most(terms, high)


def add_with_slack(constraint: Constraint, problem: Problem, extra: Extra) -> None:
    """The constraint with a limit that is higher by the variable SLACK."""
    extra.own("slack")
    for terms, high in constraint.bounds(problem, extra):
        extra.at_most([*terms, (SLACK, -1.0)], high)


def is_kept(constraint: Constraint, problem: Problem, chosen: Sequence[int]) -> bool:
    return constraint.demand(problem, chosen) <= constraint.limit + ROUNDING * max(1.0, abs(constraint.limit))


@dataclass(frozen=True, slots=True)
class Deadline:
    """One inference, units taking turns, takes at most `limit` microseconds."""

    option: str
    limit: float
    is_relaxable: bool = True

    def demand(self, problem: Problem, chosen: Sequence[int]) -> float:
        return evaluate(problem, chosen).total_us

    def bounds(self, problem: Problem, extra: Extra) -> Iterator[Bound]:
        terms, constant = terms_of(problem, LATENCY)
        yield terms, self.limit - constant


@dataclass(frozen=True, slots=True)
class NoiseBudget:
    """The powers of the rounding noise that the candidates add, each relative to its result, sum up to this at most."""

    option: str
    limit: float
    is_relaxable: bool = True

    def demand(self, problem: Problem, chosen: Sequence[int]) -> float:
        return sum(problem.candidates[c].noise for c in chosen)

    def bounds(self, problem: Problem, extra: Extra) -> Iterator[Bound]:
        """In shares of the budget: noise powers are too small for a solver's tolerance."""
        unit = self.limit if self.limit > 0 else 1.0
        yield [(("z", c), k.noise / unit) for c, k in enumerate(problem.candidates) if k.noise], self.limit / unit


@dataclass(frozen=True, slots=True)
class MostSegments:
    """At most `limit` segments, of one unit or of all."""

    option: str
    limit: float
    unit: int | None = None
    is_relaxable: bool = True

    def demand(self, problem: Problem, chosen: Sequence[int]) -> float:
        return sum(self.unit in (None, unit) for unit, _ in segments_of(problem, chosen))

    def bounds(self, problem: Problem, extra: Extra) -> Iterator[Bound]:
        units = range(len(problem.call_us)) if self.unit is None else (self.unit,)
        yield [(("s", i, u), 1.0) for i in range(problem.operators) for u in units], self.limit


@dataclass(frozen=True, slots=True)
class LeastSegment:
    """Every segment of a unit runs at least `size` operators of the model; the limit is on what the smallest lacks."""

    option: str
    unit: int
    size: int
    limit: float = 0.0
    is_relaxable: bool = True

    def demand(self, problem: Problem, chosen: Sequence[int]) -> float:
        sizes = [
            sum(len(problem.candidates[c].operators) for c in calls)
            for unit, calls in segments_of(problem, chosen)
            if unit == self.unit
        ]
        return max((self.size - size for size in sizes), default=0.0)

    def bounds(self, problem: Problem, extra: Extra) -> Iterator[Bound]:
        """A count that grows with every sink, starts anew with every segment and must suffice where one ends.

        `length[i] <= length[i-1] + operators run at i`, `<= operators run at i` where a segment of the unit starts,
        and `>= size` where the unit has the floor after i and not after i + 1. Rows for the limit alone have slack.
        """
        length = [extra.own("length", self.unit, i, column=Column(high=self.size)) for i in range(problem.operators)]
        run_at = _operators_run_at(problem, self.unit)
        for i, here in enumerate(length):
            run = [(key, -factor) for key, factor in run_at[i]]
            before: list[Term] = [(length[i - 1], -1.0)] if i else []
            extra.at_most([(here, 1.0), *before, *run], 0.0)
            start: Key = ("s", i, self.unit)
            extra.at_most([(here, 1.0), *run, (start, float(self.size))], float(self.size))
            end: list[Term] = [(("r", i, self.unit), float(self.size))]
            if i + 1 < problem.operators:
                end.append((("r", i + 1, self.unit), -float(self.size)))
            yield [*end, (here, -1.0)], self.limit


def _operators_run_at(problem: Problem, unit: int) -> list[list[Term]]:
    """Per operator, what a sink there brings to a segment of the unit."""
    found: list[list[Term]] = [[] for _ in range(problem.operators)]
    for c, candidate in enumerate(problem.candidates):
        if problem.unit_of_location[candidate.location] == unit:
            found[candidate.operators[-1]].append((("z", c), float(len(candidate.operators))))
    return found


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """What lies at a unit at any time, activations and weights, takes at most `limit` bytes; see `memory`."""

    option: str
    limit: float
    unit: int
    is_relaxable: bool = True

    def demand(self, problem: Problem, chosen: Sequence[int]) -> float:
        return peak_bytes(problem, chosen)[self.unit]

    def bounds(self, problem: Problem, extra: Extra) -> Iterator[Bound]:
        """In shares of the limit, so that the slack is one too."""
        unit_bytes = max(self.limit, 1.0)
        for terms, given_bytes in memory_rows(problem, self.unit, extra, self.limit):
            yield [(key, factor / unit_bytes) for key, factor in terms], (self.limit - given_bytes) / unit_bytes


@dataclass(frozen=True, slots=True)
class Together:
    """All operators of a group run on one unit."""

    option: str
    group: tuple[int, ...]
    limit: float = 1.0
    is_relaxable: bool = False

    def demand(self, problem: Problem, chosen: Sequence[int]) -> float:
        location_of = locations_of_choice(problem, chosen)
        return len({problem.unit_of_location[location_of[i]] for i in self.group})

    def bounds(self, problem: Problem, extra: Extra) -> Iterator[Bound]:
        for i, j in zip(self.group, self.group[1:], strict=False):
            for u in range(len(problem.call_us)):
                yield [*_on_unit(problem, i, u, 1.0), *_on_unit(problem, j, u, -1.0)], 0.0


def _on_unit(problem: Problem, operator: int, unit: int, factor: float) -> list[Term]:
    candidates = ((c, problem.candidates[c].location) for c in problem.covering[operator])
    return [(("z", c), factor) for c, a in candidates if problem.unit_of_location[a] == unit]


@dataclass(frozen=True, slots=True)
class Forbidden:
    """Candidates that may not be chosen."""

    option: str
    candidates: tuple[int, ...]
    limit: float = 0.0
    is_relaxable: bool = False

    def demand(self, problem: Problem, chosen: Sequence[int]) -> float:
        return len(set(self.candidates).intersection(chosen))

    def bounds(self, problem: Problem, extra: Extra) -> Iterator[Bound]:
        yield [(("z", c), 1.0) for c in self.candidates], 0.0


def noise_of_snr(snr_db: float) -> float:
    """The noise power over the signal's that a signal-to-noise ratio allows.

    >>> noise_of_snr(40.0)
    0.0001
    """
    return math.pow(10.0, -snr_db / 10.0)
