"""Calls of numpy whose operands are known beforehand, kept to be done many times."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

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


def do_all(calls: Sequence[Call]) -> None:
    for call in calls:
        call()
