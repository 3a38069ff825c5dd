"""What follows a product or convolution element by element, done in place on its result."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels import compiled
from partita.kernels.activation import gelu_erf_block, gelu_tanh_block, sigmoid_block
from partita.kernels.arrays import Array, highest, lowest, quiet
from partita.kernels.compiled import UNLIMITED, Ending
from partita.kernels.packing import packed
from partita.kernels.products import cuts
from partita.kernels.threads import share
from partita.kernels.windows import channels_last

Step = Callable[[Array, Any], None]
"""Changes a block in place: (block, operand or None)."""


TILE_ELEMENTS = 1 << 13
"""Numbers of channels are repeated to about this length: long inner loops, and still in the first-level cache."""
ALL = slice(None)
BLOCK_ELEMENTS = 1 << 16
"""A tail of several steps goes over blocks of at most this size, 256 KiB of float32, which threads share."""


@dataclass(frozen=True, slots=True)
class Link:
    """One operator of a tail: its step, and the operand it takes beside the block, if any."""

    step: Step
    operand: Any = None


def apply_ufunc(ufunc: np.ufunc) -> Step:
    return lambda block, operand: ufunc(block, out=block)


def add(block: Array, operand: Any) -> None:
    np.add(block, operand, out=block)


def subtract(block: Array, operand: Any) -> None:
    np.subtract(block, operand, out=block)


def subtract_from(block: Array, operand: Any) -> None:
    np.subtract(operand, block, out=block)


def multiply(block: Array, operand: Any) -> None:
    np.multiply(block, operand, out=block)


def divide(block: Array, operand: Any) -> None:
    np.divide(block, operand, out=block)


def divide_into(block: Array, operand: Any) -> None:
    np.divide(operand, block, out=block)


@dataclass(frozen=True, slots=True)
class Limit:
    """A step: between two numbers, either of them None."""

    low: Any
    high: Any

    def __call__(self, block: Array, operand: Any) -> None:
        least = lowest(block.dtype) if self.low is None else self.low
        most = highest(block.dtype) if self.high is None else self.high
        np.clip(block, least, most, out=block)


def leaky(alpha: float) -> Step:
    def step(block: Array, operand: Any) -> None:
        np.maximum(block, block * block.dtype.type(alpha), out=block)

    return step


def sigmoid(block: Array, operand: Any) -> None:
    sigmoid_block(block, block)


def swish(alpha: float) -> Step:
    def step(block: Array, operand: Any) -> None:
        scratch = block * block.dtype.type(-alpha)
        np.exp(scratch, out=scratch)
        scratch += 1
        np.divide(block, scratch, out=block)

    return step


def hard_sigmoid(alpha: float, beta: float) -> Step:
    def step(block: Array, operand: Any) -> None:
        np.multiply(block, alpha, out=block)
        np.add(block, beta, out=block)
        np.clip(block, 0, 1, out=block)

    return step


def hard_swish(block: Array, operand: Any) -> None:
    scratch = block * block.dtype.type(1 / 6)
    scratch += 0.5
    np.clip(scratch, 0, 1, out=scratch)
    np.multiply(block, scratch, out=block)


def exact_gelu(block: Array, operand: Any) -> None:
    if compiled.suits_rows(block):
        compiled.gelu_in_place(block)
    else:
        gelu_erf_block(block, block, np.empty_like(block))


def tanh_gelu(block: Array, operand: Any) -> None:
    result = np.empty_like(block)
    gelu_tanh_block(block, result, np.empty_like(block))
    block[...] = result


def gelu(approximate: str) -> Step:
    return tanh_gelu if approximate == "tanh" else exact_gelu


@dataclass(frozen=True, slots=True)
class Tail:
    """What is to be done to a result whose channels are on axis `channel_axis`: add a bias, then the links in order."""

    bias: Array | None = None
    """One number per channel."""
    links: Sequence[Link] = ()
    channel_axis: int = 1

    def split(self, shape: tuple[int, ...]) -> tuple[Ending, "Tail"]:
        """What a compiled product of `shape` does by itself, all in float32, and the tail that remains."""
        links, addend, low, high = list(self.links), None, *UNLIMITED
        if links and links[0].step is add and links[0].operand.shape == shape:
            addend = links.pop(0).operand
            by_row = channels_last(addend) if self.channel_axis == 1 else addend
            addend = np.ascontiguousarray(by_row, np.float32).reshape(-1, by_row.shape[-1])
        bounds = links[0].step if links else None
        if isinstance(bounds, Limit):
            del links[0]
            low = low if bounds.low is None else np.float32(bounds.low)
            high = high if bounds.high is None else np.float32(bounds.high)
        bias = None if self.bias is None else np.ascontiguousarray(self.bias, np.float32)
        if bias is not None and bias.shape != (shape[self.channel_axis],):
            raise KernelError(f"the bias has the shape {bias.shape} for {shape[self.channel_axis]} channels")
        return Ending(bias, addend, low, high), Tail(None, links, self.channel_axis)

    def finish(self, y: Array) -> Array:
        """The tail applied to a result that the caller owns: in place if it lies in one of two orders.

        Either the channels are innermost, and a row is a position; or all axes lie as they are written, and a row is
        a channel of one entry of the batch.
        """
        if (self.bias is None and not self.links) or y.size == 0:
            return y
        last = channels_last(y) if self.channel_axis == 1 else y
        y = y if last.flags.c_contiguous else np.ascontiguousarray(y)
        rows = self.on(y)
        share(
            lambda part: rows.finish(rows.matrix[part], part),
            cuts(len(rows.matrix), -(-y.size // BLOCK_ELEMENTS), rows.group),
        )
        return y

    def on(self, y: Array) -> "Rows":
        """The tail made ready for parts of a result as `finish` takes it."""
        last = channels_last(y) if self.channel_axis == 1 else y
        if last.flags.c_contiguous:
            rows = Rows(last.reshape(-1, last.shape[-1]), self.channel_axis, y.shape, channels_last=True)
        else:
            height = math.prod(y.shape[: self.channel_axis + 1])
            rows = Rows(y.reshape(height, -1), self.channel_axis, y.shape, channels_last=False)
        if self.bias is not None:
            if self.bias.size != last.shape[-1]:
                raise KernelError(f"the bias has {self.bias.size} numbers for {last.shape[-1]} channels")
            rows.links.append((add, rows.per_channel(self.bias)))
        rows.links += [rows.operand(link) for link in self.links]
        return rows


NO_TAIL = Tail()


class Rows:
    """A result as a matrix, either (positions, channels) or (batch * channels, positions), and what is to follow."""

    def __init__(self, matrix: Array, axis: int, shape: tuple[int, ...], *, channels_last: bool) -> None:
        self.matrix, self.axis, self.shape, self.channels_last = matrix, axis % len(shape), shape, channels_last
        self.links: list[tuple[Step, Any]] = []
        self.group = max(1, min(len(matrix), TILE_ELEMENTS // max(matrix.shape[1], 1)))
        """Rows that share one repetition of numbers of channels."""

    def per_channel(self, numbers: Array) -> Array:
        """Numbers of channels as `group` rows, or as a column as long as the matrix."""
        count = self.group if self.channels_last else len(self.matrix) // numbers.size
        repeated = packed(numbers, f"times {count}", lambda numbers: np.tile(numbers.reshape(-1), count))
        return repeated if self.channels_last else repeated.reshape(-1, 1)

    def operand(self, link: Link) -> tuple[Step, Any]:
        """The step with its operand in the order of the matrix."""
        x = link.operand
        if x is None:
            return link.step, None
        if x.size == 1 and x.ndim <= len(self.shape):
            return link.step, x.reshape(())
        sizes = (1,) * (len(self.shape) - x.ndim) + x.shape
        if all(n == 1 or axis == self.axis for axis, n in enumerate(sizes)):
            return link.step, self.per_channel(x)
        whole = np.broadcast_to(x, self.shape)
        whole = np.moveaxis(whole, self.axis, -1) if self.channels_last else whole
        return link.step, np.ascontiguousarray(whole).reshape(self.matrix.shape)

    @quiet
    def finish(self, block: Array, rows: slice = ALL, columns: slice = ALL) -> None:
        """All that follows, on a contiguous block of the matrix, some rows at a time that stay in a cache."""
        if not self.links:
            return
        first = rows.indices(len(self.matrix))[0]
        group = self.group if columns == ALL else 1
        for part in cuts(len(block), -(-block.size // BLOCK_ELEMENTS), group):
            even = part.start + (part.stop - part.start) // group * group
            for begin, end, together in ((part.start, even, group), (even, part.stop, part.stop - even)):
                if begin < end:
                    self._apply(block[begin:end], slice(first + begin, first + end), columns, together)

    def _apply(self, part: Array, rows: slice, columns: slice, group: int) -> None:
        """The links on some rows, seen as fewer rows that are `group` times as long."""
        long = part.reshape(-1, group * part.shape[1])
        for step, operand in self.links:
            if operand is None or operand.ndim == 0:
                step(long, operand)
            elif operand.ndim == 1:
                step(long, operand[: long.shape[1]] if columns == ALL else operand[columns])
            else:
                step(part, operand[rows, columns if operand.shape[1] > 1 else ALL])
