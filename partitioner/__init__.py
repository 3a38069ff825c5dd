"""Which operator goes where: the plain-number problem, its exact solution, baselines, and the Plan."""

from partita.partitioner.candidates import OBJECTIVES, Rule, Wishes
from partita.partitioner.place import partition

__all__ = ["OBJECTIVES", "Rule", "Wishes", "partition"]
