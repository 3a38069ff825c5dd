"""A problem solved again and again with a few kernels more: as a rule by elimination, without an integer program."""

from dataclasses import dataclass, replace
from math import inf

from partita.devices import Soc, Unit
from partita.partitioner.any_order import least_in_this_order
from partita.partitioner.baselines.cover import Assignment, chosen_for
from partita.partitioner.candidates import with_taken
from partita.partitioner.place import in_good_order
from partita.partitioner.placing import Placing
from partita.partitioner.problem import evaluate

NEAR = 1e-3
"""A choice this near to its bound is good enough, as a share."""


@dataclass(frozen=True)
class Again:
    """The problem of a plan, to be solved with more kernels for the least latency."""

    placing: Placing
    known_us: float
    """What the plan takes, which stays possible."""

    def latency_us(self, soc: Soc, unit: Unit, ops: tuple[str, ...]) -> float:
        """The least latency found if a unit of `soc` takes operators of these types too, at most `known_us`.

        PlacementError if no placement is found in time.
        """
        more = with_taken(self.placing.formulation, soc, self.placing.matches, self.placing.wishes, unit, ops)
        found = [self._found_us(replace(self.placing, formulation=more), soc)]
        ordered = in_good_order(more, soc)
        if ordered is not more:
            found.append(self._found_us(replace(self.placing, formulation=ordered), soc))
        return min(self.known_us, *found)

    def _found_us(self, placing: Placing, soc: Soc) -> float:
        """By shares of kernels in place of kernels; if what that leaves is too far from its bound, by the program."""
        problem = placing.formulation.problem
        host = problem.unit_of_location[problem.host]
        starts: list[tuple[int, ...]] = []
        if not placing.limits:
            relaxed = least_in_this_order(problem)
            if relaxed is not None:
                location_of, bound_us = relaxed
                chosen = chosen_for(problem, Assignment(tuple((a,) for a in location_of)), host)
                least_us = min(self.known_us, evaluate(problem, chosen).total_us if chosen is not None else inf)
                if least_us - bound_us <= NEAR * least_us:
                    return least_us
                starts += [chosen] if chosen is not None else []
        return placing.solved(starts).objective_us
