"""Convolutions that run one after the other as a list of numpy calls whose operands are known beforehand.

Between them tensors lie channels last in one arena, with the border that the convolution which reads them wants, so
that nothing is copied for padding: the call that limits a result writes it to its place. Operands are views of the
arena, made once and not for every run.
"""

from collections.abc import Collection, Mapping, Sequence

from partita.kernels import threads
from partita.kernels.arena import held_arena
from partita.kernels.arrays import Array, quiet
from partita.kernels.calls import Call, do_all
from partita.kernels.conv_blocks import Operands, block, scratch_elements
from partita.kernels.conv_chain import chain_calls, chain_scratch_elements
from partita.kernels.conv_kinds import is_pointwise, reach_of
from partita.kernels.conv_lanes import Chain, Phase, Unit, phases, pieces
from partita.kernels.conv_layout import Convolution, Layout
from partita.kernels.jobs import FLOAT_BYTES
from partita.kernels.layouts import Sizes
from partita.kernels.places import WHOLE, Piece, Place
from partita.kernels.windows import channels_last, channels_second

KEPT_BYTES = 1 << 26
"""A larger arena is not kept from run to run."""


def can_record(convolutions: Sequence[Convolution], outputs: Collection[str]) -> bool:
    """Whether a tape gains: they are of images, and what a depthwise one reads nobody else does.

    A product over the channels alone reads its input as it lies, without a copy.
    """
    if any(len(c.windows.kernel) != 2 or min(c.windows.begin) < 0 for c in convolutions):
        return False
    if len(convolutions) == 1 and is_pointwise(convolutions[0]):
        return False
    inputs = [name for c in convolutions for name in (c.x, c.addend)]
    return all(inputs.count(c.x) == 1 and c.x not in outputs for c in convolutions if c.is_depthwise)


class Tape:
    """Convolutions in their order for inputs of given shapes."""

    def __init__(
        self, convolutions: Sequence[Convolution], inputs: Mapping[str, Sizes], outputs: Mapping[str, Sizes]
    ) -> None:
        self._outputs = tuple(outputs)
        self._phases = phases(convolutions, outputs, threads.threads())
        times = [i for i, phase in enumerate(self._phases) for _ in phase.convolutions]
        nowhere = {c.output for phase in self._phases for unit in phase.units for c in unit[:-1]}
        self._layout = Layout(convolutions, inputs, outputs, reach_of, times=times, all_in_arena=True, nowhere=nowhere)
        self._recordings: list[_Recording] = []

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; each lies channels last."""
        recording = next((each for each in self._recordings if each.arena.lock.acquire(blocking=False)), None)
        if recording is None:
            recording = _Recording(self._phases, self._layout)
            if self._layout.arena_bytes <= KEPT_BYTES:
                self._recordings.append(recording)
        try:
            recording.play({name: channels_last(x) for name, x in given.items()})
            return {name: channels_second(recording.places[name].image.copy()) for name in self._outputs}
        finally:
            recording.arena.lock.release()


class _Recording:
    """The calls for one arena, whose lock it holds when it is new."""

    def __init__(self, grouped: Sequence[Phase], layout: Layout) -> None:
        units = [(unit, phase.lanes) for phase in grouped for unit in phase.units]
        batch = next(iter(layout.tensors.values())).shape[0]
        self._pieces = {unit[-1].output: list(pieces(unit, batch, lanes)) for unit, lanes in units}
        most = max(_scratch_elements(unit, piece) for unit, _ in units for piece in self._pieces[unit[-1].output])
        lanes = max(phase.lanes for phase in grouped)
        tensors = layout.arena_bytes // FLOAT_BYTES  # whole lines of the cache
        self.arena = held_arena(tensors + lanes * most)
        self._scratches = [self.arena.memory[tensors + i * most :][:most] for i in range(lanes)]
        stride_of = {unit[0].x: unit[0].windows.strides[1] for unit, _ in units if unit[0].is_depthwise}
        memory = self.arena.memory
        self.places = {name: Place.laid_in(memory, x, stride_of.get(name, 1)) for name, x in layout.tensors.items()}
        self._works = [self._work(phase) for phase in grouped]

    @quiet
    def play(self, images: Mapping[str, Array]) -> None:
        """`images` are the inputs, channels last."""
        for name, image in images.items():
            do_all([*self.places[name].zeros(), *self.places[name].write(image, WHOLE)])
        for lanes in self._works:
            threads.share(do_all, lanes)

    def _work(self, phase: Phase) -> list[list[Call]]:
        """What each lane does, which needs nothing that another one does. It has scratch memory of its own.

        The first writes the border, which nobody reads before the end.
        """
        lanes: list[list[Call]] = [[] for _ in range(phase.lanes)]
        for unit in phase.units:
            first, last, all_pieces = unit[0], unit[-1], self._pieces[unit[-1].output]
            lanes[0] += self.places[last.output].zeros()
            before = (0, 0) if is_pointwise(first) else first.windows.begin
            addend = None if last.addend is None else self.places[last.addend].image
            given = Operands(self.places[first.x].from_corner(before), self.places[last.output], addend)
            for lane, (calls, scratch) in enumerate(zip(lanes, self._scratches, strict=False)):
                some = [piece for piece in all_pieces if piece.lane == lane]
                if isinstance(unit, Chain):
                    calls += chain_calls(unit, some, given, scratch)
                else:
                    calls += (each for piece in some for each in block(first, piece, given, scratch))
        return [lane for lane in lanes if lane]


def _scratch_elements(unit: Unit, piece: Piece) -> int:
    return chain_scratch_elements(unit, piece) if isinstance(unit, Chain) else scratch_elements(unit[0], piece)
