"""Convolutions that run one after the other as a list of numpy calls whose operands are known beforehand.

Between them tensors lie channels last in one arena. What a depthwise convolution reads has its border there, and its
columns sorted by their remainder modulo the stride, so that nothing is copied for padding: the call that limits a
result writes it to its place. Operands are views of the arena, made once and not for every run.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from partita.kernels import threads
from partita.kernels.arrays import Array, quiet
from partita.kernels.conv_lanes import ALL, WHOLE, Cut, Phase, is_pointwise, phases, pieces
from partita.kernels.conv_layout import Convolution, Layout, Reach
from partita.kernels.convolution import choose_schedule
from partita.kernels.jobs import FLOAT_BYTES
from partita.kernels.layouts import Laid, Sizes
from partita.kernels.packing import packed
from partita.kernels.windows import channels_last, channels_second

TILE_ELEMENTS = 1 << 13
"""The bias is repeated to about this length, for long inner loops."""
KEPT_BYTES = 1 << 26
"""A larger arena is not kept from run to run."""


class Call(NamedTuple):
    function: Callable[..., Any]
    operands: tuple[Any, ...]
    out: Array | None = None

    def __call__(self) -> None:
        if self.out is None:
            self.function(*self.operands)
        else:
            self.function(*self.operands, out=self.out)


class Work(NamedTuple):
    """Calls for one convolution: some that come first, then lists of them that may run at the same time."""

    first: list[Call]
    lanes: list[list[Call]]

    def do(self) -> None:
        _do_all(self.first)
        threads.share(_do_all, self.lanes)

    @classmethod
    def of(cls, works: Sequence["Work"]) -> "Work":
        """Several, each lane of which needs only the same lane of those before."""
        first = [call for work in works for call in work.first]
        lanes = [[call for work in works for call in work.lanes[i]] for i in range(len(works[0].lanes))]
        return cls(first, [lane for lane in lanes if lane])


def _do_all(calls: Sequence[Call]) -> None:
    for call in calls:
        call()


def can_record(convolutions: Sequence[Convolution], outputs: Collection[str]) -> bool:
    """Whether a tape gains: there are depthwise convolutions of images, and what they read nobody else does."""
    inputs = [name for c in convolutions for name in (c.x, c.addend)]
    depthwise = [c for c in convolutions if c.is_depthwise]
    if not depthwise or len(convolutions) < 2 or any(len(c.windows.kernel) != 2 for c in convolutions):
        return False
    return all(inputs.count(c.x) == 1 and c.x not in outputs and min(c.windows.begin) >= 0 for c in depthwise)


class Tape:
    """Convolutions in their order for inputs of given shapes; each run at a time has an arena of its own."""

    def __init__(
        self, convolutions: Sequence[Convolution], inputs: Mapping[str, Sizes], outputs: Mapping[str, Sizes]
    ) -> None:
        self._outputs = dict(outputs)
        self._phases = phases(convolutions, threads.threads())
        times = [i for i, phase in enumerate(self._phases) for _ in phase.convolutions]
        self._layout = Layout(convolutions, inputs, outputs, _reach_of, times=times)
        self._idle: list[_Recording] = []

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; each lies channels last."""
        try:
            recording = self._idle.pop()
        except IndexError:
            recording = _Recording(self._phases, self._layout)
        images = {name: np.empty((shape[0], *shape[2:], shape[1]), np.float32) for name, shape in self._outputs.items()}
        recording.play({name: channels_last(x) for name, x in given.items()} | images)
        if self._layout.arena_bytes <= KEPT_BYTES:
            self._idle.append(recording)
        return {name: channels_second(image) for name, image in images.items()}


