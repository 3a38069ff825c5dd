"""Our own kernels, in the arithmetic that the plan gives to each operator."""

from collections.abc import Mapping
from typing import Any

from partita.backends.backend import Run, SubModel, backend
from partita.graph.dtypes import is_floating
from partita.graph.ir import Graph
from partita.graph.plan import PlacedOperator
from partita.kernels.blas import on_one_thread
from partita.kernels.storage import FloatStorage, Storage, storage_of


@backend("numpy", "our kernels, in the plan's arithmetic")
def load(sub_model: SubModel) -> Run:
    graph, operators = sub_model.piece.graph, sub_model.piece.operators
    storages = {dtype: storage_of(dtype, sub_model.ranges) for dtype in sub_model.piece.dtypes}

    def run(feeds: Mapping[str, Any]) -> dict[str, Any]:
        tensors = {**graph.constants, **feeds}
        with on_one_thread():
            for operator in operators:
                tensors |= _outputs(graph, operator, storages[operator.dtype], tensors)
        return {name: _plain(graph, name, tensors[name]) for name in graph.outputs}

    return run


def _outputs(graph: Graph, operator: PlacedOperator, storage: Storage, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """What one operator makes, as it lies at its location."""
    node = graph.node_named[operator.node]
    known = {
        name: storage.constant(tensors[name]) if graph.is_constant(name) else storage.stored(name, tensors[name])
        for name in graph.reads(node)
    }
    around = known if node.regions and node.body is None else None
    results = storage.compute(node, [known[name] if name else None for name in node.inputs], around)
    return {n: storage.stored(n, y) for n, y in zip(node.outputs, results, strict=False) if n}


def _plain(graph: Graph, name: str, tensor: Any) -> Any:
    """The tensor in the model's own dtype."""
    value = graph.values.get(name)
    return FloatStorage(value.dtype).constant(tensor) if value is not None and is_floating(value.dtype) else tensor
