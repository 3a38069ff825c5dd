"""The placement problem as an integer linear program, solved by HiGHS through PuLP. The only importer of pulp.

`docs/formulation.md` explains the variables z, x, y, w, r, h, s and why this form has a tight relaxation.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
import pulp

from partita.errors import PlacementError
from partita.partitioner.extra import Extra, Key
from partita.partitioner.problem import HOST, Problem, Tensor, evaluate

Term = tuple[pulp.LpVariable, float]
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
    limits = {} if most_nodes is None else {"mip_max_nodes": most_nodes}
    solver = _Highs(model, start, gapRel=gap, timeLimit=time_limit_s, threads=1, random_seed=0, msg=False, **limits)
    model.lp.solve(solver)
    highs = model.lp.solverModel
    status = highs.getModelStatus()
    if status == highspy.HighsModelStatus.kInfeasible:
        raise InfeasibleError("no choice of kernels covers every operator")
    info = highs.getInfo()
    chosen = model.chosen() if info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible else None
    if chosen is None or (start is not None and exact(start) < exact(chosen)):
        chosen = tuple(start) if start is not None else None
    if chosen is None:
        raise PlacementError(f"no placement was found within {time_limit_s:g} s; give a longer --time-limit")
    objective_us = exact(chosen)
    bound_us = min(objective_us, info.mip_dual_bound + model.constant)
    return Solution(
        chosen=chosen,
        objective_us=objective_us,
        bound_us=max(0.0, bound_us),
        status="optimal" if objective_us - bound_us <= max(gap, 1e-9) * objective_us + 1e-6 else "time_limit",
        solver=f"HiGHS {highs.version()} through PuLP {pulp.__version__}",
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
        self.lp = pulp.LpProblem("placement", pulp.LpMinimize)
        self.cost_of: dict[pulp.LpVariable, float] = {}
        self.rows = 0
        self.one = pulp.LpVariable("one", 1, 1)
        self.z = [self._variable(f"z_{c}", pulp.LpInteger) for c in range(len(problem.candidates))]
        for z, candidate in zip(self.z, problem.candidates, strict=True):
            self._pay(z, candidate.cost_us)
        for covering in problem.covering:
            self._row([(self.z[c], 1.0) for c in covering], pulp.LpConstraintEQ, 1.0)
        self.x = [self._locations(i) for i in range(problem.operators)]
        for number, tensor in enumerate(problem.tensors):
            self._add_transfers(number, tensor)
        self._add_calls()
        self._add_extra()
        self.lp.setObjective(pulp.LpAffineExpression(self.cost_of))

    def chosen(self) -> tuple[int, ...]:
        return tuple(c for c, z in enumerate(self.z) if (z.varValue or 0.0) > 0.5)

    def _variable(self, name: str, category: str = pulp.LpContinuous, high: float | None = 1) -> pulp.LpVariable:
        return pulp.LpVariable(name, 0, high, category)

    def _pay(self, variable: pulp.LpVariable, cost_us: float) -> None:
        self.cost_of[variable] = self.cost_of.get(variable, 0.0) + cost_us

    def _row(self, terms: list[Term], sense: int, rhs: float) -> None:
        self.lp.addConstraint(pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, f"r{self.rows}", rhs))
        self.rows += 1

    def _locations(self, i: int) -> dict[int, pulp.LpVariable]:
        """x[a]: operator i runs at location a. One covering candidate: its own z; several: their sum."""
        by_location: dict[int, list[pulp.LpVariable]] = {}
        for c in self.problem.covering[i]:
            by_location.setdefault(self.problem.candidates[c].location, []).append(self.z[c])
        found: dict[int, pulp.LpVariable] = {}
        for a in sorted(by_location):
            if len(by_location[a]) == 1:
                found[a] = by_location[a][0]
                continue
            found[a] = self._variable(f"x_{i}_{a}")
            self._row([(found[a], 1.0), *((z, -1.0) for z in by_location[a])], pulp.LpConstraintEQ, 0.0)
        return found

    def _at(self, operator: int) -> dict[int, pulp.LpVariable]:
        return {self.problem.host: self.one} if operator == HOST else self.x[operator]

    def _add_transfers(self, number: int, tensor: Tensor) -> None:
        """One consumer: cost on the pairwise marginals y. Several: w[a, b] >= y of each, paid once per (a, b)."""
        cost_us = tensor.transfer_us
        paid: dict[tuple[int, int], pulp.LpVariable] = {}
        for consumer in tensor.consumers:
            sources, targets = self._at(tensor.producer), self._at(consumer)
            moves = [(a, b) for a in sources for b in targets if a != b]
            dear = [(a, b) for a, b in moves if cost_us[a][b] > 0 or ("w", number, a, b) in self.wanted]
            told = [(a, b) for a, b in moves if ("y", number, consumer, a, b) in self.wanted]
            if not dear and not told:
                continue
            y = self._pairs(f"y_{number}_{consumer}", sources, targets)
            self.named.update({("y", number, consumer, a, b): [(y[a, b], 1.0)] for a, b in told})
            for a, b in dear:
                if len(tensor.consumers) == 1:
                    self._pay(y[a, b], cost_us[a][b])
                    self.named["w", number, a, b] = [(y[a, b], 1.0)]
                    continue
                if (a, b) not in paid:
                    paid[a, b] = self._variable(f"w_{number}_{a}_{b}")
                    self._pay(paid[a, b], cost_us[a][b])
                    self.named["w", number, a, b] = [(paid[a, b], 1.0)]
                self._row([(paid[a, b], 1.0), (y[a, b], -1.0)], pulp.LpConstraintGE, 0.0)

    def _pairs(
        self, name: str, sources: dict[int, pulp.LpVariable], targets: dict[int, pulp.LpVariable]
    ) -> dict[tuple[int, int], pulp.LpVariable]:
        """y[a, b]: made at a and wanted at b; its sums over b and over a are the two operators' own variables."""
        if len(sources) == 1:
            return {(a, b): target for a in sources for b, target in targets.items()}
        if len(targets) == 1:
            return {(a, b): source for a, source in sources.items() for b in targets}
        y = {(a, b): self._variable(f"{name}_{a}_{b}") for a in sources for b in targets}
        for a, source in sources.items():
            self._row([(source, -1.0), *((y[a, b], 1.0) for b in targets)], pulp.LpConstraintEQ, 0.0)
        for b, target in targets.items():
            self._row([(target, -1.0), *((y[a, b], 1.0) for a in sources)], pulp.LpConstraintEQ, 0.0)
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
                s = self._variable(f"s_{i}_{u}")
                self.named["s", i, u] = [(s, 1.0)]
                self._pay(s, self.problem.call_us[u])
                changes = [(variable, -factor) for variable, factor in floor[u]] + before.get(u, [])
                self._row([(s, 1.0), *changes], pulp.LpConstraintGE, 0.0)
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
            h = self._variable(f"h_{i}_{u}")
            self._row([(h, 1.0), *((v, -f) for v, f in before[u])], pulp.LpConstraintLE, 0.0)
            floor.setdefault(u, []).append((h, 1.0))
            holds.append((h, -1.0))
        self._row([*absorbed, *holds], pulp.LpConstraintEQ, 0.0)
        return floor

    def _add_extra(self) -> None:
        """The rows, variables and objective that `extra` adds; a key without a variable is 0."""
        self.named.update({("z", c): [(z, 1.0)] for c, z in enumerate(self.z)})
        for number, (key, column) in enumerate(self.extra.columns.items()):
            category = pulp.LpInteger if column.whole else pulp.LpContinuous
            variable = self._variable(f"own_{number}", category, None if column.high == math.inf else column.high)
            variable.lowBound = column.low
            self.named[key] = [(variable, 1.0)]
        for row in self.extra.rows:
            terms = self._terms(row.terms)
            if row.low == row.high:
                self._row(terms, pulp.LpConstraintEQ, row.high)
            else:
                self._row(terms, pulp.LpConstraintLE, row.high)
        if self.extra.objective is not None:
            self.cost_of = dict(self._terms(self.extra.objective))

    def _terms(self, terms: Sequence[tuple[Key, float]]) -> list[Term]:
        """The same terms in variables, each variable once."""
        factor_of: dict[pulp.LpVariable, float] = {}
        for key, factor in terms:
            for variable, inner in self.named.get(key, ()):
                factor_of[variable] = factor_of.get(variable, 0.0) + factor * inner
        return list(factor_of.items())


