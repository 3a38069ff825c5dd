"""The placement problem as an integer linear program, solved by HiGHS through PuLP (`program.py`).

`docs/formulation.md` explains the variables z, x, y, w, r, h, s and why this form has a tight relaxation.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from partita.errors import PlacementError
from partita.partitioner.extra import Extra, Key
from partita.partitioner.instance import Floats
from partita.partitioner.problem import HOST, Problem, Tensor, evaluate
from partita.partitioner.program import SOLVER, Program

Term = tuple[int, float]
"""A variable of the program and its factor."""
NOBODY = -1
"""Holds the floor before the first call."""


@dataclass(frozen=True, slots=True)
class Solution:
    """Chosen candidates, their exact time, and what the solver proved."""

    chosen: tuple[int, ...]
    objective_us: float
    bound_us: float
    status: str
    solver: str
    solve_s: float
    any_order: float | None = None
    """No choice has less in any order of the operators; None if that is not known."""


class InfeasibleError(PlacementError):
    """No choice of candidates satisfies every row."""


def solve(  # noqa: PLR0913  (what to solve, where from, how far)
    problem: Problem,
    *,
    start: Sequence[int] | None = None,
    gap: float = 1e-4,
    time_limit_s: float = 60.0,
    extra: Extra | None = None,
    value: Callable[[Sequence[int]], float] | None = None,
    most_nodes: int | None = None,
) -> Solution:
    """The least-time choice of candidates, proven to within `gap`, or the best one found in `time_limit_s`.

    `start` is a feasible choice that the solver may begin from and that is returned if nothing better is found.
    `extra` adds rows, and another objective, of which `value` is the exact figure for a choice. Raises
    InfeasibleError if no choice covers every operator within the rows, PlacementError if time ran out before any was
    found.
    """
    began = time.perf_counter()
    exact = value or (lambda chosen: evaluate(problem, chosen).total_us)
    model = _Model(problem, extra or Extra())
    begin = None if start is None else model.values(start)
    options = {} if most_nodes is None else {"mip_max_nodes": most_nodes}
    answer = model.program.solve(gap=gap, time_limit_s=time_limit_s, start=begin, options=options)
    if answer.is_infeasible:
        raise InfeasibleError("no choice of kernels covers every operator")
    chosen = model.chosen(answer.values) if len(answer.values) else None
    if chosen is None or (start is not None and exact(start) < exact(chosen)):
        chosen = tuple(start) if start is not None else None
    if chosen is None:
        raise PlacementError(f"no placement was found within {time_limit_s:g} s; give a longer --time-limit")
    objective_us = exact(chosen)
    bound_us = min(objective_us, answer.bound + model.constant)
    return Solution(
        chosen=chosen,
        objective_us=objective_us,
        bound_us=max(0.0, bound_us),
        status="optimal" if objective_us - bound_us <= max(gap, 1e-9) * objective_us + 1e-6 else "time_limit",
        solver=SOLVER,
        solve_s=time.perf_counter() - began,
    )


class _Model:
    """Variables and rows of one problem. Operators are i, locations a and b, units u."""

    def __init__(self, problem: Problem, extra: Extra) -> None:
        self.problem = problem
        self.extra = extra
        self.wanted = extra.keys
        self.named: dict[Key, list[Term]] = {}
        self.constant = problem.fixed_us if extra.objective is None else 0.0
        self.program = Program()
        self.one = self.program.variable(lower=1.0)
        self.z = [self.program.variable(candidate.cost_us, whole=True) for candidate in problem.candidates]
        for covering in problem.covering:
            self._row([(self.z[c], 1.0) for c in covering], 1.0, 1.0)
        self.x = [self._locations(i) for i in range(problem.operators)]
        for number, tensor in enumerate(problem.tensors):
            self._add_transfers(number, tensor)
        self._add_calls()
        self._add_extra()

    def chosen(self, values: Floats) -> tuple[int, ...]:
        return tuple(c for c, z in enumerate(self.z) if values[z] > 0.5)

    def values(self, chosen: Sequence[int]) -> dict[int, float]:
        """The choice as values of z."""
        found = dict.fromkeys(self.z, 0.0)
        found.update((self.z[c], 1.0) for c in chosen)
        return found

    def _pay(self, variable: int, cost_us: float) -> None:
        self.program.cost[variable] += cost_us

    def _row(self, terms: list[Term], low: float = -math.inf, high: float = math.inf) -> None:
        """Terms may name a variable twice."""
        factor_of: dict[int, float] = {}
        for variable, factor in terms:
            factor_of[variable] = factor_of.get(variable, 0.0) + factor
        self.program.row(list(factor_of), list(factor_of.values()), low, high)

    def _locations(self, i: int) -> dict[int, int]:
        """x[a]: operator i runs at location a. One covering candidate: its own z; several: their sum."""
        by_location: dict[int, list[int]] = {}
        for c in self.problem.covering[i]:
            by_location.setdefault(self.problem.candidates[c].location, []).append(self.z[c])
        found: dict[int, int] = {}
        for a in sorted(by_location):
            if len(by_location[a]) == 1:
                found[a] = by_location[a][0]
                continue
            found[a] = self.program.variable()
            self._row([(found[a], 1.0), *((z, -1.0) for z in by_location[a])], 0.0, 0.0)
        return found

    def _at(self, operator: int) -> dict[int, int]:
        return {self.problem.host: self.one} if operator == HOST else self.x[operator]

    def _add_transfers(self, number: int, tensor: Tensor) -> None:
        """One consumer: cost on the pairwise marginals y. Several: w[a, b] >= y of each, paid once per (a, b)."""
        cost_us = tensor.transfer_us
        paid: dict[tuple[int, int], int] = {}
        for consumer in tensor.consumers:
            sources, targets = self._at(tensor.producer), self._at(consumer)
            moves = [(a, b) for a in sources for b in targets if a != b]
            dear = [(a, b) for a, b in moves if cost_us[a][b] > 0 or ("w", number, a, b) in self.wanted]
            told = [(a, b) for a, b in moves if ("y", number, consumer, a, b) in self.wanted]
            if not dear and not told:
                continue
            y = self._pairs(sources, targets)
            self.named.update({("y", number, consumer, a, b): [(y[a, b], 1.0)] for a, b in told})
            for a, b in dear:
                if len(tensor.consumers) == 1:
                    self._pay(y[a, b], cost_us[a][b])
                    self.named["w", number, a, b] = [(y[a, b], 1.0)]
                    continue
                if (a, b) not in paid:
                    paid[a, b] = self.program.variable()
                    self._pay(paid[a, b], cost_us[a][b])
                    self.named["w", number, a, b] = [(paid[a, b], 1.0)]
                self._row([(paid[a, b], 1.0), (y[a, b], -1.0)], 0.0)

    def _pairs(self, sources: dict[int, int], targets: dict[int, int]) -> dict[tuple[int, int], int]:
        """y[a, b]: made at a and wanted at b; its sums over b and over a are the two operators' own variables."""
        if len(sources) == 1:
            return {(a, b): target for a in sources for b, target in targets.items()}
        if len(targets) == 1:
            return {(a, b): source for a, source in sources.items() for b in targets}
        y = {(a, b): self.program.variable() for a in sources for b in targets}
        for a, source in sources.items():
            self._row([(source, -1.0), *((y[a, b], 1.0) for b in targets)], 0.0, 0.0)
        for b, target in targets.items():
            self._row([(target, -1.0), *((y[a, b], 1.0) for a in sources)], 0.0, 0.0)
        return y

    def _add_calls(self) -> None:
        """s[i, u] >= r[i, u] - r[i-1, u], where r says which unit holds the floor after operator i.

        An operator absorbed by a later sink leaves the floor where it was: r = h there, with h at most the r before.
        """
        asked = {key[2] for key in self.wanted if key[0] == "s"}
        units = [u for u, us in enumerate(self.problem.call_us) if us > 0 or u in asked]
        if not units and not any(key[0] == "r" for key in self.wanted):
            return
        before: dict[int, list[Term]] = {NOBODY: [(self.one, 1.0)]}
        for i in range(self.problem.operators):
            floor = self._floor(i, before)
            self.named.update({("r", i, u): terms for u, terms in floor.items() if u != NOBODY})
            for u in units:
                if not floor.get(u):
                    continue
                s = self.program.variable()
                self.named["s", i, u] = [(s, 1.0)]
                self._pay(s, self.problem.call_us[u])
                changes = [(variable, -factor) for variable, factor in floor[u]] + before.get(u, [])
                self._row([(s, 1.0), *changes], 0.0)
            before = floor

    def _floor(self, i: int, before: dict[int, list[Term]]) -> dict[int, list[Term]]:
        """Per unit the terms of r[i, u]."""
        problem = self.problem
        floor: dict[int, list[Term]] = {}
        absorbed: list[Term] = []
        for c in problem.covering[i]:
            candidate = problem.candidates[c]
            if candidate.operators[-1] == i:
                floor.setdefault(problem.unit_of_location[candidate.location], []).append((self.z[c], 1.0))
            else:
                absorbed.append((self.z[c], 1.0))
        if not absorbed:
            return floor
        holds: list[Term] = []
        for u in sorted(before):
            h = self.program.variable()
            self._row([(h, 1.0), *((v, -f) for v, f in before[u])], high=0.0)
            floor.setdefault(u, []).append((h, 1.0))
            holds.append((h, -1.0))
        self._row([*absorbed, *holds], 0.0, 0.0)
        return floor

    def _add_extra(self) -> None:
        """The rows, variables and objective that `extra` adds; a key without a variable is 0."""
        self.named.update({("z", c): [(z, 1.0)] for c, z in enumerate(self.z)})
        for key, column in self.extra.columns.items():
            self.named[key] = [(self.program.variable(0.0, column.low, column.high, whole=column.whole), 1.0)]
        for row in self.extra.rows:
            self._row(self._terms(row.terms), row.high if row.low == row.high else -math.inf, row.high)
        if self.extra.objective is not None:
            cost_of = dict(self._terms(self.extra.objective))
            self.program.cost = [cost_of.get(variable, 0.0) for variable in range(len(self.program.cost))]

    def _terms(self, terms: Sequence[tuple[Key, float]]) -> list[Term]:
        """The same terms in variables, each variable once."""
        factor_of: dict[int, float] = {}
        for key, factor in terms:
            for variable, inner in self.named.get(key, ()):
                factor_of[variable] = factor_of.get(variable, 0.0) + factor * inner
        return list(factor_of.items())
