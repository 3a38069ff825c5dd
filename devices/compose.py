"""A Soc file that builds on another: tables are merged, units and links by name.

Each number is taken whole, and so is what a law says of its fit.
"""

from collections.abc import Mapping
from typing import Any

BASE = "base"
"""The field that names the Soc files to build on: one name, or a list in which the later stands over the earlier."""
_MARK_OF_A_NUMBER = "value"
_RECORD_OF_A_FIT = "fit"
"""Taken whole: what a law was fitted to no longer holds once its parameters are others."""


def composed(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with what `over` says differently; lists of tables are matched by what names their entries.

    >>> composed({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}})
    {'a': {'x': 1, 'y': 4}, 'b': 3}
    """
    result = dict(base)
    for key, value in over.items():
        if key != BASE:
            result[key] = value if key == _RECORD_OF_A_FIT else _merged(base.get(key), value)
    return result


def _merged(base: Any, over: Any) -> Any:
    if isinstance(base, dict) and isinstance(over, dict) and _MARK_OF_A_NUMBER not in over:
        return composed(base, over)
    if _is_named(base) and _is_named(over):
        return _merged_by_name(base, over)
    return over


def _is_named(entries: Any) -> bool:
    return isinstance(entries, list) and bool(entries) and all(_name(entry) is not None for entry in entries)


def _name(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return None
    return entry.get("name") or ((entry["source"], entry["target"]) if {"source", "target"} <= set(entry) else None)


def _merged_by_name(base: list[Any], over: list[Any]) -> list[Any]:
    """The entries of `base` in their order, changed by those of the same name, then the new ones."""
    changed = {_name(entry): entry for entry in over}
    kept = [composed(entry, changed.pop(_name(entry), {})) for entry in base]
    return kept + list(changed.values())