class _Highs(pulp.HiGHS):  # type: ignore[misc]  # PuLP has no types
    """PuLP's HiGHS, but the model is loaded in bulk and a start is handed over, which PuLP 3.3 does not do."""

    def __init__(self, model: _Model, start: Sequence[int] | None, **options: Any) -> None:
        super().__init__(**options)
        self._model = model
        self._start = start

    def buildSolverModel(self, lp: pulp.LpProblem) -> None:  # noqa: N802  (PuLP's name)
        highs = lp.solverModel
        variables = lp.variables()
        for index, variable in enumerate(variables):
            variable.index = index
        count, empty = len(variables), np.zeros(0)
        cost = np.array([self._model.cost_of.get(v, 0.0) for v in variables])
        lower = np.array([v.lowBound for v in variables], float)
        upper = np.array([highspy.kHighsInf if v.upBound is None else v.upBound for v in variables], float)
        highs.addCols(count, cost, lower, upper, 0, np.zeros(count, np.int32), empty.astype(np.int32), empty)
        whole = np.array([v.index for v in variables if v.cat == pulp.LpInteger], np.int32)
        highs.changeColsIntegrality(len(whole), whole, np.full(len(whole), 1, np.uint8))
        self._add_rows(highs, list(lp.constraints.values()))
        if self._start is not None:
            chosen = np.array([self._model.z[c].index for c in range(len(self._model.z))], np.int32)
            values = np.zeros(len(chosen))
            values[list(self._start)] = 1.0
            highs.setSolution(len(chosen), chosen, values)

    def findSolutionValues(self, lp: pulp.LpProblem) -> tuple[int, int]:  # noqa: N802  (PuLP's name)
        """PuLP's, but PuLP 3.3 knows no limit of nodes as an end: it raises after it has read the values."""
        try:
            return super().findSolutionValues(lp)
        except KeyError:
            return pulp.LpStatusOptimal, pulp.LpSolutionIntegerFeasible

    def _add_rows(self, highs: highspy.Highs, constraints: list[pulp.LpConstraint]) -> None:
        starts: list[int] = []
        indices: list[int] = []
        values: list[float] = []
        lower: list[float] = []
        upper: list[float] = []
        for number, constraint in enumerate(constraints):
            constraint.index = number
            starts.append(len(indices))
            for variable, factor in constraint.items():
                indices.append(variable.index)
                values.append(factor)
            low, high = constraint.getLb(), constraint.getUb()
            lower.append(-highspy.kHighsInf if low is None else low)
            upper.append(highspy.kHighsInf if high is None else high)
        highs.addRows(
            len(starts), np.array(lower, float), np.array(upper, float), len(indices),
            np.array(starts, np.int32), np.array(indices, np.int32), np.array(values, float),
        )  # fmt: skip
