"""Which operator goes where: the plain-number problem, its exact solution, baselines, and the Plan."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partita.partitioner.place import partition
    from partita.partitioner.wishes import OfUnit, Rule, Wishes

__all__ = ["OfUnit", "Rule", "Wishes", "partition"]


def __getattr__(name: str) -> Any:
    """Public names load when they are first used, so that problems in plain numbers need nothing of graphs and Socs."""
    if name not in __all__:
        raise AttributeError(f"module 'partita.partitioner' has no attribute {name!r}")
    return getattr(import_module(f"partita.partitioner.{'place' if name == 'partition' else 'wishes'}"), name)
