"""A linear program with whole variables, built from numbers and solved by HiGHS; the only importer of pulp and highspy.

`Program` is solved through PuLP, with the rows handed to HiGHS in bulk and a start that PuLP 3.3 would drop.
`Master` is a small linear program that grows row by row and is solved again each time, which PuLP cannot do.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from math import inf
from typing import Any

import highspy
import numpy as np
import pulp

from partita.partitioner.instance import Floats

SOLVER = f"HiGHS {version('highspy')} through PuLP {pulp.__version__}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the solver found. Without a solution, `values` is empty and `objective` infinite."""

    values: Floats
    objective: float
    bound: float
    is_infeasible: bool
    nodes: int
    solve_s: float


Stop = Callable[[], bool]
_stop: ContextVar[Stop | None] = ContextVar("stop", default=None)


@contextmanager
def interruptible(stop: Stop) -> Iterator[None]:
    """Searches inside end early, with what they have found, soon after `stop` begins to say so."""
    token = _stop.set(stop)
    try:
        yield
    finally:
        _stop.reset(token)


class Program:
    """Minimise a sum of costs over variables, subject to rows."""

    def __init__(self) -> None:
        self.cost: list[float] = []
        self.lower: list[float] = []
        self.upper: list[float] = []
        self.is_whole: list[bool] = []
        self.rows: list[tuple[list[int], list[float], float, float]] = []

    def variable(self, cost: float = 0.0, lower: float = 0.0, upper: float = 1.0, *, whole: bool = False) -> int:
        """The number of a new variable."""
        self.cost.append(cost)
        self.lower.append(lower)
        self.upper.append(upper)
        self.is_whole.append(whole)
        return len(self.cost) - 1

    def row(self, variables: list[int], factors: list[float], low: float = -inf, high: float = inf) -> None:
        """low <= sum of factors * variables <= high."""
        self.rows.append((variables, factors, low, high))

    def solve(
        self,
        *,
        gap: float = 1e-4,
        time_limit_s: float = 60.0,
        start: Mapping[int, float] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Answer:
        """The best solution within `gap`, or the best in time. `start` gives values to some or all variables."""
        began = time.perf_counter()
        model = self._as_pulp()
        solver = _Highs(self, start, gapRel=gap, timeLimit=max(time_limit_s, 0.01), threads=1, random_seed=0, msg=False)
        for name, value in (options or {}).items():
            solver.optionsDict[name] = value
        model.solve(solver)
        highs = model.solverModel
        info = highs.getInfo()
        solved = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
        is_whole = any(self.is_whole)
        done = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        bound = info.mip_dual_bound if is_whole else (info.objective_function_value if done else -inf)
        return Answer(
            values=np.array(highs.getSolution().col_value) if solved else np.zeros(0),
            objective=float(info.objective_function_value) if solved else inf,
            bound=float(bound),
            is_infeasible=highs.getModelStatus() == highspy.HighsModelStatus.kInfeasible,
            nodes=int(info.mip_node_count) if is_whole else 0,
            solve_s=time.perf_counter() - began,
        )

    def _as_pulp(self) -> pulp.LpProblem:
        model = pulp.LpProblem("placement", pulp.LpMinimize)
        kinds = {True: pulp.LpInteger, False: pulp.LpContinuous}
        bounds = zip(self.lower, self.upper, self.is_whole, strict=True)
        variables = [
            pulp.LpVariable(f"v{i}", None if low == -inf else low, None if high == inf else high, kinds[whole])
            for i, (low, high, whole) in enumerate(bounds)
        ]
        for index, variable in enumerate(variables):
            variable.index = index
        model.addVariables(variables)
        priced = {variables[i]: cost for i, cost in enumerate(self.cost) if cost}
        model.setObjective(
            pulp.LpAffineExpression(priced or {variables[0]: 0.0})
        )  # PuLP adds a variable to an empty one
        for number, (columns, factors, low, high) in enumerate(self.rows):
            terms = dict(zip([variables[i] for i in columns], factors, strict=True))
            for sense, side in _senses(low, high):
                row = pulp.LpConstraint(pulp.LpAffineExpression(terms), sense, f"r{number}_{sense}", side)
                row.index = number
                model.constraints[row.name] = row
        return model


def _senses(low: float, high: float) -> list[tuple[int, float]]:
    if low == high:
        return [(pulp.LpConstraintEQ, low)]
    sides = [(pulp.LpConstraintGE, low), (pulp.LpConstraintLE, high)]
    return [(sense, side) for sense, side in sides if abs(side) < inf]


class _Highs(pulp.HiGHS):  # type: ignore[misc]  # PuLP has no types
    """PuLP's HiGHS, but the model is loaded in bulk and a start is handed over."""

    def __init__(self, program: Program, start: Mapping[int, float] | None, **options: Any) -> None:
        super().__init__(**options)
        self._program = program
        self._start = start

    def buildSolverModel(self, lp: pulp.LpProblem) -> None:  # noqa: N802  (PuLP's name)
        _load(lp.solverModel, self._program)
        stop = _stop.get()
        if stop is not None:
            for event in (lp.solverModel.cbMipInterrupt, lp.solverModel.cbSimplexInterrupt):
                event.subscribe(lambda told: told.interrupt(stop()))
        if self._start is not None:
            given = np.array(list(self._start), np.int32)
            lp.solverModel.setSolution(len(given), given, np.array(list(self._start.values()), float))

    def findSolutionValues(self, lp: pulp.LpProblem) -> tuple[int, int]:  # noqa: N802  (PuLP's name)
        """PuLP's, but PuLP 3.3 knows no limit of nodes as an end: it raises after it has read the values."""
        try:
            return super().findSolutionValues(lp)
        except KeyError:
            return pulp.LpStatusOptimal, pulp.LpSolutionIntegerFeasible


def _load(highs: highspy.Highs, program: Program) -> None:
    count, empty = len(program.cost), np.zeros(0)
    no_rows = (0, np.zeros(count, np.int32), empty.astype(np.int32), empty)
    highs.addCols(count, np.array(program.cost), np.array(program.lower), np.array(program.upper), *no_rows)
    whole = np.flatnonzero(program.is_whole).astype(np.int32)
    highs.changeColsIntegrality(len(whole), whole, np.full(len(whole), 1, np.uint8))
    sizes = [len(row[0]) for row in program.rows]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32) if sizes else np.zeros(0, np.int32)
    columns = np.array([i for row in program.rows for i in row[0]], np.int32)
    factors = np.array([f for row in program.rows for f in row[1]], float)
    low = np.array([row[2] for row in program.rows], float)
    high = np.array([row[3] for row in program.rows], float)
    highs.addRows(len(sizes), low, high, len(columns), starts, columns, factors)


class Master:
    """Maximise a sum over variables under rows that are added one at a time."""

    def __init__(self, profit: Floats, upper: Floats) -> None:
        self._highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]  # highspy has few types
        self._highs.setOptionValue("output_flag", False)
        self._highs.setOptionValue("threads", 1)
        count, empty = len(profit), np.zeros(0)
        self._highs.addCols(
            count, -profit, np.zeros(count), upper, 0, np.zeros(count, np.int32), empty.astype(np.int32), empty
        )

    def row(self, variables: Sequence[int], factors: Sequence[float], low: float, high: float) -> None:
        columns = np.array(variables, np.int32)
        self._highs.addRow(low, high, len(columns), columns, np.array(factors, float))

    def solve(self) -> tuple[Floats, float]:
        """The variables' values and the sum."""
        self._highs.run()
        return np.array(self._highs.getSolution().col_value), -float(self._highs.getInfo().objective_function_value)
