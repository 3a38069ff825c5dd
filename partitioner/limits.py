"""The user's wishes, and what the Soc demands, as constraints on the plain-number problem."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from partita.devices import Soc
from partita.errors import PlacementError
from partita.graph.ir import Graph
from partita.graph.plan import Limit
from partita.partitioner.candidates import Formulation
from partita.partitioner.constraints import (
    Constraint,
    Deadline,
    Forbidden,
    LeastSegment,
    MemoryLimit,
    MostSegments,
    NoiseBudget,
    Together,
    noise_of_snr,
)
from partita.partitioner.wishes import OfUnit, Rule, Wishes, is_like
from partita.units import BYTES_PER_MB, US_PER_MS


@dataclass(frozen=True, slots=True)
class Named:
    """A constraint and how people are told of it."""

    constraint: Constraint
    option: str
    """On the command line: "--deadline-ms"; or where in the Soc it stands."""
    unit: str
    """Unit of measure of its numbers as people read them."""

    def told(self, number: float) -> float:
        """A demand or limit of the constraint as people read it."""
        if isinstance(self.constraint, Deadline):
            return number / US_PER_MS
        if isinstance(self.constraint, MemoryLimit):
            return number / BYTES_PER_MB
        if isinstance(self.constraint, NoiseBudget):
            return -10.0 * math.log10(number) if number > 0 else math.inf
        if isinstance(self.constraint, LeastSegment):
            return self.constraint.size - number
        return number


def named_limits(formulation: Formulation, soc: Soc, wishes: Wishes) -> tuple[Named, ...]:
    """The constraints beside pins and bans, which leave no candidates to choose."""
    found = [*_of_whole(formulation.graph, wishes), *_of_units(soc, wishes), *_of_soc(soc)]
    return tuple(found)


def _of_whole(graph: Graph, wishes: Wishes) -> Iterator[Named]:
    if wishes.deadline_ms is not None:
        option = f"--deadline-ms {wishes.deadline_ms:g}"
        yield Named(Deadline(option, wishes.deadline_ms * US_PER_MS), "--deadline-ms", "ms")
    if wishes.min_snr_db is not None:
        option = f"--min-snr {wishes.min_snr_db:g}"
        yield Named(NoiseBudget(option, noise_of_snr(wishes.min_snr_db)), "--min-snr", "dB")
    for pattern in wishes.together:
        group = tuple(i for i, node in enumerate(graph.nodes) if is_like(node, pattern))
        if not group:
            raise PlacementError(f"--together {pattern!r}: no operator of {graph.name!r} has a name or type like that")
        yield Named(Together(f"--together {pattern}", group), "--together", "units")


def _of_units(soc: Soc, wishes: Wishes) -> Iterator[Named]:
    for limit in wishes.max_segments:
        unit = _index(soc, limit.unit) if limit.unit else None
        option = f"--max-segments {limit}"
        yield Named(MostSegments(option, limit.number, unit), _option("--max-segments", limit.unit), "segments")
    for limit in wishes.min_segment:
        for name in [limit.unit] if limit.unit else [unit.name for unit in soc.units if unit.name != soc.host]:
            option = f"--min-segment {OfUnit(name, limit.number)}"
            least = LeastSegment(option, _index(soc, name), round(limit.number))
            yield Named(least, _option("--min-segment", name), "operators")
    for limit in wishes.memory:
        option = f"--memory {limit.unit}={limit.number / BYTES_PER_MB:g}MB"
        constraint = MemoryLimit(option, limit.number, _index(soc, limit.unit))
        yield Named(constraint, _option("--memory", limit.unit), "MB")


def _of_soc(soc: Soc) -> Iterator[Named]:
    for u, unit in enumerate(soc.units):
        if unit.max_segments is not None:
            where = f"max_segments of unit {unit.name} in the Soc"
            yield Named(MostSegments(where, unit.max_segments.value, u), where, "segments")
        if unit.memory_bytes is not None:
            where = f"memory_bytes of unit {unit.name} in the Soc"
            yield Named(MemoryLimit(where, unit.memory_bytes.value, u), where, "MB")


def _option(option: str, unit: str) -> str:
    return f"{option} {unit}" if unit else option


def _index(soc: Soc, name: str) -> int:
    return soc.units.index(soc.unit_named(name))


def limits_of(formulation: Formulation, limits: Sequence[Named], chosen: Sequence[int]) -> tuple[Limit, ...]:
    """What a choice needs of each constraint."""
    problem = formulation.problem
    return tuple(
        Limit(
            option=named.option,
            demand=_finite(named.told(named.constraint.demand(problem, chosen))),
            limit=_finite(named.told(named.constraint.limit)),
            unit=named.unit,
        )
        for named in limits
    )


NO_NOISE_DB = 999.0
"""Told for the signal-to-noise ratio of a plan that adds no noise at all."""


def _finite(number: float) -> float:
    return min(float(number), NO_NOISE_DB) if number == math.inf else float(number)


def rules_as_limits(formulation: Formulation, wishes: Wishes) -> tuple[Named, ...]:
    """Pins and bans as constraints on a problem that was formulated without them."""
    rules: list[tuple[str, Rule, bool]] = [("--pin", rule, True) for rule in wishes.pins]
    rules += [("--ban", rule, False) for rule in wishes.bans]
    return tuple(_rule_as_limit(formulation, option, rule, only=only) for option, rule, only in rules)


def _rule_as_limit(formulation: Formulation, option: str, rule: Rule, *, only: bool) -> Named:
    concerned = {i for i, node in enumerate(formulation.graph.nodes) if rule.concerns(node)}
    forbidden = tuple(
        c
        for c, candidate in enumerate(formulation.problem.candidates)
        if concerned & set(candidate.operators)
        and (formulation.locations[candidate.location].unit == rule.unit) != only
    )
    return Named(Forbidden(f"{option} {rule}", forbidden), f"{option} {rule}", "kernels")
