"""Consecutive convolutions of a graph, run as a whole: by compiled code, or by numpy where it gains."""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.graph.ir import Array, Node
from partita.kernels import compiled, threads
from partita.kernels import fused_tail as tail
from partita.kernels.conv_layout import Convolution
from partita.kernels.conv_plan import Plan, reads_channels_first
from partita.kernels.conv_tape import Tape, can_record
from partita.kernels.convolution import windows_of
from partita.kernels.fused import Part, chain_parts

Call = Callable[[Sequence[Any], Mapping[str, Any] | None], tuple[Any, ...]]
Shape = tuple[int, ...]
MOST_PLANS = 32
"""So many shapes of the inputs are remembered."""


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """One convolution of a stretch, before shapes are known."""

    node: Node
    x: str
    w: Array
    bias: Array | None
    addend: str | None
    limit: tail.Limit | None
    steps: tuple[tail.Step, ...]
    adds_last: bool
    attributes: dict[str, Any]

    def convolution(self, shape_of: Mapping[str, Shape]) -> Convolution:
        """With the shapes of the tensors that it reads; KernelError if they do not fit."""
        windows = windows_of(shape_of[self.x], self.w.shape, **self.attributes)
        output = (shape_of[self.x][0], self.w.shape[0], *windows.outputs)
        if self.addend is not None and shape_of[self.addend] != output:
            raise KernelError(f"{shape_of[self.addend]} is not the shape {output} of the convolution")
        low, high = (None, None) if self.limit is None else (self.limit.low, self.limit.high)
        return Convolution(
            x=self.x, w=self.w, output=self.node.outputs[0], windows=windows, bias=self.bias, addend=self.addend,
            group=self.attributes.get("group", 1), low=np.float32(-np.inf if low is None else low),
            high=np.float32(np.inf if high is None else high), steps=self.steps, adds_last=self.adds_last,
        )  # fmt: skip


def link_of(node: Node, constants: Mapping[str, Any]) -> Link | None:
    """The node as part of a stretch: a float32 Conv with constant weights, and what follows it.

    That may be an addition and limits; without compiled code also other activations, and the addition at the end.
    """
    found = chain_parts(node)
    if found is None or found[0].op != "Conv" or found[0].domain:
        return None
    producer, names, parts = found
    known = {"": None, **constants, **({} if node.body is None else node.body.constants)}
    x, w, b = (*(names.get(name, name) for name in producer.inputs), "")[:3]
    attributes, weights, bias = dict(producer.attributes), known.get(w), known.get(b)
    if x in known or not isinstance(weights, np.ndarray) or b not in known:
        return None
    group = attributes.get("group", 1)
    if weights.dtype != np.float32 or weights.flags.writeable or weights.ndim < 3 or weights.size == 0:
        return None
    if group > 1 and (weights.shape[1] != 1 or weights.shape[0] != group):
        return None
    if bias is not None and (bias.dtype != np.float32 or bias.shape != weights.shape[:1]):
        return None
    rest = [part._replace(operand=names.get(part.operand, part.operand)) for part in parts]
    before = _taken_addend(rest, 0, known)
    first = rest[0].step if rest else None
    limit = first if isinstance(first, tail.Limit) else None
    del rest[: limit is not None]
    if rest and compiled.is_available():
        return None
    after = None if before else _taken_addend(rest, -1, known)
    if any(part.operand for part in rest):
        return None
    steps = tuple(part.step for part in rest)
    return Link(node, x, weights, bias, before or after, limit, steps, after is not None, attributes)


def _taken_addend(parts: list[Part], i: int, known: Container[str]) -> str | None:
    """The name of a tensor that a part adds, if it does so; the part is then removed."""
    if not parts or parts[i].step is not tail.add or parts[i].operand in known:
        return None
    return parts.pop(i).operand


class Stretch:
    """Links in the order of the graph, and the tensors that others need of them."""

    needs_outer = False

    def __init__(self, links: Sequence[Link], outputs: Sequence[str], one_by_one: Call) -> None:
        made = {link.node.outputs[0] for link in links}
        read = (name for link in links for name in (link.x, link.addend) if name is not None)
        self.inputs = tuple(dict.fromkeys(name for name in read if name not in made))
        self.outputs = tuple(outputs)
        self._links, self._one_by_one = tuple(links), one_by_one
        self._plan_of = lru_cache(MOST_PLANS)(self._plan)

    def __call__(self, inputs: Sequence[Any], outer: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        """The outputs; node by node where the inputs are not what compiled code takes."""
        if not all(isinstance(x, np.ndarray) and x.dtype == np.float32 and x.size for x in inputs):
            return self._one_by_one(inputs, outer)
        given = dict(zip(self.inputs, inputs, strict=True))
        first = frozenset(name for name, x in given.items() if reads_channels_first(x))
        plan = self._plan_of(tuple(x.shape for x in inputs), first, threads.threads())
        if plan is None:
            return self._one_by_one(inputs, outer)
        results = plan.run(given)
        return tuple(results[name] for name in self.outputs)

    def _plan(self, shapes: Sequence[Shape], first: frozenset[str], _: int) -> Plan | Tape | None:
        """For so many threads. None if a shape does not fit: the kernel of that node then says so."""
        given, convolutions = dict(zip(self.inputs, shapes, strict=True)), []
        shape_of = dict(given)
        try:
            for link in self._links:
                each = link.convolution(shape_of)
                shape_of[each.output] = (shape_of[each.x][0], each.w.shape[0], *each.windows.outputs)
                convolutions.append(each)
        except (KernelError, IndexError):
            return None
        if any(0 in shape for shape in shape_of.values()):
            return None
        outputs = {name: shape_of[name] for name in self.outputs}
        if compiled.is_available():
            return Plan(convolutions, given, outputs, first)
        return Tape(convolutions, given, outputs) if can_record(convolutions, outputs) else None
