"""The order of operators: a graph whose operators can run one after another, or an error that says why not."""

import heapq
from dataclasses import replace

from partita.errors import ModelError
from partita.graph.ir import Graph


def in_order(graph: Graph) -> Graph:
    """The graph with its operators in an order in which they can run, as near to the given one as possible.

    Raises ModelError if a tensor is made twice, or if a cycle forbids any order.
    """
    known = {*graph.inputs, *graph.constants, *graph.missing}
    sound = True
    for node in graph.nodes:
        sound = sound and all(name in known or name not in graph.producer_of for name in graph.reads(node))
        for output in node.present_outputs:
            if output in known:
                raise ModelError(f"tensor {output!r} is made twice, the second time by node {node}")
            known.add(output)
    return graph if sound else _sorted(graph)


def _sorted(graph: Graph) -> Graph:
    index_of = {node.name: i for i, node in enumerate(graph.nodes)}
    needs = [
        {index_of[graph.producer_of[name].name] for name in graph.reads(node) if name in graph.producer_of}
        for node in graph.nodes
    ]
    readers: list[list[int]] = [[] for _ in graph.nodes]
    for reader, needed in enumerate(needs):
        for i in needed:
            readers[i].append(reader)
    waits = [len(needed) for needed in needs]
    ready = [i for i, count in enumerate(waits) if not count]
    order: list[int] = []
    while ready:
        order.append(heapq.heappop(ready))
        for reader in readers[order[-1]]:
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(graph.nodes):
        raise ModelError(f"the graph has a cycle: {_cycle(graph, needs, waits)}")
    return replace(graph, nodes=tuple(graph.nodes[i] for i in order))


def _cycle(graph: Graph, needs: list[set[int]], waits: list[int]) -> str:
    """One cycle in words, from an operator to those that read it; every operator that still waits needs another one."""
    path = [next(i for i, count in enumerate(waits) if count)]
    while True:
        before = min(i for i in needs[path[-1]] if waits[i])
        if before in path:
            cycle = [*path[path.index(before) :], before]
            return " -> ".join(repr(graph.nodes[i].name) for i in reversed(cycle))
        path.append(before)


def check_complete(graph: Graph) -> None:
    """ModelError if an operator or an output reads a tensor that nothing makes."""
    if graph.free_names:
        name = graph.free_names[0]
        reader = next((f"node {n}" for n in graph.nodes if name in graph.reads(n)), "the model's outputs")
        raise ModelError(f"tensor {name!r}, read by {reader}, is made by no operator and is no input")
