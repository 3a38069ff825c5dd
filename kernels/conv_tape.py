"""Convolutions that run one after the other as a list of numpy calls whose operands are known beforehand.

Between them tensors lie channels last in one arena, with the border that the convolution which reads them wants, so
that nothing is copied for padding: the call that limits a result writes it to its place. Operands are views of the
arena, made once and not for every run.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from partita.kernels import threads
from partita.kernels.arrays import Array, quiet
from partita.kernels.calls import Call, Work
from partita.kernels.conv_blocks import Operands, block, scratch_elements
from partita.kernels.conv_kinds import is_pointwise, reach_of
from partita.kernels.conv_lanes import Phase, phases, pieces
from partita.kernels.conv_layout import Convolution, Layout
from partita.kernels.jobs import FLOAT_BYTES
from partita.kernels.layouts import Sizes
from partita.kernels.places import WHOLE, Place
from partita.kernels.windows import channels_last, channels_second

KEPT_BYTES = 1 << 26
"""A larger arena is not kept from run to run."""


def can_record(convolutions: Sequence[Convolution], outputs: Collection[str]) -> bool:
    """Whether a tape gains: there are two convolutions of images, and what a depthwise one reads nobody else does."""
    if len(convolutions) < 2 or any(len(c.windows.kernel) != 2 or min(c.windows.begin) < 0 for c in convolutions):
        return False
    inputs = [name for c in convolutions for name in (c.x, c.addend)]
    return all(inputs.count(c.x) == 1 and c.x not in outputs for c in convolutions if c.is_depthwise)


class Tape:
    """Convolutions in their order for inputs of given shapes; each run at a time has an arena of its own."""

    def __init__(
        self, convolutions: Sequence[Convolution], inputs: Mapping[str, Sizes], outputs: Mapping[str, Sizes]
    ) -> None:
        self._outputs = dict(outputs)
        self._phases = phases(convolutions, threads.threads())
        times = [i for i, phase in enumerate(self._phases) for _ in phase.convolutions]
        self._layout = Layout(convolutions, inputs, outputs, reach_of, times=times)
        self._idle: list[_Recording] = []

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; each lies channels last."""
        try:
            recording = self._idle.pop()
        except IndexError:
            recording = _Recording(self._phases, self._layout)
        images = {name: np.empty((shape[0], *shape[2:], shape[1]), np.float32) for name, shape in self._outputs.items()}
        recording.play({name: self._as_read(name, channels_last(x)) for name, x in given.items()} | images)
        if self._layout.arena_bytes <= KEPT_BYTES:
            self._idle.append(recording)
        return {name: channels_second(image) for name, image in images.items()}


    def _as_read(self, name: str, image: Array) -> Array:
        """An input as it is if it is copied anyway; what is multiplied as it lies has its channels side by side."""
        return image if name in self._layout.padded else np.ascontiguousarray(image)


class _Recording:
    """The calls for one arena; those that touch inputs or outputs of the run are made anew each time."""

    def __init__(self, grouped: Sequence[Phase], layout: Layout) -> None:
        self._layout, self._batch = layout, next(iter(layout.tensors.values())).shape[0]
        self._arena = np.empty(layout.arena_bytes // FLOAT_BYTES + 1, np.float32)
        most = max(
            scratch_elements(c, piece)
            for phase in grouped
            for c in phase.convolutions
            for piece in pieces(c, self._batch, phase.lanes)
        )
        self._scratches = [np.empty(most, np.float32) for _ in range(max(phase.lanes for phase in grouped))]
        convolutions = [c for phase in grouped for c in phase.convolutions]
        stride_of = {c.x: c.windows.strides[1] for c in convolutions if c.is_depthwise}
        self._places = {
            name: Place.laid_in(self._arena, laid, stride_of.get(name, 1))
            for name, laid in layout.tensors.items()
            if name not in layout.slots
        }
        self._copies = {
            name: Place.laid_in(self._arena, laid, stride_of.get(name, 1)) for name, laid in layout.padded.items()
        }
        self._number = {c.output: i for i, c in enumerate(convolutions)}
        self._steps: list[tuple[Phase, Work | None]] = []
        for phase in grouped:
            is_fixed = all({c.x, c.output, c.addend}.isdisjoint(layout.slots) for c in phase.convolutions)
            self._steps.append((phase, self._works(phase, self._places) if is_fixed else None))

    @quiet
    def play(self, images: Mapping[str, Array]) -> None:
        """`images` are the inputs and outputs, channels last."""
        known = self._places | {name: Place.of(image) for name, image in images.items()}
        for phase, work in self._steps:
            (self._works(phase, known) if work is None else work).do()

    def _works(self, phase: Phase, places: Mapping[str, Place]) -> Work:
        return Work.of([self._work(c, phase.lanes, places) for c in phase.convolutions])

    def _work(self, c: Convolution, lanes: int, places: Mapping[str, Place]) -> Work:
        """Each lane has scratch memory of its own; the first writes the border, which nobody reads before the end."""
        given = self._operands(c, places)
        first: list[Call] = []
        if self._layout.first_reader.get(c.x) == self._number[c.output]:
            copy = self._copies[c.x]
            first = [*copy.zeros(), *copy.write(places[c.x].image, WHOLE)]
        calls: list[list[Call]] = [[] for _ in range(lanes)]
        for place in given.targets:
            calls[0] += place.zeros()
        for piece in pieces(c, self._batch, lanes):
            calls[piece.lane] += block(c, piece, given, self._scratches[piece.lane])
        return Work(first, calls)

    def _operands(self, c: Convolution, places: Mapping[str, Place]) -> Operands:
        copy = self._copies.get(c.output)
        targets = [places[c.output]] if copy is None else [places[c.output], copy]
        addend = None if c.addend is None else places[c.addend].image
        is_copied = c.x in self._copies and not is_pointwise(c)
        source = self._copies[c.x] if is_copied else places[c.x]
        before = (0, 0) if is_pointwise(c) else c.windows.begin
        return Operands(source.from_corner(before), targets, addend)
