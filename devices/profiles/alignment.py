"""Rows whose names are lost, matched to operators by their order and type."""

import math
from collections.abc import Mapping, Sequence

from partita.devices.profiles.kinds import is_alike, kind_named, kind_of
from partita.devices.profiles.names import plain_name
from partita.devices.profiles.profile import Row
from partita.graph.ir import Graph, Node

MOST_CELLS = 4_000_000
"""Above this many pairs of a row and an operator the alignment would take seconds."""
_NAMED = 1000.0
_ALIKE, _SAME_SHAPE, _FREE_PENALTY = 2.0, 1.0, 0.5


def aligned(graph: Graph, nodes: Sequence[Node], rows: Sequence[Row], named: Mapping[int, str]) -> dict[int, str]:
    """Rows, by their order, and the operators that they are: as many as can be while both stay in order.

    `named` holds the rows whose names have been recognised; they are fixed points, and not in the result.
    """
    rows = sorted(rows, key=lambda row: row.order)
    if len(rows) * len(nodes) > MOST_CELLS:
        taken = set(named.values())
        rows = [row for row in rows if row.order not in named]
        nodes = [node for node in nodes if node.name not in taken]
    if len(rows) * len(nodes) > MOST_CELLS:
        return {}
    scores = _Scores(graph, nodes, rows, named)
    pairs = _best_path([[scores.of(row, node) for node in nodes] for row in rows], len(nodes))
    return {rows[i].order: nodes[j].name for i, j in pairs if rows[i].order not in named}


class _Scores:
    """How well a row and an operator go together; 0 if they cannot be the same."""

    def __init__(self, graph: Graph, nodes: Sequence[Node], rows: Sequence[Row], named: Mapping[int, str]) -> None:
        self._named = named
        self._fixed = set(named.values())
        self._kinds = {node.name: kind_of(graph, node) for node in nodes}
        self._shapes = {node.name: _output_shape(graph, node) for node in nodes}
        self._row_kinds = {row.order: kind_named(row.op) or _kind_in(row.name) for row in rows}

    def of(self, row: Row, node: Node) -> float:
        if row.order in self._named or node.name in self._fixed:
            return _NAMED if self._named.get(row.order) == node.name else 0.0
        kind = self._row_kinds[row.order]
        if kind is None or not is_alike(kind, self._kinds[node.name]):
            return 0.0
        score = _ALIKE if kind == self._kinds[node.name] else _ALIKE - _FREE_PENALTY
        shape = self._shapes[node.name]
        if row.shape is None or shape is None:
            return score
        if row.shape == shape:
            return score + _SAME_SHAPE
        return score if math.prod(row.shape) == math.prod(shape) else 0.0


def _kind_in(name: str) -> str | None:
    """The type in a generated name such as "Conv_12" or "conv2d_3_token_1"."""
    stem = plain_name(name).rstrip("0123456789_")
    return kind_named(stem)


def _output_shape(graph: Graph, node: Node) -> tuple[int, ...] | None:
    value = graph.values.get(node.outputs[0]) if node.outputs else None
    return value.dims if value is not None and value.is_concrete else None


def _best_path(scores: Sequence[Sequence[float]], width: int) -> list[tuple[int, int]]:
    """The pairs of the alignment with the highest sum (Needleman and Wunsch 1970, gaps cost nothing)."""
    best = [[0.0] * (width + 1)]
    for line in scores:
        above, current = best[-1], [0.0]
        for j, score in enumerate(line):
            across = above[j] + score if score else 0.0
            current.append(max(across, above[j + 1], current[j]))
        best.append(current)
    pairs = []
    i, j = len(scores), width
    while i and j:
        score = scores[i - 1][j - 1]
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            assert score
            pairs.append((i - 1, j - 1))
            i, j = i - 1, j - 1
    return pairs[::-1]
