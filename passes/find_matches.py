"""All places where a fusible pattern occurs; which of them are fused is for the partitioner to choose."""

from partita.graph.ir import Graph
from partita.graph.match import Match
from partita.passes.patterns.activation import activations
from partita.passes.patterns.attention import attentions
from partita.passes.patterns.chain import chains
from partita.passes.patterns.gelu import gelus
from partita.passes.patterns.normalization import normalizations
from partita.passes.patterns.view import View


def find_matches(graph: Graph) -> tuple[Match, ...]:
    """The matches in a prepared graph, in the order of their last operators; they may overlap.

    Each can be fused: `graph.match.fuse` puts one operator in its place that computes the same.
    """
    view = View(graph)
    spelled_out = (*gelus(view), *activations(view))
    found = [*normalizations(view), *attentions(view), *spelled_out, *chains(view, spelled_out)]
    unique = {match.key: match for match in found}
    return tuple(sorted(unique.values(), key=lambda m: (view.position_of[m.nodes[-1]], len(m.nodes), m.pattern)))
