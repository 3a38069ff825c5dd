"""Which inputs of an operator steer it: shapes, axes, sizes and counts, whose values decide what it does."""

from collections.abc import Iterator

from partita.graph.ir import Graph, Node

STEERING_INPUTS: dict[str, tuple[int, ...]] = {
    "AffineGrid": (1,), "BlackmanWindow": (0,), "CenterCropPad": (1,), "Col2Im": (1, 2), "ConstantOfShape": (0,),
    "CumProd": (1,), "CumSum": (1,), "DFT": (1, 2), "Dropout": (2,), "Expand": (1,), "HammingWindow": (0,),
    "HannWindow": (0,), "If": (0,), "Loop": (0, 1), "MaxUnpool": (2,), "MelWeightMatrix": (0, 1, 2, 3, 4),
    "NonMaxSuppression": (2,), "OneHot": (1,), "Pad": (1, 3), "Range": (0, 1, 2), "Reshape": (1,), "Resize": (1, 2, 3),
    "STFT": (1, 3), "SequenceAt": (1,), "SequenceErase": (1,), "SequenceInsert": (2,), "Slice": (1, 2, 3, 4),
    "Split": (1,), "SplitToSequence": (1,), "Squeeze": (1,), "Tile": (1, 2), "TopK": (1,), "Trilu": (1,),
    "Unsqueeze": (1,), "Upsample": (1,),
}  # fmt: skip
"""Positions by operator of ONNX's own domain, in any of its versions; every reduction has its axes at 1.

Exporters keep these constants in the model file: without them no shape could be inferred.
Source: ONNX operators, opsets 7 to 24.
"""


def steering_inputs(node: Node) -> tuple[str, ...]:
    """The tensors that steer the operator."""
    if node.domain:
        return ()
    positions = (1,) if node.op.startswith("Reduce") else STEERING_INPUTS.get(node.op, ())
    return tuple(node.inputs[i] for i in positions if i < len(node.inputs) and node.inputs[i])


def steering_names(graph: Graph) -> frozenset[str]:
    """The tensors of the graph that steer one of its operators, those inside of regions and fused ones included."""
    return frozenset(_steering(graph))


def _steering(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield from steering_inputs(node)
        if node.body is not None:
            outer_name = dict(zip(node.body.inputs, node.inputs, strict=True))
            yield from (outer_name.get(name, name) for name in _steering(node.body))
            continue
        for region in node.regions:
            yield from _steering(region)
