"""Functions of an ONNX model: those that hold fused operators are kept, all others are inlined."""

from collections.abc import Iterable, Iterator, Mapping

import onnx
from onnx import inliner

from partita.errors import ModelError
from partita.graph.ir import FUSED_DOMAIN

OPERATOR_KEY = "partita.operator"
"""The metadata of a function under which the name of the fused operator stands, such as "Conv+Relu"."""
MOST_OPERATORS = 500_000
"""A model may have this many operators, with its functions inlined; a few lines of nested calls could ask for 2^100."""

MOST_DEPTH = 32
"""Regions and functions may be nested this deep; the protobuf reader itself stops at 33 regions."""

Function = onnx.FunctionProto
Key = tuple[str, str]
"""Domain and name of a function."""


def fused_functions(model: onnx.ModelProto) -> dict[str, Function]:
    """The functions that hold fused operators, by their name."""
    return {f.name: f for f in model.functions if f.domain == FUSED_DOMAIN and operator_of(f)}


def operator_of(function: Function) -> str:
    """The fused operator that a function of ours stands for; empty for any other function."""
    return next((str(entry.value) for entry in function.metadata_props if entry.key == OPERATOR_KEY), "")


def without_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with every call of a function replaced by its body, but for those of fused operators."""
    fused = fused_functions(model)
    if len(fused) == len(model.functions):
        return model
    _check_size(model)
    try:
        inlined = inliner.inline_selected_functions(model, [(FUSED_DOMAIN, name) for name in fused], exclude=True)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"its functions cannot be inlined: {error}") from None
    for function in inlined.functions:
        if function.name not in fused:
            raise ModelError(
                f"function {function.name!r} cannot be inlined, for it is of another opset than the model; "
                "export the model without functions"
            )
    return inlined


def _check_size(model: onnx.ModelProto) -> None:
    """ModelError if functions call one another in a circle or too deep, or make too many operators."""
    sizes = _Sizes({(f.domain, f.name): f for f in model.functions})
    sizes.total(model.graph.node)


class _Sizes:
    """How many operators each function stands for, the functions that it calls included."""

    def __init__(self, functions: Mapping[Key, Function]) -> None:
        self.functions = functions
        self.size_of: dict[Key, int] = {}
        self.open_calls: list[Key] = []

    def total(self, nodes: Iterable[onnx.NodeProto]) -> int:
        count = sum(self._size((node.domain, node.op_type)) for node in _with_regions(nodes))
        if count > MOST_OPERATORS:
            raise ModelError(f"the model has more than {MOST_OPERATORS} operators once its functions are inlined")
        return count

    def _size(self, key: Key) -> int:
        if key not in self.functions:
            return 1
        if key in self.open_calls:
            raise ModelError(f"function {key[1]!r} calls itself")
        if len(self.open_calls) == MOST_DEPTH:
            raise ModelError(f"functions call one another more than {MOST_DEPTH} deep, down to {key[1]!r}")
        if key not in self.size_of:
            self.open_calls.append(key)
            self.size_of[key] = self.total(self.functions[key].node)
            self.open_calls.pop()
        return self.size_of[key]


def _with_regions(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    left = list(nodes)
    while left:
        node = left.pop()
        yield node
        for attribute in node.attribute:
            left.extend(attribute.g.node)
