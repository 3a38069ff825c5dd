"""What a placement costs in time or energy, as a sum over its parts: for the program, and as a problem of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from partita.partitioner.extra import Term
from partita.partitioner.problem import Problem, Tensor


@dataclass(frozen=True, slots=True)
class Quantity:
    """A weighted sum of the time (per microsecond) and the energy (per millijoule) of one inference."""

    per_us: float
    per_mj: float


LATENCY = Quantity(1.0, 0.0)
ENERGY = Quantity(0.0, 1.0)

Table = tuple[tuple[float, ...], ...]


def priced(problem: Problem, quantity: Quantity) -> Problem:
    """The same problem with the quantity in place of all times, so that its least time is the least quantity."""
    if quantity == LATENCY:
        return problem
    table = _tables(quantity)
    return replace(
        problem,
        call_us=_calls(problem, quantity),
        fixed_us=_fixed(problem, quantity),
        candidates=tuple(
            replace(c, cost_us=quantity.per_us * c.cost_us + quantity.per_mj * c.energy_mj) for c in problem.candidates
        ),
        tensors=tuple(replace(tensor, transfer_us=table(tensor)) for tensor in problem.tensors),
    )


def terms_of(problem: Problem, quantity: Quantity) -> tuple[list[Term], float]:
    """The quantity as a sum over the program's variables, and its constant part."""
    table = _tables(quantity)
    costs = [quantity.per_us * c.cost_us + quantity.per_mj * c.energy_mj for c in problem.candidates]
    terms: list[Term] = [(("z", c), cost) for c, cost in enumerate(costs) if cost]
    for t, tensor in enumerate(problem.tensors):
        for a, row in enumerate(table(tensor)):
            terms += [(("w", t, a, b), cost) for b, cost in enumerate(row) if a != b and cost]
    for u, cost in enumerate(_calls(problem, quantity)):
        if cost:
            terms += [(("s", i, u), cost) for i in range(problem.operators)]
    return terms, _fixed(problem, quantity)


def _calls(problem: Problem, quantity: Quantity) -> tuple[float, ...]:
    call_mj = problem.call_mj or (0.0,) * len(problem.call_us)
    return tuple(quantity.per_us * us + quantity.per_mj * mj for us, mj in zip(problem.call_us, call_mj, strict=True))


def _fixed(problem: Problem, quantity: Quantity) -> float:
    return quantity.per_us * problem.fixed_us + quantity.per_mj * problem.fixed_mj


def _tables(quantity: Quantity) -> Callable[[Tensor], Table]:
    """The transfer table of a tensor in the quantity; tensors of one type share their tables."""
    known: dict[tuple[int, int], Table] = {}

    def table(tensor: Tensor) -> Table:
        key = id(tensor.transfer_us), id(tensor.transfer_mj)
        if key not in known:
            known[key] = _table(tensor, quantity)
        return known[key]

    return table


def _table(tensor: Tensor, quantity: Quantity) -> Table:
    if quantity == LATENCY or not (quantity.per_mj and tensor.transfer_mj):
        return tuple(tuple(quantity.per_us * us for us in row) for row in tensor.transfer_us)
    return tuple(
        tuple(quantity.per_us * us + quantity.per_mj * mj for us, mj in zip(row_us, row_mj, strict=True))
        for row_us, row_mj in zip(tensor.transfer_us, tensor.transfer_mj, strict=True)
    )
