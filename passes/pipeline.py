"""The default passes in their order, and `prepare`, which makes a read model ready to be placed."""

from collections.abc import Mapping, Sequence

from partita.graph.ir import Array, Graph
from partita.graph.verify import verify
from partita.passes.clean_up import merge_common_subexpressions, remove_dead_nodes, remove_identities
from partita.passes.fold_batch_normalization import fold_batch_normalization
from partita.passes.merge_pads import merge_pads
from partita.passes.record_shapes import record_shapes
from partita.passes.rewrite import Pass
from partita.passes.specialise import specialise

DEFAULT_PASSES: tuple[Pass, ...] = (
    specialise,
    remove_dead_nodes,
    remove_identities,
    merge_common_subexpressions,
    fold_batch_normalization,
    merge_pads,
    remove_dead_nodes,
)
"""Types come first, for all others read them; dead operators go last, because folding leaves them behind."""


def prepare(
    graph: Graph,
    *,
    feeds: Mapping[str, Array] | None = None,
    passes: Sequence[Pass] = DEFAULT_PASSES,
    check: bool = False,
) -> Graph:
    """The graph after the passes, every tensor with a concrete shape and dtype.

    Shapes that depend on data are those of a run on `feeds`, or on generated inputs. With `check` the graph is
    verified after each pass, so that an error names the pass that broke it. Raises ModelError if an operator does not
    fit its inputs, or if a shape depends on weights that are missing.
    """
    for each in passes:
        graph = each(graph)
        if check:
            verify(graph)
    graph = record_shapes(graph, feeds)
    verify(graph, concrete=True)
    return graph
