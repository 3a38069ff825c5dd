"""Calls of numpy whose operands are known beforehand, kept to be done many times."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from partita.kernels import threads
from partita.kernels.arrays import Array


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
    """Some calls that come first, then lists of them that may be done at the same time."""

    first: list[Call]
    lanes: list[list[Call]]

    def do(self) -> None:
        do_all(self.first)
        threads.share(do_all, self.lanes)

    @classmethod
    def of(cls, works: Sequence["Work"]) -> "Work":
        """Several, each lane of which needs only the same lane of those before."""
        first = [call for work in works for call in work.first]
        lanes = [[call for work in works for call in work.lanes[i]] for i in range(len(works[0].lanes))]
        return cls(first, [lane for lane in lanes if lane])


def do_all(calls: Sequence[Call]) -> None:
    for call in calls:
        call()
