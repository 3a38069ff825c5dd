"""The numpy calls of consecutive convolutions, in memory that other processes run a part of them in (see `peers`)."""

import math
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np

from partita.kernels import peers, threads
from partita.kernels.arrays import Array, quiet
from partita.kernels.conv_layout import Convolution, Layout
from partita.kernels.conv_recording import TILE_ELEMENTS, Call, Recording
from partita.kernels.jobs import FLOAT_BYTES
from partita.kernels.peer import do_all


class Common(Recording):
    """A recording in memory that other processes run lanes in; inputs and outputs are copied there and back."""

    def __init__(
        self, convolutions: Sequence[Convolution], layout: Layout, bordered: Collection[str], lanes: int
    ) -> None:
        self._count, self._constants = lanes, dict[tuple[int, str], Array]()
        self._own: dict[str, Array] = {}
        self._results = {c.output for c in convolutions}
        self._memory = peers.Memory(_common_bytes(convolutions, layout, lanes), lanes)
        super().__init__(convolutions, layout, bordered)
        read = {name for c, work in self._steps if work is not None for name in (c.x, c.addend)}
        self._copied = [name for name in self._own if name in read and name not in self._results]
        self._known = self._images
        phases: list[Callable[[], object]] = []
        recorded: list[list[list[Call]]] = []
        for c, work in self._steps:
            if work is None:
                phases.append(partial(self._alone, c))
                recorded.append([[] for _ in range(lanes)])
                continue
            for each in ([work.first], work.lanes):
                if each[0]:
                    phases.append(partial(do_all, each[0]))
                    recorded.append([*each, *([] for _ in range(lanes - len(each)))])
        self._phases, self._pace = phases, peers.Pace()
        self._shared = peers.Shared(recorded, self._memory, lanes)

    def _floats(self, size: int) -> Array:
        return self._memory.floats(size)

    def _constant(self, array: Array, form: str, make: Callable[[Array], Array]) -> Array:
        key = id(array), form  # arrays live as long as the convolutions
        if key not in self._constants:
            self._constants[key] = self._memory.copy(make(array))
        return self._constants[key]

    def _lane_count(self) -> int:
        return self._count

    def _own_images(self, layout: Layout) -> dict[str, Array]:
        """Outputs and the other inputs, channels last."""
        for name in layout.slots:
            if name in self._put_in:
                continue
            batch, channels, *spatial = layout.tensors[name].shape
            self._own[name] = self._floats(batch * channels * math.prod(spatial)).reshape(batch, *spatial, channels)
        return self._own

    @quiet
    def play(self, images: dict[str, Array]) -> None:
        given = {name: image for name, image in images.items() if name not in self._results}

        def take_inputs() -> None:
            self._known = self._images | {name: image for name, image in given.items() if name not in self._put_in}
            for name in self._copied:
                np.copyto(self._images[name], given[name])
            self._put(given)

        began = time.perf_counter()
        with threads.claimed() as is_free:
            together = is_free and self._shared.are_ready() and self._pace.together()
            together = together and self._shared.run(take_inputs, self._phases)
        if not together:
            take_inputs()
            for c, work in self._steps:
                (self._work(c, self._known) if work is None else work).do()
        self._pace.took(time.perf_counter() - began, together=together)
        self._known = self._images
        for name in images.keys() - given.keys():
            np.copyto(images[name], self._images[name])

    def _alone(self, c: Convolution) -> None:
        """A convolution whose calls are not the same each time, on this process."""
        work = self._work(c, self._known)
        for calls in (work.first, *work.lanes):
            do_all(calls)


def _common_bytes(convolutions: Sequence[Convolution], layout: Layout, lanes: int) -> int:
    """Enough for a recording: the arena, scratch memory, inputs and outputs, and weights as they are repeated."""
    images = sum(math.prod(layout.tensors[name].shape) + peers.ALIGNMENT_BYTES for name in layout.slots)
    constants = sum(c.w.size * (c.windows.outputs[1] if c.is_depthwise else 1) for c in convolutions)
    biases = len(convolutions) * (TILE_ELEMENTS + 2 * peers.ALIGNMENT_BYTES) + sum(c.w.shape[0] for c in convolutions)
    scratch = lanes * max(math.prod(c.windows.outputs) * (2 * c.w.shape[0] + c.w[0].size) for c in convolutions)
    return layout.arena_bytes + FLOAT_BYTES * (images + constants + biases * (1 + lanes) + scratch + 1024)
