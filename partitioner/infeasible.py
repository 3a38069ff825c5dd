"""Why no placement keeps all constraints: a smallest set of them that clash, what each would need, and what mends it.

The set is found by a deletion filter: a constraint without which there is still no placement is left out, and what
remains at the end cannot spare any of its members. Source: Chinneck and Dravnieks, "Locating Minimal Infeasible
Constraint Sets in Linear Programs", ORSA Journal on Computing 3 (1991). What a member would need beside all the other
constraints is the least slack that lets them be kept.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from partita.errors import InfeasiblePlacementError, PlacementError
from partita.partitioner import ilp
from partita.partitioner.constraints import SLACK, add, add_with_slack
from partita.partitioner.extra import Extra
from partita.partitioner.limits import Named
from partita.partitioner.problem import Problem

GAP = 1e-3
"""To which what a constraint would need is proven."""


@dataclass(frozen=True, slots=True)
class Clash:
    """One member of the set that cannot be kept together."""

    option: str
    limit: float
    need: float | None
    """What would let the others be kept; None if it can only be dropped, or if that was not found in time."""
    unit: str

    def __str__(self) -> str:
        if self.need is None:
            return f"dropping {self.option} would do"
        return f"{self.option} is {self.limit:g} {self.unit}, {_safely_rounded(self.need, self.limit):g} would do"


def _safely_rounded(need: float, limit: float) -> float:
    """To four digits, away from the limit that was too tight.

    >>> _safely_rounded(7.00001, 5.0), _safely_rounded(39.99999, 50.0)
    (7.001, 39.99)
    """
    if need == 0:
        return need
    scale = 10.0 ** (3 - math.floor(math.log10(abs(need))))
    return (math.ceil if need > limit else math.floor)(round(need * scale, 6)) / scale


def explain(problem: Problem, named: Sequence[Named], time_limit_s: float) -> InfeasiblePlacementError:
    """The error that says which constraints of an infeasible problem clash."""
    ends = time.perf_counter() + time_limit_s
    kept = list(named)
    for one in named:
        others = [other for other in kept if other is not one]
        if not _is_feasible(problem, others, ends):
            kept = others
    clashes = tuple(_clash(problem, one, named, kept, ends) for one in kept)
    told = "; ".join(map(str, clashes))
    verb = "keeps" if len(clashes) == 1 else "keeps all of"
    options = ", ".join(one.constraint.option for one in kept)
    return InfeasiblePlacementError(f"no placement {verb} {options}: {told}", clashes)


def _is_feasible(problem: Problem, named: Sequence[Named], ends: float) -> bool:
    """Whether some placement keeps them; if time runs out it may, which leaves the set larger than it had to be."""
    extra = Extra(objective=())
    for one in named:
        add(one.constraint, problem, extra)
    try:
        ilp.solve(problem, extra=extra, value=lambda chosen: 0.0, time_limit_s=_left_s(ends))
    except ilp.InfeasibleError:
        return False
    except PlacementError:
        return True
    return True


def _clash(problem: Problem, one: Named, named: Sequence[Named], kept: Sequence[Named], ends: float) -> Clash:
    """What one would need beside all the others or, where these clash without it, beside its own set."""
    need: float | None = None
    for beside in (named, kept) if one.constraint.is_relaxable else ():
        if need is None:
            need = _need(problem, one, [other for other in beside if other is not one], ends)
    limit = one.told(one.constraint.limit)
    return Clash(one.option if need is not None else one.constraint.option, limit, need, one.unit)


def _need(problem: Problem, one: Named, others: Sequence[Named], ends: float) -> float | None:
    extra = Extra(objective=((SLACK, 1.0),))
    add_with_slack(one.constraint, problem, extra)
    for other in others:
        add(other.constraint, problem, extra)
    try:
        found = ilp.solve(
            problem,
            extra=extra,
            gap=GAP,
            time_limit_s=_left_s(ends),
            value=lambda chosen: max(0.0, one.constraint.demand(problem, chosen) - one.constraint.limit),
        )
    except PlacementError:
        return None
    return one.told(one.constraint.demand(problem, found.chosen))


def _left_s(ends: float) -> float:
    return max(1.0, ends - time.perf_counter())
