"""Which operator goes where: the plain-number problem, its exact solution, baselines, and the Plan."""

from partita.partitioner.place import partition
from partita.partitioner.wishes import OfUnit, Rule, Wishes

__all__ = ["OfUnit", "Rule", "Wishes", "partition"]
