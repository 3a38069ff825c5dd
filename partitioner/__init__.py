"""Which operator goes where: the plain-number problem, its exact solution, baselines, and the Plan."""

from partita.partitioner.candidates import Rule
from partita.partitioner.place import OBJECTIVES, partition

__all__ = ["OBJECTIVES", "Rule", "partition"]
