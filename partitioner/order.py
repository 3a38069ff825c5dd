"""The order in which operators run: those of one unit are drawn together, to save calls."""

import heapq
from collections.abc import Callable

from partita.graph.ir import Graph, Node


def drawn_together(graph: Graph, kind_of: Callable[[Node], int]) -> tuple[int, ...]:
    """Positions of the operators in another order, in which those of one kind run in long stretches.

    Ready operators of the current kind run first, in their old order; the kind changes only when none is left.
    """
    waiting = {node.name: sum(name in graph.producer_of for name in graph.reads(node)) for node in graph.nodes}
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    ready: dict[int, list[int]] = {}
    for node in graph.nodes:
        if not waiting[node.name]:
            heapq.heappush(ready.setdefault(kind_of(node), []), position[node.name])
    order: list[int] = []
    kind = 0
    while len(order) < len(graph.nodes):
        if not ready.get(kind):
            kind = min((queue[0], k) for k, queue in ready.items() if queue)[1]
        order.append(heapq.heappop(ready[kind]))
        node = graph.nodes[order[-1]]
        for output in node.present_outputs:
            for consumer in graph.consumers_of.get(output, ()):
                waiting[consumer.name] -= 1
                if not waiting[consumer.name]:
                    heapq.heappush(ready.setdefault(kind_of(consumer), []), position[consumer.name])
    return tuple(order)


def early(graph: Graph, is_wanted: Callable[[Node], bool]) -> tuple[int, ...]:
    """Positions of the operators in another order: wanted ones, and all that they need, come first."""
    position = {node.name: i for i, node in enumerate(graph.nodes)}
    first: set[int] = set()
    for i in reversed(range(len(graph.nodes))):
        node = graph.nodes[i]
        if i in first or is_wanted(node):
            needed = (graph.producer_of[name].name for name in graph.reads(node) if name in graph.producer_of)
            first.update((i, *(position[name] for name in needed)))
    return (*sorted(first), *(i for i in range(len(graph.nodes)) if i not in first))
