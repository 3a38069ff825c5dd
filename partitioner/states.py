"""State: a tensor that a run makes anew from what the last run left, such as a KV cache, and that stays where it is.

As a model input and output it would travel from the host and back in every run. As state it lies where the operator
runs that makes it, and only readers elsewhere have it moved to them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from partita.errors import PlacementError
from partita.graph.ir import Graph, Node, Value

NAMES_TOLD = 6


def states_of(graph: Graph, patterns: Sequence[str]) -> dict[str, str]:
    """The outputs that continue inputs whose names are like one of the patterns: {"past.0.k": "present.0.k"}.

    An input is continued by an output of its dtype and rank that its only reader makes. Raises PlacementError for a
    pattern that no input is like, and for an input that nothing continues.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        names = [name for name in graph.inputs if name == pattern or fnmatchcase(name, pattern)]
        if not names:
            raise PlacementError(
                f"--state {pattern!r}: no input of {graph.name!r} has a name like that: {_told(graph)}"
            )
        found.update((name, _continued(graph, name, found.values())) for name in names if name not in found)
    return found


def _told(graph: Graph) -> str:
    more = f" and {len(graph.inputs) - NAMES_TOLD} more" if len(graph.inputs) > NAMES_TOLD else ""
    return ", ".join(graph.inputs[:NAMES_TOLD]) + more


def _continued(graph: Graph, name: str, taken: Iterable[str]) -> str:
    readers = graph.consumers_of.get(name, ())
    before = graph.value(name)
    used = set(taken)
    if len(readers) == 1:
        for output in readers[0].present_outputs:
            if output in graph.outputs and output not in used and _is_like(before, graph.value(output)):
                return output
    read_by = ", ".join(str(node) for node in readers[:2]) or "nothing"
    raise PlacementError(
        f"--state: input {name!r} ({before}) is read by {read_by}, which makes no output of the model of that type; "
        "only an input that one operator turns into an output can stay where it is"
    )


def _is_like(before: Value, after: Value) -> bool:
    same_rank = before.shape is not None and after.shape is not None and len(before.shape) == len(after.shape)
    return same_rank and before.dtype == after.dtype


def appending(graph: Graph, node: Node, states: Mapping[str, str]) -> Graph:
    """The graph in which a Concat of state and something new touches what is new only: the rest lies there already."""
    if node.op != "Concat" or node.domain or node.inputs[0] not in states:
        return graph
    state, after = node.inputs[0], node.outputs[0]
    axis = int(node.attributes["axis"])
    before, whole = graph.value(state), graph.value(after)
    grown = whole.dims[axis] - before.dims[axis]
    return replace(
        graph, values={**graph.values, state: _sliced(before, axis, 0), after: _sliced(whole, axis, grown)}
    )  # fmt: skip


def _sliced(value: Value, axis: int, size: int) -> Value:
    dims = list(value.dims)
    dims[axis] = size
    return replace(value, shape=tuple(dims))
