"""Sizes that a placed graph fixes for one run and that a model for other runtimes must leave open."""

from dataclasses import replace

from partita.graph.infer import infer_types
from partita.graph.ir import Graph, Value
from partita.graph.work import is_typed


def with_open_sizes(graph: Graph) -> Graph:
    """The graph with None for every dimension that is another for other data; the same object if there is none.

    A plan holds the sizes of one run; what ONNX's inference cannot tell from the inputs' sizes depends on data. The
    number of dimensions is taken to be that of the run.
    """
    fixed = (*graph.inputs, *graph.constants, *graph.missing)
    values = {name: graph.values[name] for name in fixed if name in graph.values}
    opened: dict[str, Value] = {}
    for node in graph.nodes:
        found = infer_types(node, values, graph.constants)
        for name in node.present_outputs:
            known = graph.values.get(name)
            if known is None or not known.is_concrete:
                values |= {name: found[name]} if name in found else {}
                continue
            shape = found[name].shape if name in found else None
            values[name] = _open(known) if shape is None else replace(known, shape=shape)
            if not values[name].is_concrete:
                opened[name] = values[name]
    return with_open_branches(replace(graph, values={**graph.values, **opened}) if opened else graph)


def with_open_branches(graph: Graph) -> Graph:
    """The graph with its inputs' sizes open if it holds a branch that cannot run at these sizes.

    An If may have a branch for other sizes (silero-vad has one for each sampling rate). It is never taken, but a
    runtime that knows the sizes refuses the whole model.
    """
    if not any(node.op == "If" and not all(map(is_typed, node.regions)) for _, node in graph.walk()):
        return graph
    opened = {name: _open(graph.values[name]) for name in graph.inputs if name in graph.values}
    return replace(graph, values={**graph.values, **opened})


def _open(value: Value) -> Value:
    return replace(value, shape=None if value.shape is None else tuple(None for _ in value.shape))