class _Recording:
    """The calls for one arena; those that touch inputs or outputs of the run are made anew each time."""

    def __init__(self, grouped: Sequence[Phase], layout: Layout) -> None:
        convolutions = [c for phase in grouped for c in phase.convolutions]
        self._arena = np.empty(layout.arena_bytes // FLOAT_BYTES + 1, np.float32)
        self._batch = next(iter(layout.tensors.values())).shape[0]
        scratch_elements = max(self._scratch_elements(c, phase.lanes) for phase in grouped for c in phase.convolutions)
        self._scratches = [np.empty(scratch_elements, np.float32) for _ in range(max(phase.lanes for phase in grouped))]
        self._steps: list[tuple[Phase, Work | None]] = []
        self._images = {
            name: self._view(laid)[:, :, 0] for name, laid in layout.tensors.items() if name not in layout.slots
        }
        self._bordered: dict[str, _Bordered] = {}
        for c in convolutions:
            if c.is_depthwise:
                laid = layout.read(c)
                self._bordered[c.x] = _Bordered(self._view(laid, c.windows.strides[1]), laid)
                self._images.pop(c.x, None)
        for phase in grouped:
            is_fixed = all(
                {c.x, c.output, c.addend}.isdisjoint(layout.slots) and (c.is_depthwise or is_pointwise(c))
                for c in phase.convolutions
            )
            self._steps.append((phase, self._works(phase, self._images) if is_fixed else None))

    @quiet
    def play(self, images: dict[str, Array]) -> None:
        """`images` are the inputs and outputs, channels last."""
        known = self._images | images
        for phase, work in self._steps:
            (self._works(phase, known) if work is None else work).do()

    def _view(self, laid: Laid, stride: int = 1) -> Array:
        """A tensor of the arena as (N, rows, remainders of columns, columns, C), with its border."""
        batch, height, width, channels = laid.padded
        shape = (batch, height, stride, width // stride, channels)
        start = laid.offset // FLOAT_BYTES
        return self._arena[start : start + math.prod(shape)].reshape(shape)

    def _works(self, phase: Phase, images: Mapping[str, Array]) -> Work:
        return Work.of([self._work(c, phase.lanes, images) for c in phase.convolutions])

    def _work(self, c: Convolution, lanes: int, images: Mapping[str, Array]) -> Work:
        """Each lane has scratch memory of its own."""
        bordered, given = self._bordered.get(c.output), images.get(c.x)
        first = [] if bordered is None else list(bordered.zeros())
        if c.is_depthwise and given is not None:
            first += [*self._bordered[c.x].zeros(), *self._bordered[c.x].written_from(given, WHOLE)]
        whole = None
        if given is not None and not c.is_depthwise:
            whole = np.ascontiguousarray(given) if is_pointwise(c) else _computed(c, given)
        calls: list[list[Call]] = [[] for _ in range(lanes)]
        for piece in pieces(c, self._batch, lanes):
            scratch = self._scratches[piece.lane]
            calls[piece.lane] += self._block(c, images, whole, piece.cut, piece.shape, scratch)
        return Work(first, calls)

    def _block(
        self, c: Convolution, images: Mapping[str, Array], whole: Array | None, cut: Cut, shape: Sizes, scratch: Array
    ) -> Iterator[Call]:
        """One block of results. `whole`: of a product the input; of what is neither that nor depthwise, the sums."""
        bordered, image = self._bordered.get(c.output), images.get(c.output)
        results = scratch[: math.prod(shape)].reshape(shape) if image is None or cut[3] != ALL else image[cut]
        if whole is None:
            yield from self._depthwise(c, cut, results, scratch)
        elif is_pointwise(c):
            weights = packed(c.w, "inputs, filters", lambda w: np.ascontiguousarray(w.reshape(w.shape[0], -1).T))
            rows = whole[cut[:2]].reshape(-1, whole.shape[-1])
            yield Call(np.matmul, (rows, weights[:, cut[3]]), results.reshape(-1, shape[-1]))
        else:
            results = whole[cut]
        yield from self._ended(c, results, cut, image, bordered, None if c.addend is None else images[c.addend])

    def _scratch_elements(self, c: Convolution, lanes: int) -> int:
        most = max(math.prod(piece.shape) for piece in pieces(c, self._batch, lanes))
        return most * (2 if c.is_depthwise else 1)

    def _depthwise(self, c: Convolution, cut: Cut, results: Array, scratch: Array) -> Iterator[Call]:
        padded, windows = self._bordered[c.x].memory, c.windows
        (kernel, columns), (dilation, across) = windows.kernel, windows.dilations
        stride, channels = windows.strides[1], c.w.shape[0]
        run = windows.outputs[1] * channels
        filters = packed(
            c.w, f"taps, channels times {windows.outputs[1]}",
            lambda w: np.tile(np.moveaxis(w[:, 0], 0, -1), (1, 1, windows.outputs[1])),
        )  # fmt: skip
        step = math.lcm(stride, across) // across  # taps that are so far apart have one remainder
        sums = results.reshape(len(results), run)
        for tap in range(min(step, columns)):
            offset, remainder = divmod(tap * across, stride)
            first = padded[cut[0], cut[1].start * windows.strides[0] :, remainder, offset:]
            row, column = first.strides[0], first.strides[1]
            view = as_strided(
                first, (len(results), kernel, len(range(tap, columns, step)), run),
                (row * windows.strides[0], row * dilation, column * (step * across // stride), FLOAT_BYTES),
                writeable=False,
            )  # fmt: skip
            if tap == 0:
                yield Call(np.einsum, ("hijz,ijz->hz", view, filters[:, tap::step]), sums)
            else:
                more = scratch[-sums.size :].reshape(sums.shape)
                yield Call(np.einsum, ("hijz,ijz->hz", view, filters[:, tap::step]), more)
                yield Call(np.add, (sums, more), sums)

    def _ended(
        self, c: Convolution, results: Array, cut: Cut, image: Array | None,
        bordered: "_Bordered | None", addend: Array | None,
    ) -> Iterator[Call]:  # fmt: skip
        """What follows a block of results, contiguous, and how it gets to its place."""
        channels, part = results.shape[-1], cut[3]
        if isinstance(c.bias, np.ndarray):
            count = _divisor(results.size // channels, TILE_ELEMENTS // channels)
            long = results.reshape(-1, count * channels)
            bias = packed(c.bias, f"{part.start}:{part.stop} times {count}", lambda b: np.tile(b[part], count))
            yield Call(np.add, (long, bias), long)
        if addend is not None:
            yield Call(np.add, (results, addend[cut]), results)
        low, high = (c.low, c.high) if np.isfinite(c.low) or np.isfinite(c.high) else (None, None)
        if image is None and bordered is not None:
            yield from bordered.written_from(results, cut, low, high)
        elif image is not None:
            target = image[cut]
            if low is not None:
                yield Call(results.clip, (low, high), target)
            elif not np.shares_memory(target, results):
                yield Call(np.copyto, (target, results))


class _Bordered:
    """What a depthwise convolution reads: (N, rows, remainders, columns, C), zeros around the image."""

    def __init__(self, memory: Array, laid: Laid) -> None:
        self.memory = memory
        (self._top, self._left), (self._height, self._width) = laid.begin, laid.shape[2:]

    def _columns(self) -> Iterator[tuple[int, slice, slice]]:
        """Per remainder: the columns of the image that have it, and where they go."""
        stride = self.memory.shape[2]
        for remainder in range(stride):
            first = (remainder - self._left) % stride
            start = (first + self._left) // stride
            yield remainder, slice(first, None, stride), slice(start, start + len(range(first, self._width, stride)))

    def zeros(self) -> Iterator[Call]:
        inside = slice(self._top, self._top + self._height)
        borders = [self.memory[:, : inside.start], self.memory[:, inside.stop :]]
        for remainder, _, columns in self._columns():
            borders += [self.memory[:, inside, remainder, : columns.start]]
            borders += [self.memory[:, inside, remainder, columns.stop :]]
        return (Call(np.copyto, (border, np.float32(0))) for border in borders if border.size)

    def written_from(self, image: Array, cut: Cut, low: Any = None, high: Any = None) -> Iterator[Call]:
        """Write the part `cut` of the image, within limits if there are any."""
        first, last, _ = cut[1].indices(self._height)
        rows = slice(self._top + first, self._top + last)
        for remainder, source, target in self._columns():
            part, place = image[..., source, :], self.memory[cut[0], rows, remainder, target, cut[3]]
            yield Call(np.copyto, (place, part)) if low is None else Call(part.clip, (low, high), place)


def _reach_of(c: Convolution) -> Reach:
    """Borders only for depthwise convolutions, with a width that the stride divides."""
    begin, end = c.reach
    if not c.is_depthwise:
        return (0,) * len(begin), (0,) * len(end)
    over = (begin[1] + c.windows.inputs[1] + end[1]) % c.windows.strides[1]
    return begin, (end[0], end[1] + (c.windows.strides[1] - over if over else 0))


def _computed(c: Convolution, image: Array) -> Array:
    """The sums of a convolution by a schedule of its own, channels last and contiguous."""
    x = channels_second(image)
    return np.ascontiguousarray(channels_last(choose_schedule(x, c.w, c.windows, c.group)(x, c.w, c.windows, c.group)))


def _divisor(number: int, most: int) -> int:
    """The largest divisor of `number` up to `most`, at least 1."""
    return next(d for d in range(max(1, min(number, most)), 0, -1) if number % d == 0)
