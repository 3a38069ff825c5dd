"""Convolutions that run one after the other as one call of compiled code.

Between them tensors lie channels last in one arena, with the border of zeros that their readers want, so that nothing
is copied for padding. What the plan needs to know of shapes is worked out once per shape of the inputs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from partita.kernels import compiled, threads
from partita.kernels.arrays import Array
from partita.kernels.compiled import PLAIN, Ending
from partita.kernels.conv_bands import Chain, chains_of, shares_inputs
from partita.kernels.conv_layout import Convolution, Layout, Reach
from partita.kernels.jobs import (
    ARENA,
    COPY,
    DEPTHWISE,
    FLOAT_BYTES,
    PRODUCT,
    SIDE,
    WINOGRAD,
    WINOGRAD_LARGE,
    Job,
    address_of,
    even_rows,
    grid,
    panels_of,
    pieces_of_depth,
    pieces_of_taps,
    rows_at_once,
    side_by_side,
    table_of,
)
from partita.kernels.layouts import Laid, Sizes
from partita.kernels.native import loops
from partita.kernels.packing import packed
from partita.kernels.windows import Windows, channels_last, channels_second, is_channels_last
from partita.kernels.winograd import LARGE, SMALL, supports_winograd, transform_filters

FEW_CHANNELS = 8
"""An input with at most so many channels is read as it lies, channels first."""
LEAST_WINOGRAD_CHANNELS, LEAST_LARGE_POSITIONS, LEAST_SMALL_POSITIONS = 48, 576, 100
SCRATCH_BYTES = 1 << 20
"""Winograd's tiles are worked on in groups whose transforms take about this much (measured)."""


def winograd_tile(c: Convolution) -> int:
    """Outputs along a side of Winograd's tiles; 0 for another schedule.

    The larger transform of filters takes four times their memory, the smaller one 1.8 times, and where products have
    few rows, what counts is to read them.
    """
    if not supports_winograd(c.windows, c.group) or min(c.w.shape[:2]) < LEAST_WINOGRAD_CHANNELS:
        return 0
    positions = math.prod(c.windows.outputs)
    if positions >= LEAST_LARGE_POSITIONS:
        return 4
    return 2 if positions >= LEAST_SMALL_POSITIONS else 0


