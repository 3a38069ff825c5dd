"""Sizes for the open dimensions of a model's inputs."""

import re
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from partita.errors import ModelError
from partita.graph.dtypes import OPTIONAL, SEQUENCE
from partita.graph.fit import why_too_large
from partita.graph.ir import Graph, Shape, Value

Shapes = Mapping[str, int | tuple[int, ...]]
"""What the user binds: a symbolic dimension (or a pattern such as 's*') to a size, an input to a whole shape."""
Symbols = Mapping[str, tuple[str, ...]]
"""Per input the name of each dimension, empty if it is anonymous or has a size."""

_MOST_NAMES_IN_ERROR = 20


def bind_shapes(graph: Graph, symbols: Symbols, shapes: Shapes) -> Graph:
    """The graph with a size for every dimension of every input; ModelError that lists those left without.

    A whole shape of one input also sizes the symbols in it wherever else they stand. One number for an input of one
    dimension is its shape. The shape of a sequence is that of its elements; it may stay open, for they may differ.
    """
    types = {name: _typed(graph, name) for name in graph.inputs}
    tensors = {name: tensor for name, value in types.items() if (tensor := _innermost(value)) is not None}
    whole = _whole_shapes(tensors, symbols, shapes)
    used = set(whole)
    binding = _Binding(symbols, shapes, _sizes(whole, symbols, shapes, used), used)
    values = dict(graph.values)
    for name, tensor in tensors.items():
        shape = whole[name] if name in whole else binding.shape(name, tensor, required=types[name] is tensor)
        values[name] = _with_innermost(types[name], Value(tensor.dtype, shape))
        reason = why_too_large(values[name])
        if reason is not None:
            raise ModelError(f"input {name!r}: {reason}; give it a smaller shape")
    if binding.unbound:
        example = _example(graph, binding.unbound[0], symbols)
        listed = _listed(binding.unbound, symbols)
        raise ModelError(f"these dimensions have no size: {listed}; give each one, for example {example}")
    _check_all_used(graph, symbols, shapes, binding.used)
    return replace(graph, values=values)


def _innermost(value: Value) -> Value | None:
    """The type itself, or that of the tensors in a sequence or an optional; None if that is not known."""
    if value.dtype not in (SEQUENCE, OPTIONAL):
        return value
    return None if value.element is None else _innermost(value.element)


def _with_innermost(value: Value, tensor: Value) -> Value:
    if value.element is None:
        return tensor
    return replace(value, element=_with_innermost(value.element, tensor))


class _Binding:
    """Sizes dimensions one after another; remembers which keys it used and what is left without a size."""

    def __init__(self, symbols: Symbols, shapes: Shapes, sizes: Mapping[str, int], used: set[str]) -> None:
        self.symbols = symbols
        self.shapes = shapes
        self.sizes = sizes
        self.used = used
        self.unbound: list[tuple[str, int | None]] = []
        """Inputs and axes that have no size; no axis if the whole rank is unknown."""

    def shape(self, name: str, value: Value, *, required: bool) -> tuple[int | None, ...] | None:
        """The shape with its open dimensions sized; those left open are remembered if they are `required`."""
        if value.shape is None:
            self.unbound += [(name, None)] * required
            return None
        shape = tuple(self._size(name, axis) if size is None else size for axis, size in enumerate(value.shape))
        self.unbound += [(name, axis) for axis, size in enumerate(shape) if size is None and required]
        return shape

    def _size(self, name: str, axis: int) -> int | None:
        symbol = _symbol(self.symbols, name, axis)
        key = _key(symbol, self.shapes)
        if key is not None:
            self.used.add(key)
            return _checked(key, self.shapes[key])
        return self.sizes.get(symbol)


def _typed(graph: Graph, name: str) -> Value:
    if name not in graph.values:
        raise ModelError(f"input {name!r} has no type")
    return graph.values[name]


