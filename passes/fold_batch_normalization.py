"""Folds a BatchNormalization into the weights of the Conv, ConvTranspose or Gemm before it."""

from dataclasses import dataclass, replace

import numpy as np

from partita.graph.dtypes import numpy_of_name
from partita.graph.ir import Array, Graph, Node, Value
from partita.graph.match import prune
from partita.passes.rewrite import fresh_name, sole_reader

EPSILON = 1e-5
"""The default of BatchNormalization. Source: ONNX operators, BatchNormalization-15."""


def fold_batch_normalization(graph: Graph) -> Graph:
    """The graph with weight * a and (bias - mean) * a + beta, where a = scale / sqrt(var + epsilon) per channel.

    Where data is missing, the new weight and bias are missing constants of the same types. A weight that is computed,
    a dequantised one for instance, is left alone. Source of the formula: ONNX operators, BatchNormalization-15.
    """
    folds = {fold.producer.name: fold for node in graph.nodes if (fold := _fold(graph, node)) is not None}
    if not folds:
        return graph
    gone = {fold.normalization.name for fold in folds.values()}
    values, constants, missing = dict(graph.values), dict(graph.constants), set(graph.missing)
    nodes: list[Node] = []
    for node in graph.nodes:
        fold = folds.get(node.name)
        if fold is not None:
            names = tuple(fresh_name(graph, f"{node.name}.folded_{role}", values) for role in ("weight", "bias"))
            weight, bias = _folded(graph, fold)
            types = (graph.values[node.inputs[1]], _type_of_bias(graph, fold))
            values.update(zip(names, types, strict=True))
            for name, array in zip(names, (weight, bias), strict=True):
                if array is None:
                    missing.add(name)
                else:
                    constants[name] = array
            node = replace(node, inputs=(node.inputs[0], *names), outputs=fold.normalization.outputs)
        if node.name not in gone:
            nodes.append(node)
    return prune(replace(graph, nodes=tuple(nodes), values=values, constants=constants, missing=frozenset(missing)))


@dataclass(frozen=True, slots=True)
class _Fold:
    producer: Node
    normalization: Node
    axis: int
    """The axis of the weight that holds the output channels; -1 for the last."""


def _fold(graph: Graph, node: Node) -> _Fold | None:
    if node.op != "BatchNormalization" or node.domain or len(node.outputs) != 1 or node.attributes.get("training_mode"):
        return None
    producer = graph.producer_of.get(node.inputs[0])
    if producer is None or producer.domain or sole_reader(graph, node.inputs[0]) is not node:
        return None
    axis = _channel_axis(graph, producer)
    is_constant = all(graph.is_constant(name) for name in (*producer.present_inputs[1:], *node.inputs[1:]))
    if axis is None or not is_constant or node.attributes.get("spatial", 1) != 1:
        return None
    return _Fold(producer, node, axis)


def _channel_axis(graph: Graph, producer: Node) -> int | None:
    """Where the weight of `producer` has one slice per output channel; None if it cannot be scaled by channel."""
    if producer.op == "Conv":
        return 0
    if producer.op == "ConvTranspose" and producer.attributes.get("group", 1) == 1:
        return 1
    if producer.op != "Gemm" or producer.attributes.get("alpha", 1.0) != 1.0:
        return None
    if len(producer.inputs) > 2 and (
        producer.attributes.get("beta", 1.0) != 1.0 or len(graph.values[producer.inputs[2]].shape or ()) != 1
    ):
        return None
    return 0 if producer.attributes.get("transB", 0) else 1


def _folded(graph: Graph, fold: _Fold) -> tuple[Array | None, Array | None]:
    """The new weight and bias; None for one whose data is missing."""
    scale, beta, mean, variance = (graph.constants.get(name) for name in fold.normalization.inputs[1:5])
    if scale is None or beta is None or mean is None or variance is None:
        return None, None
    epsilon = fold.normalization.attributes.get("epsilon", EPSILON)
    factor = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    return _scaled_weight(graph, fold, factor), _shifted_bias(graph, fold, factor, mean, beta)


def _scaled_weight(graph: Graph, fold: _Fold, factor: Array) -> Array | None:
    weight = graph.constants.get(fold.producer.inputs[1])
    if weight is None:
        return None
    per_channel = [1] * weight.ndim
    per_channel[fold.axis] = -1
    return (weight * factor.reshape(per_channel).astype(np.float32)).astype(weight.dtype)


def _shifted_bias(graph: Graph, fold: _Fold, factor: Array, mean: Array, beta: Array) -> Array | None:
    has_bias = len(fold.producer.inputs) > 2 and fold.producer.inputs[2]
    bias = graph.constants.get(fold.producer.inputs[2]) if has_bias else np.zeros(mean.shape, np.float64)
    if bias is None:
        return None
    return ((bias - mean) * factor + beta).astype(numpy_of_name(_type_of_bias(graph, fold).dtype))


def _type_of_bias(graph: Graph, fold: _Fold) -> Value:
    """One number per channel in the dtype of the weight, which the normalisation's parameters need not have."""
    return Value(graph.values[fold.producer.inputs[1]].dtype, graph.values[fold.normalization.inputs[2]].shape)