def _reach_of(c: Convolution) -> Reach:
    """The border that `c` wants: as far as whole tiles reach."""
    tile, (begin, end) = winograd_tile(c), c.reach
    if tile:
        spans = (-(-n // tile) * tile + 2 for n in c.windows.outputs)
        end = tuple(max(0, s - b - n) for s, b, n in zip(spans, c.windows.begin, c.windows.inputs, strict=True))
    return begin, end


def _tiles_at_once(c: Convolution) -> int:
    return rows_at_once(_bytes_per_tile(c), loops().rows, SCRATCH_BYTES)


def _bytes_per_tile(c: Convolution) -> int:
    return FLOAT_BYTES * (winograd_tile(c) + 2) ** 2 * sum(c.w.shape[:2])


def _scratch_bytes(c: Convolution) -> int:
    """What the tiles that one thread works on at a time take, transformed and multiplied."""
    return _bytes_per_tile(c) * _tiles_at_once(c) if winograd_tile(c) else 0


def can_plan(w: Array, group: int) -> bool:
    """Whether a constant weight is one for compiled convolutions: all channels together, or each on its own."""
    return (
        compiled.suits_weight(w)
        and w.size > 0
        and w.ndim > 2
        and (group == 1 or (w.shape[1] == 1 and w.shape[0] == group))
    )


def convolve_planned(x: Array, w: Array, windows: Windows, group: int, ending: Ending = PLAIN) -> Array:
    """One convolution of `x` (N, C, spatial ...) by a constant `w`, both float32; the result lies channels last."""
    given = {"x": x}
    if ending.bias is not None:
        given["bias"] = ending.bias
    if ending.addend is not None:
        given["addend"] = ending.addend
    first = reads_channels_first(x)
    shape = (x.shape[0], w.shape[0], *windows.outputs)
    limits = ending.low.tobytes(), ending.high.tobytes()
    key = ("plan", x.shape, first, windows, group, tuple(given), limits, threads.threads())

    def make(w: Array) -> Plan:
        one = Convolution(
            x="x", w=w, output="y", windows=windows, group=group, bias="bias" if "bias" in given else None,
            addend="addend" if "addend" in given else None, low=ending.low, high=ending.high,
        )  # fmt: skip
        shapes = {name: a.shape for name, a in given.items()} | {"addend": shape, "y": shape}
        return Plan([one], {name: shapes[name] for name in given}, {"y": shape}, frozenset("x" if first else ""))

    plan: Plan = packed(w, key, make)
    return plan.run(given)["y"]


def reads_channels_first(x: Array) -> bool:
    """Whether a plan had better read `x` as it lies, channels first, than reorder it."""
    return x.ndim > 2 and 1 < x.shape[1] <= FEW_CHANNELS and x.flags.c_contiguous and not is_channels_last(x)


class Plan:
    """Convolutions in their order as a table of jobs, for inputs of given shapes."""

    def __init__(
        self,
        convolutions: Sequence[Convolution],
        inputs: Mapping[str, Sizes],
        outputs: Mapping[str, Sizes],
        channels_first: frozenset[str] = frozenset(),
    ) -> None:
        self._inputs, self._outputs = dict(inputs), dict(outputs)
        self._kept: list[Any] = []
        """Arrays whose addresses are in the table."""
        self._threads = threads.threads()
        self._first = {name for name in channels_first if all(_suits_first(c, name) for c in convolutions)}
        batch = next(iter(inputs.values()))[0]
        chains = chains_of(convolutions, outputs, batch, self._threads)
        self._rings = {
            convolutions[chain.first + i].output: ring for chain in chains for i, ring in enumerate(chain.rings)
        }
        self._layout = Layout(
            convolutions, inputs, outputs, _reach_of, lambda c: _scratch_bytes(c) * self._threads,
            times=_times(convolutions, chains),
            bytes_of={name: ring.size_bytes * self._threads for name, ring in self._rings.items()},
        )  # fmt: skip
        self._layout.channels_first(self._first)
        self._chains = {chain.first: chain for chain in chains}
        rows = [(job, c) for i, c in enumerate(convolutions) for job in self._jobs(i, c)]
        self._table = table_of([job for job, _ in rows])
        self._limits = np.array([(c.low, c.high) for _, c in rows], np.float32)
        work = sum(math.prod(c.windows.outputs) * c.w.size for c in convolutions)
        self._worth_threads = work > compiled.LEAST_WORK

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; each lies channels last."""
        arrays = [self._as_laid(name, given[name]) for name in self._inputs]
        results = {
            name: np.empty((shape[0], *shape[2:], shape[1]), np.float32) for name, shape in self._outputs.items()
        }
        arena = np.empty(self._layout.arena_bytes // FLOAT_BYTES + 16, np.float32)
        start = -(-address_of(arena) // 64) * 64
        bases = np.array([0, start, *(address_of(a) for a in (*arrays, *results.values()))], np.int64)
        compiled.run_table(self._table, self._limits, bases, self._threads if self._worth_threads else 1)
        return {name: channels_second(y) for name, y in results.items()}

    def _as_laid(self, name: str, array: Array) -> Array:
        """Channels innermost and contiguous, or as it is."""
        if array.ndim < 3 or name in self._first:
            return np.ascontiguousarray(array, np.float32)
        return np.ascontiguousarray(channels_last(array), np.float32)

    def _at(self, array: Array) -> int:
        self._kept.append(array)
        return address_of(array)

    def _jobs(self, i: int, c: Convolution) -> list[Job]:
        layout = self._layout
        x, output = layout.read(c), layout.tensors[c.output]
        before = [self._copy(layout.tensors[c.x], x)] if layout.first_reader.get(c.x) == i else []
        if winograd_tile(c):
            job = self._winograd(c, x, output)
        else:
            job = self._depthwise(c, x, output) if c.is_depthwise else self._product(c, x, output)
        copy = layout.padded.get(c.output)
        job = self._in_rings(self._ended(job, c, output), c, i)
        return [*before, job, *([] if copy is None else [self._copy(output, copy)])]

    def _in_rings(self, job: Job, c: Convolution, i: int) -> Job:
        """The job as one of a chain, if it is: what it reads and writes are lines that its thread keeps."""
        x, output, chain = self._rings.get(c.x), self._rings.get(c.output), self._chains.get(i)
        if x is not None:
            job = job._replace(input=self._layout.tensors[c.x].offset, input_share=x.size_bytes, by_columns=0)
            if c.is_depthwise:
                job = job._replace(taps=self._at(x.lines_of(c.windows)))
            else:
                job = job._replace(input_rows=self._at(x.rows))
        if output is not None:
            offset = self._layout.tensors[c.output].offset
            zeros = np.ascontiguousarray(output.border + np.array([[offset, 0]]))
            job = job._replace(
                output=offset, output_rows=self._at(output.rows), output_share=output.size_bytes, by_columns=0,
                zero_slot=ARENA, zeros=self._at(zeros), zero_count=len(zeros),
            )  # fmt: skip
        if chain is not None:
            bands, count, _ = chain.cuts.shape
            job = job._replace(chain=count, bands=bands, cuts=self._at(chain.cuts))
        return job

    def _ended(self, job: Job, c: Convolution, output: Laid) -> Job:
        """The job with its bias, its addend and the border of its output."""
        columns = c.w.shape[0]
        if isinstance(c.bias, str):
            job = job._replace(bias_slot=self._layout.slots[c.bias])
        else:
            bias = np.zeros(columns, np.float32) if c.bias is None else np.ascontiguousarray(c.bias, np.float32)
            job = job._replace(bias=self._at(bias))
        if c.addend is not None:
            addend = self._layout.tensors[c.addend]
            rows = _cells(winograd_tile(c), addend) if winograd_tile(c) else addend.rows
            job = job._replace(addend_slot=addend.slot, addend=addend.origin, addend_rows=self._at(rows))
        return self._bordered(job, output)

    def _bordered(self, job: Job, output: Laid) -> Job:
        if not len(output.border) or output.slot != ARENA:
            return job
        zeros = np.ascontiguousarray(output.border + np.array([[output.offset, 0]]))
        return job._replace(zero_slot=ARENA, zeros=self._at(zeros), zero_count=len(zeros))

    def _copy(self, source: Laid, target: Laid) -> Job:
        lines, size = source.lines
        return self._bordered(
            Job(COPY, len(lines), size, source.slot, source.origin, self._at(lines), target.slot, target.origin,
                self._at(target.lines[0])),
            target,
        )  # fmt: skip

    def _product(self, c: Convolution, x: Laid, output: Laid) -> Job:
        windows, width = c.windows, loops().width
        depth = c.w.shape[1]
        steps = [s * step for s, step in zip(windows.strides, x.steps[1:], strict=True)]
        rows = grid((x.shape[0], *windows.outputs), (x.steps[0], *steps))
        kernel, taps = windows.kernel, [d * step for d, step in zip(windows.dilations, x.steps[1:], strict=True)]
        if x.channels_first:
            plane = FLOAT_BYTES * math.prod(x.padded[2:])
            kernel, taps = (depth, *kernel), [plane, *taps]
            panels = packed(c.w, ("first panels", width), lambda w: panels_of(w.reshape(w.shape[0], -1).T, width))
            pieces, at_once = pieces_of_taps(math.prod(kernel), 1), loops().rows
        else:
            panels = packed(c.w, ("panels", width), lambda w: panels_of(_by_input(w), width))
            pieces = pieces_of_taps(windows.taps, depth) if windows.taps > 1 else pieces_of_depth(depth)
            at_once = min(depth, int(pieces[0, 3])) * math.prod(windows.strides) * FLOAT_BYTES
        return Job(
            PRODUCT, len(rows), c.w.shape[0], x.slot, x.from_corner(windows.begin), self._at(rows), output.slot,
            output.origin, self._at(output.rows), taps=self._at(grid(tuple(kernel), tuple(taps))),
            pieces=self._at(pieces), piece_count=len(pieces), depth=panels.shape[1], weights=self._at(panels),
            at_once=rows_at_once(at_once, loops().rows),
            by_columns=compiled.shares_columns(len(rows), c.w.shape[0]),
        )  # fmt: skip

    def _depthwise(self, c: Convolution, x: Laid, output: Laid) -> Job:
        windows, channels = c.windows, c.w.shape[0]
        weights = packed(c.w, "taps, channels", lambda w: np.ascontiguousarray(w.reshape(channels, -1).T))
        steps = [s * step for s, step in zip(windows.strides, x.steps[1:], strict=True)]
        rows = grid((x.shape[0], *windows.outputs), (x.steps[0], *steps))
        gaps = tuple(d * step for d, step in zip(windows.dilations, x.steps[1:], strict=True))
        job = Job(
            DEPTHWISE, len(rows), channels, x.slot, x.from_corner(windows.begin), self._at(rows), output.slot,
            output.origin, self._at(output.rows), taps=self._at(grid(windows.kernel, gaps)), tap_count=windows.taps,
            weights=self._at(weights),
        )  # fmt: skip
        if not shares_inputs(windows):
            return job
        line, lines = windows.outputs[-1], (x.shape[0], *windows.outputs[:-1])
        return job._replace(
            input_rows=self._at(grid((line,), (steps[-1],))),
            taps=self._at(grid((*lines, SIDE), (x.steps[0], *steps[:-1], gaps[0]))),
            line=line, side_by_side=side_by_side(line), stride=windows.strides[-1], column_step=x.steps[-1],
        )  # fmt: skip

    def _winograd(self, c: Convolution, x: Laid, output: Laid) -> Job:
        tile, width = winograd_tile(c), loops().width
        matrices = LARGE if tile == 4 else SMALL
        panels = packed(
            c.w,
            ("winograd panels", tile, width),
            lambda w: np.stack([panels_of(plane, width) for plane in transform_filters(w, matrices)]),
        )
        counts = tuple(-(-n // tile) for n in c.windows.outputs)
        tiles = grid((x.shape[0], *counts), (x.steps[0], *(tile * step for step in x.steps[1:])))
        depth, columns, at_once = c.w.shape[1], c.w.shape[0], _tiles_at_once(c)
        even = np.concatenate([even_rows(at_once, FLOAT_BYTES * depth), even_rows(at_once, FLOAT_BYTES * columns)])
        pieces = pieces_of_depth(depth)
        return Job(
            WINOGRAD_LARGE if tile == 4 else WINOGRAD, len(tiles), columns, x.slot, x.from_corner(c.windows.begin),
            self._at(tiles), output.slot, output.origin, self._at(_cells(tile, output)),
            taps=self._at(np.zeros(1, np.int64)), pieces=self._at(pieces), piece_count=len(pieces), depth=depth,
            weights=self._at(panels), at_once=at_once, row_step=x.steps[1], column_step=x.steps[2],
            scratch_slot=ARENA, scratch=self._layout.scratch_of[c.output], scratch_bytes=_scratch_bytes(c),
            even_rows=self._at(even), no_bias=self._at(np.zeros(columns, np.float32)),
        )  # fmt: skip


def _times(convolutions: Sequence[Convolution], chains: Sequence[Chain]) -> list[int]:
    """The convolutions of a chain have the time of its first."""
    times = list(range(len(convolutions)))
    for chain in chains:
        for i in range(len(chain.rings) + 1):
            times[chain.first + i] = chain.first
    return times


def _cells(tile: int, tensor: Laid) -> Array:
    """For each tile the offsets of its positions in a tensor of the output's shape, -1 where there is none."""
    batch, *sizes = tensor.positions
    counts = [-(-n // tile) for n in sizes]
    cells = np.full((batch, *(n * tile for n in counts)), -1, np.int64)
    cells[:, : sizes[0], : sizes[1]] = tensor.rows.reshape(batch, *sizes)
    split = cells.reshape(batch, counts[0], tile, counts[1], tile).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(split)


def _by_input(w: Array) -> Array:
    """(M, C, kernel ...) as (taps * C, M)."""
    return w.reshape(*w.shape[:2], -1).transpose(2, 1, 0).reshape(-1, w.shape[0])


def _suits_first(c: Convolution, name: str) -> bool:
    """Whether `c` can read a tensor, if it does so at all, with its channels first."""
    return c.addend != name and (c.x != name or (c.group == 1 and not winograd_tile(c)))
