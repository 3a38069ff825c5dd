"""Convolutions that run one after the other, and where their tensors lie meanwhile."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from partita.kernels.arrays import Array
from partita.kernels.compiled import UNLIMITED
from partita.kernels.fused_tail import Step
from partita.kernels.jobs import ARENA
from partita.kernels.layouts import Laid, Share, Sizes, share_arena
from partita.kernels.windows import Windows

Reach = tuple[Sizes, Sizes]
"""How many zeros are wanted before and after each spatial axis."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution:
    """One convolution of named tensors, with what is done to its result before that is written."""

    x: str
    w: Array
    output: str
    windows: Windows
    group: int = 1
    """1, or as many as there are channels."""
    bias: str | Array | None = None
    """The name of a tensor that is given for each run, or a constant."""
    addend: str | None = None
    low: np.float32 = UNLIMITED[0]
    high: np.float32 = UNLIMITED[1]
    steps: tuple[Step, ...] = ()
    """What else is done to each result after the limits; numpy only."""
    adds_last: bool = False
    """Whether the addend comes after all that, and not before the limits."""

    @property
    def is_depthwise(self) -> bool:
        return self.group > 1

    @property
    def reach(self) -> Reach:
        """The padding that its windows meet."""
        windows = self.windows
        after = (max(0, s - b - n) for s, b, n in zip(windows.spans, windows.begin, windows.inputs, strict=True))
        return tuple(max(0, b) for b in windows.begin), tuple(after)


@dataclass(frozen=True, slots=True)
class _Life:
    """The first and the last convolution that has to do with a tensor, and the border that is wanted around it."""

    first: int
    last: int
    reach: Reach


class Layout:
    """Where every tensor of some convolutions lies.

    Inputs and outputs have slots of their own and no border; where one is wanted, there is a copy in the arena. All
    other tensors lie in the arena, each as long as it is needed.
    """

    def __init__(
        self,
        convolutions: Sequence[Convolution],
        inputs: Mapping[str, Sizes],
        outputs: Mapping[str, Sizes],
        reach_of: Callable[[Convolution], Reach],
        scratch_bytes: Callable[[Convolution], int] = lambda convolution: 0,
        *,
        times: Sequence[int] | None = None,
        all_in_arena: bool = False,
        nowhere: Collection[str] = (),
        bytes_of: Mapping[str, int] | None = None,
    ) -> None:
        """`times`: convolutions with the same number are computed at the same time; by default none are.

        `all_in_arena`: inputs and outputs lie there as well, the whole time. `nowhere`: tensors that lie nowhere.
        `bytes_of`: what tensors of which only parts are kept take in the arena.
        """
        self.slots = {} if all_in_arena else {name: ARENA + 1 + i for i, name in enumerate((*inputs, *outputs))}
        self.first_reader: dict[str, int] = {}
        """Inputs that are copied to have a border, by the convolution before which that happens."""
        self.padded: dict[str, Laid] = {}
        """Copies of inputs and outputs, with a border."""
        self.tensors: dict[str, Laid] = {}
        self.scratch_of: dict[str, int] = {}
        """Offsets in the arena, by the convolution's output."""
        self.arena_bytes = 0
        self._reach_of = reach_of
        self._bytes_of = bytes_of or {}
        self._times = range(len(convolutions)) if times is None else times
        batch = next(iter(inputs.values()))[0]
        shapes = {c.output: (batch, c.w.shape[0], *c.windows.outputs) for c in convolutions} | dict(inputs)
        lives = {name: life for name, life in _lives(convolutions, reach_of).items() if name not in nowhere}
        if all_in_arena:
            lives |= {name: replace(lives[name], first=0, last=len(convolutions) - 1) for name in (*inputs, *outputs)}
        self._lay(lives, shapes, convolutions, scratch_bytes)

    def read(self, c: Convolution) -> Laid:
        """The tensor that a convolution reads, with all the border that it wants."""
        x = self.tensors[c.x]
        begin, end = self._reach_of(c)
        enough = all(a >= b for a, b in zip((*x.begin, *x.end), (*begin, *end), strict=True))
        return x if enough else self.padded[c.x]

    def channels_first(self, names: set[str]) -> None:
        """Say that these inputs, and their copies, lie with their channels first."""
        for known in (self.tensors, self.padded):
            known.update({name: laid.with_channels_first() for name, laid in known.items() if name in names})

    def _share(self, name: str, size_bytes: int, first: int, last: int) -> Share:
        """Memory from the time of one convolution to that of another."""
        return Share(name, size_bytes, self._times[first], self._times[last])

    def _lay(
        self,
        lives: Mapping[str, _Life],
        shapes: Mapping[str, Sizes],
        convolutions: Sequence[Convolution],
        scratch_bytes: Callable[[Convolution], int],
    ) -> None:
        shares = []
        for name, life in lives.items():
            whole = Laid(ARENA, 0, shapes[name], *life.reach)
            if name not in self.slots:
                size_bytes = self._bytes_of.get(name, whole.size_bytes)
                shares.append(self._share(name, size_bytes, life.first, life.last))
                self.tensors[name] = whole
                continue
            self.tensors[name] = Laid(self.slots[name], 0, shapes[name], *_no_border(shapes[name]))
            if any(sum(life.reach, ())):
                if not any(c.output == name for c in convolutions):
                    self.first_reader[name] = next(i for i, c in enumerate(convolutions) if c.x == name)
                first = self.first_reader.get(name, life.first)
                shares.append(self._share(f"copy {name}", whole.size_bytes, first, life.last))
                self.padded[name] = whole
        shares += [self._share(f"scratch {c.output}", scratch_bytes(c), i, i) for i, c in enumerate(convolutions)]
        offset_of, self.arena_bytes = share_arena(shares)
        for name, offset in offset_of.items():
            kind, _, origin = name.partition(" ")
            if name in self.tensors:
                self.tensors[name] = self.tensors[name].moved_to(ARENA, offset)
            elif kind == "copy":
                self.padded[origin] = self.padded[origin].moved_to(ARENA, offset)
            else:
                self.scratch_of[origin] = offset


def _lives(convolutions: Sequence[Convolution], reach_of: Callable[[Convolution], Reach]) -> dict[str, _Life]:
    lives: dict[str, _Life] = {}
    for i, c in enumerate(convolutions):
        read = [(c.x, reach_of(c))] + ([] if c.addend is None else [(c.addend, None)])
        for name, reach in (*read, (c.output, None)):
            known = lives.get(name)
            wanted = reach or _no_border(c.w.shape)
            if known is not None:
                wanted = tuple(map(max, known.reach[0], wanted[0])), tuple(map(max, known.reach[1], wanted[1]))
            lives[name] = _Life(i if known is None else known.first, i, wanted)
    return lives


def _no_border(shape: Sizes) -> Reach:
    return (0,) * (len(shape) - 2), (0,) * (len(shape) - 2)