def _whole_shapes(inputs: Mapping[str, Value], symbols: Symbols, shapes: Shapes) -> dict[str, Shape]:
    """The whole shapes that were given, each checked against what the model says of its input."""
    names = {symbol for dims in symbols.values() for symbol in dims}
    whole: dict[str, Shape] = {}
    for name, value in inputs.items():
        given = shapes.get(name)
        if isinstance(given, int) and name not in names and (value.shape is None or len(value.shape) == 1):
            given = (given,)
        if isinstance(given, tuple):
            whole[name] = _agreeing(name, value, given)
    return whole


def _agreeing(name: str, value: Value, given: Shape) -> Shape:
    fixed = value.shape
    fits = fixed is None or (
        len(fixed) == len(given) and all(f is None or f == g for f, g in zip(fixed, given, strict=True))
    )
    if not fits or any(g < 0 for g in given):
        raise ModelError(f"input {name!r} is {value}; the shape {'x'.join(map(str, given))} does not fit it")
    return given


def _sizes(whole: Mapping[str, Shape], symbols: Symbols, shapes: Shapes, used: set[str]) -> dict[str, int]:
    """The size of each symbol that a whole shape settles; ModelError if two sizes were given for one symbol.

    Keys of `shapes` that agree with a whole shape are added to `used`.
    """
    sizes: dict[str, int] = {}
    for name, given in whole.items():
        for axis, size in enumerate(given):
            symbol = _symbol(symbols, name, axis)
            if not symbol:
                continue
            key = _key(symbol, shapes)
            if key is not None:
                used.add(key)
            known = sizes.setdefault(symbol, size) if key is None else _checked(key, shapes[key])
            if known != size:
                raise ModelError(
                    f"dimension {symbol!r} cannot be {known} and, in the shape given for input {name!r}, {size}"
                )
    return sizes


def _symbol(symbols: Symbols, name: str, axis: int) -> str:
    dims = symbols.get(name, ())
    return dims[axis] if axis < len(dims) else ""


def _key(symbol: str, shapes: Shapes) -> str | None:
    """The key of `shapes` that sizes a dimension of this name: the name itself first, then patterns in order."""
    if not symbol:
        return None
    if symbol in shapes:
        return symbol
    patterns = (key for key, size in shapes.items() if isinstance(size, int) and re.search(r"[*?\[]", key))
    return next((pattern for pattern in patterns if fnmatchcase(symbol, pattern)), None)


def _checked(key: str, size: int | Shape) -> int:
    if not isinstance(size, int) or size < 0:
        raise ModelError(f"the size given for dimension {key!r} must be a whole number of 0 or more, is {size}")
    return size


def _check_all_used(graph: Graph, symbols: Symbols, shapes: Shapes, used: set[str]) -> None:
    unused = sorted(set(shapes) - used)
    if not unused:
        return
    if unused[0] in graph.inputs:
        raise ModelError(
            f"input {unused[0]!r} is {graph.value(unused[0])}; the shape {shapes[unused[0]]} does not fit it"
        )
    known = sorted({symbol for name in graph.inputs for symbol in symbols.get(name, ()) if symbol} | set(graph.inputs))
    raise ModelError(
        f"shape given for {unused[0]!r}, which is no input or open dimension; "
        f"the model has: {', '.join(known[:_MOST_NAMES_IN_ERROR]) or 'no inputs'}"
    )


def _listed(unbound: list[tuple[str, int | None]], symbols: Symbols) -> str:
    texts = []
    for name, axis in unbound[:_MOST_NAMES_IN_ERROR]:
        symbol = "" if axis is None else _symbol(symbols, name, axis)
        where = f"{name} (rank unknown)" if axis is None else f"{name}[{axis}]"
        texts.append(f"{where} = {symbol!r}" if symbol else where)
    return ", ".join(texts)


def _example(graph: Graph, unbound: tuple[str, int | None], symbols: Symbols) -> str:
    name, axis = unbound
    symbol = "" if axis is None else _symbol(symbols, name, axis)
    if symbol:
        return f"--shape {symbol}=1"
    dims = graph.values[name].shape or (1,)
    return f"--shape {name}={'x'.join(str(d or 1) for d in dims)}"
