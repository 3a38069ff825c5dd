"""LayerNormalization and RMSNormalization spelled out in primitives."""

from collections.abc import Iterator
from typing import NamedTuple

from partita.graph.ir import Node
from partita.graph.match import Match
from partita.passes.patterns.view import View
from partita.passes.rewrite import is_close


def normalizations(view: View) -> Iterator[Match]:
    """x -> (x - mean) / sqrt(mean of squares + epsilon) * scale (+ bias), the mean left out for RMS.

    The scale must have the dimensions of the normalised axes, and these must be the last ones: that is what ONNX's
    LayerNormalization-17 and RMSNormalization-23 mean by `axis`.
    """
    for node in view.graph.nodes:
        if node.op in ("Sqrt", "Pow") and not node.domain:
            statistic = _root_mean_square(view, node)
            match = _match(view, statistic) if statistic is not None else None
            if match is not None:
                yield match


class _Statistic(NamedTuple):
    """sqrt(mean(centred ** 2) + epsilon), where `centred` is x, or x minus its mean."""

    x: str
    centred: str
    axes: tuple[int, ...]
    epsilon: float
    root: Node
    nodes: tuple[Node, ...]

    @property
    def is_centred(self) -> bool:
        return self.x != self.centred


def _root_mean_square(view: View, root: Node) -> _Statistic | None:
    if root.op == "Pow" and not is_close(view.number(root.inputs[1]), 0.5):
        return None
    add = view.maker(root.inputs[0], "Add")
    operands = view.split_number(add) if add is not None else None
    mean = view.maker(operands[0], "ReduceMean") if operands is not None else None
    square = view.maker(mean.inputs[0], "Pow", "Mul") if mean is not None else None
    if add is None or operands is None or mean is None or square is None:
        return None
    is_square = square.inputs[0] == square.inputs[1] if square.op == "Mul" else view.number(square.inputs[1]) == 2
    axes = _last_axes(view, mean)
    if not is_square or axes is None:
        return None
    centred = square.inputs[0]
    nodes: tuple[Node, ...] = (square, mean, add, root)
    x, centring = _uncentred(view, centred, axes)
    return _Statistic(x, centred, axes, operands[1], root, (*centring, *nodes))


def _uncentred(view: View, centred: str, axes: tuple[int, ...]) -> tuple[str, tuple[Node, ...]]:
    """x and the operators that subtract its mean; `centred` itself and none if nothing does."""
    sub = view.maker(centred, "Sub")
    mean = view.maker(sub.inputs[1], "ReduceMean") if sub is not None else None
    if sub is None or mean is None or mean.inputs[0] != sub.inputs[0] or _last_axes(view, mean) != axes:
        return centred, ()
    return sub.inputs[0], (mean, sub)


def _last_axes(view: View, mean: Node) -> tuple[int, ...] | None:
    """The axes of a mean that keeps its dimensions, counted from the front, if they are the last of the tensor."""
    if not view.has_dims(mean.inputs[0]) or not mean.attributes.get("keepdims", 1):
        return None
    axes = mean.attributes.get("axes") or (view.integers(mean.inputs[1]) if len(mean.inputs) > 1 else None)
    if not axes:
        return None
    rank = len(view.dims(mean.inputs[0]))
    sorted_axes = tuple(sorted(axis % rank for axis in axes))
    return sorted_axes if sorted_axes == tuple(range(rank - len(axes), rank)) else None


def _match(view: View, statistic: _Statistic) -> Match | None:
    divided = _divided(view, statistic)
    scaling = view.reader(divided[-1].outputs[0], "Mul") if divided else None
    if scaling is None:
        return None
    normalised = view.dims(statistic.x)[statistic.axes[0] :]
    scale = view.other_input(scaling, divided[-1].outputs[0])
    if not view.graph.is_constant(scale) or view.dims(scale) != normalised:
        return None
    attributes = {"axis": -len(statistic.axes), "epsilon": statistic.epsilon}
    nodes = (*statistic.nodes, *divided, scaling)
    if not statistic.is_centred:
        return view.closed_match("RMSNormalization", nodes, (statistic.x, scale), attributes)
    shift = view.reader(scaling.outputs[0], "Add")
    bias = view.other_input(shift, scaling.outputs[0]) if shift is not None else ""
    if shift is not None and view.graph.is_constant(bias) and view.dims(bias) == normalised:
        return view.closed_match("LayerNormalization", (*nodes, shift), (statistic.x, scale, bias), attributes)
    return view.closed_match("LayerNormalization", nodes, (statistic.x, scale), attributes)


def _divided(view: View, statistic: _Statistic) -> tuple[Node, ...]:
    """The operators that divide the centred tensor by the statistic: a Div, or a Reciprocal and a Mul."""
    root = statistic.root.outputs[0]
    after = view.reader(root, "Div", "Reciprocal")
    if after is None:
        return ()
    if after.op == "Div" and after.inputs == (statistic.centred, root):
        return (after,)
    if after.op == "Div" and view.number(after.inputs[0]) != 1:
        return ()
    multiply = view.reader(after.outputs[0], "Mul")
    if multiply is None or view.other_input(multiply, after.outputs[0]) != statistic.centred:
        return ()
    return after, multiply
