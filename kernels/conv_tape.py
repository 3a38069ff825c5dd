"""Convolutions that run one after the other as a list of numpy calls whose operands are known beforehand.

Between them tensors lie channels last in one arena. What a depthwise convolution reads has its border there, and its
columns sorted by their remainder modulo the stride, so that nothing is copied for padding: the call that limits a
result writes it to its place. Operands are views of the arena, made once and not for every run. From the second run on
the lanes of a tape are run by processes where there are any (see `peers`), before that by threads.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from partita.kernels import peers, threads
from partita.kernels.arrays import Array
from partita.kernels.conv_common import Common
from partita.kernels.conv_layout import Convolution, Layout, Reach
from partita.kernels.conv_recording import Recording, is_pointwise, remainders
from partita.kernels.convolution import FEW_CHANNELS
from partita.kernels.layouts import Sizes
from partita.kernels.windows import channels_last, channels_second

KEPT_BYTES = 1 << 26
"""A larger arena is not kept from run to run."""


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
        self._convolutions, self._outputs = tuple(convolutions), dict(outputs)
        self._wanted = {c.x for c in convolutions if c.is_depthwise or _is_worth_unfolding(c, convolutions, outputs)}
        """Tensors that lie with a border in the arena."""
        self._layout = Layout(convolutions, inputs, outputs, lambda c: _reach_of(c) if c.x in self._wanted else _NONE)
        self._idle: list[Recording] = []
        self._runs, self._lanes = 0, min(threads.threads(), peers.MOST_LANES)

    def run(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; each lies channels last."""
        self._runs += 1
        if self._runs == 2 and self._lanes > 1 and self._layout.arena_bytes <= KEPT_BYTES and peers.are_supported():
            self._idle = self._in_common()
        try:
            recording = self._idle.pop()
        except IndexError:
            recording = Recording(self._convolutions, self._layout, self._wanted)
        images = {name: np.empty((shape[0], *shape[2:], shape[1]), np.float32) for name, shape in self._outputs.items()}
        recording.play({name: channels_last(x) for name, x in given.items()} | images)
        if self._layout.arena_bytes <= KEPT_BYTES:
            self._idle.append(recording)
        return {name: channels_second(image) for name, image in images.items()}

    def _in_common(self) -> list[Recording]:
        """A recording for processes; none where the system refuses them or their memory, so that threads go on."""
        try:
            return [Common(self._convolutions, self._layout, self._wanted, self._lanes)]
        except OSError:
            peers.dismiss()
            return []


_NONE: Reach = ((0, 0), (0, 0))


def _reach_of(c: Convolution) -> Reach:
    """The border that a convolution wants, with a width that its remainders divide."""
    begin, end = c.reach
    over = (begin[1] + c.windows.inputs[1] + end[1]) % remainders(c)
    return begin, (end[0], end[1] + (remainders(c) - over if over else 0))


def _is_worth_unfolding(c: Convolution, convolutions: Sequence[Convolution], outputs: Collection[str]) -> bool:
    """Whether windows of a few channels, which nobody else reads, are copied side by side from a tensor with border."""
    readers = [name for other in convolutions for name in (other.x, other.addend)]
    if c.group > 1 or c.w.shape[1] > FEW_CHANNELS or is_pointwise(c) or min(c.windows.begin) < 0:
        return False
    return readers.count(c.x) == 1 and c.x not in outputs
