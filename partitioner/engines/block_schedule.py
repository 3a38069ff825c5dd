"""The shortest schedule of a small block of operators, by labels, or of a larger one by an integer program.

The program knows no links: then its bound holds, but the schedule may take longer.

What a schedule already known rules out is fixed beforehand: an operator on a unit, or a pair of units for a tensor,
that no schedule of that length can contain.
"""

import time
from dataclasses import dataclass, replace
from math import inf

from partita.partitioner.engines.block_search import LARGEST as SEARCHED
from partita.partitioner.engines.block_search import BlockSearch
from partita.partitioner.engines.budget import Budget
from partita.partitioner.engines.schedules import (
    Schedule,
    Tasks,
    annealed_schedule,
    earliest_finish,
    quickest_heads,
    quickest_tails,
    timed,
)
from partita.partitioner.instance import Floats
from partita.partitioner.program import Program

MOVES_PER_OPERATOR = 60
LARGEST = 150
"""Operators of a block beyond which no program is tried."""
MOST_TURNS = 2500
"""Pairs of operators that may have to take turns, beyond which none is tried."""
SCALE = 1000.0
"""Times are scaled so that the known schedule is this long, far above the solver's tolerance."""
CLOSE = 1e-7


@dataclass(frozen=True, slots=True)
class Effort:
    """What may be spent on a block: the search's labels per layer, the program's gap and seconds."""

    width: int
    gap: float
    seconds: float


@dataclass(frozen=True, slots=True)
class BlockResult:
    """The shortest schedule found, and what none is shorter than."""

    schedule: Schedule
    bound: float
    is_exact: bool
    cutoff: float
    """Longer schedules were of no interest."""

    def is_enough(self, cutoff: float) -> bool:
        """Whether no more has to be known if schedules beyond a cutoff are of no interest."""
        return self.is_exact or self.bound >= cutoff * (1 - 2 * CLOSE)


def solve_block(tasks: Tasks, effort: Effort, known: BlockResult | None, cutoff: float, budget: Budget) -> BlockResult:
    """Solve one block, or learn more about it than is `known`.

    Schedules that are longer than `cutoff` are of no interest: a bound as high is enough.
    """
    result = known or _first(tasks, cutoff, budget)
    result = replace(result, cutoff=cutoff)
    limit = min(result.schedule.length, cutoff)
    if result.is_exact or limit <= result.bound * (1 + CLOSE) or budget.is_spent():
        return result
    if len(tasks.times) <= SEARCHED:
        found = BlockSearch(tasks, limit).run(effort.width, budget)
        return _learnt(result, found.schedule, found.bound)
    if len(tasks.times) <= LARGEST:
        return _by_program(tasks, result, effort, limit, budget)
    return result


def _first(tasks: Tasks, cutoff: float, budget: Budget) -> BlockResult:
    """A schedule by HEFT, annealed where the search is not for blocks so large; and the simple bound."""
    starts = [earliest_finish(tasks, look_ahead=ahead) for ahead in (False, True)]
    best = min(starts, key=lambda schedule: schedule.length)
    if len(tasks.times) > SEARCHED:
        pinned = frozenset(i for i, row in enumerate(tasks.times) if sum(t < inf for t in row) == 1)
        best = annealed_schedule(tasks, best, MOVES_PER_OPERATOR * len(tasks.times), 0.02, pinned, budget)
    bound = max(min(row) for row in quickest_heads(tasks))
    return BlockResult(best, min(bound, best.length), best.length <= bound * (1 + CLOSE), cutoff)


def _learnt(result: BlockResult, schedule: Schedule | None, bound: float) -> BlockResult:
    """`bound` may stop at the length beyond which schedules were of no interest."""
    best = result.schedule
    if schedule is not None and schedule.length < best.length:
        best = schedule
    bound = max(result.bound, min(bound, best.length))
    return BlockResult(best, bound, bound >= best.length * (1 - 10 * CLOSE), result.cutoff)


def _by_program(tasks: Tasks, result: BlockResult, effort: Effort, limit: float, budget: Budget) -> BlockResult:
    model = _BlockProgram(tasks, limit, quickest_heads(tasks), quickest_tails(tasks))
    if model.turns > MOST_TURNS:
        return result
    seconds, began = max(min(effort.seconds, budget.left_s), 0.1), time.process_time()
    answer = model.program.solve(gap=effort.gap, time_limit_s=seconds, options={"mip_heuristic_effort": 0.01})
    budget.spend(time.process_time() - began)
    if answer.is_infeasible:  # nothing is shorter
        return _learnt(result, None, limit * (1 - 2 * CLOSE))
    schedule = model.schedule(answer.values) if len(answer.values) else None
    return _learnt(result, schedule, answer.bound * limit / SCALE)


class _BlockProgram:
    """x[i][u]: operator i on unit u; e[i]: its end; y: pairs of units of a tensor's ends; o: i before j."""

    def __init__(self, tasks: Tasks, limit: float, heads: list[list[float]], tails: list[list[float]]) -> None:
        self.tasks, self.limit = tasks, limit
        self.program = Program()
        factor = SCALE / limit
        self.times = [[time * factor for time in row] for row in tasks.times]
        self.heads = [[head * factor for head in row] for row in heads]
        self.tails = [[tail * factor for tail in row] for row in tails]
        self.moves = [[[move * factor for move in row] for row in table] for table in tasks.moves]
        count = len(tasks.times)
        self.allowed = [
            [u for u in range(tasks.units) if self.heads[i][u] + self.tails[i][u] <= SCALE * (1 + CLOSE)]
            for i in range(count)
        ]
        self.turns = 0
        self.total = self.program.variable(1.0, 0.0, SCALE * (1 - CLOSE))
        self.x = [{u: self.program.variable(whole=True) for u in row} for row in self.allowed]
        self.low = [min((self.heads[i][u] for u in row), default=inf) for i, row in enumerate(self.allowed)]
        self.high = [SCALE - min((self.tails[i][u] for u in row), default=0.0) for i, row in enumerate(self.allowed)]
        self.ends = [self.program.variable(0.0, 0.0, SCALE) for _ in range(count)]
        for i in range(count):
            self._add_operator(i)
        for i, inputs in enumerate(tasks.inputs):
            for producer, tensor in inputs:
                self._add_edge(producer, i, tensor)
        self._add_turns()
        self._add_loads()

    def schedule(self, values: Floats) -> Schedule:
        units = [max(row, key=lambda u: values[row[u]]) for row in self.x]
        starts = [values[self.ends[i]] - self.times[i][units[i]] for i in range(len(units))]
        order = sorted(range(len(units)), key=lambda i: (starts[i], values[self.ends[i]], i))
        return timed(self.tasks, units, _repaired(self.tasks, order))

    def _add_operator(self, i: int) -> None:
        program, x, end = self.program, self.x[i], self.ends[i]
        program.row(list(x.values()), [1.0] * len(x), 1.0, 1.0)
        program.row([end, *x.values()], [1.0, *(-self.heads[i][u] for u in x)], low=0.0)
        program.row([self.total, end, *x.values()], [1.0, -1.0, *(-self.tails[i][u] for u in x)], low=0.0)

    def _add_edge(self, producer: int, i: int, tensor: int) -> None:
        """start of i >= end of its producer + the move between their units."""
        program, move = self.program, self.moves[tensor]
        sources, targets = self.x[producer], self.x[i]
        spent = [(x, -self.times[i][u]) for u, x in targets.items()]
        if len(sources) == 1:
            a = next(iter(sources))
            delays = [(x, -move[a][u]) for u, x in targets.items()]
        elif len(targets) == 1:
            b = next(iter(targets))
            delays = [(x, -move[u][b]) for u, x in sources.items()]
        elif not any(move[a][b] for a in sources for b in targets):
            delays = []
        else:
            delays = self._pairs(producer, i, tensor)
        terms: dict[int, float] = {self.ends[i]: 1.0, self.ends[producer]: -1.0}
        for variable, value in (*spent, *delays):
            terms[variable] = terms.get(variable, 0.0) + value
        program.row(list(terms), list(terms.values()), low=0.0)

    def _pairs(self, producer: int, i: int, tensor: int) -> list[tuple[int, float]]:
        program, move = self.program, self.moves[tensor]
        y = {
            (a, b): program.variable()
            for a in self.x[producer]
            for b in self.x[i]
            if self.heads[producer][a] + move[a][b] + self.times[i][b] + self.tails[i][b] <= SCALE * (1 + CLOSE)
        }
        for a, x in self.x[producer].items():
            held = [y[pair] for pair in y if pair[0] == a]
            program.row([x, *held], [-1.0, *([1.0] * len(held))], 0.0, 0.0)
        for b, x in self.x[i].items():
            held = [y[pair] for pair in y if pair[1] == b]
            program.row([x, *held], [-1.0, *([1.0] * len(held))], 0.0, 0.0)
        return [(variable, -move[a][b]) for (a, b), variable in y.items()]

    def _add_turns(self) -> None:
        """Operators that could run at the same time take turns on a unit that both may use."""
        count = len(self.tasks.times)
        before = [0] * count
        for i, inputs in enumerate(self.tasks.inputs):
            for producer, _ in inputs:
                before[i] |= before[producer] | (1 << producer)
        for j in range(count):
            for i in range(j):
                shared = [u for u in self.allowed[i] if u in self.x[j]]
                shared = [u for u in shared if self.times[i][u] > 0 and self.times[j][u] > 0]
                if not before[j] >> i & 1 and shared:
                    self._add_turn(i, j, shared)

    def _add_turn(self, i: int, j: int, shared: list[int]) -> None:
        program = self.program
        self.turns += 1
        first = program.variable(whole=True)
        for u in shared:
            for one, other, sign, constant in ((i, j, -1.0, 3.0), (j, i, 1.0, 2.0)):
                slack = self.high[one] - (self.low[other] - self.times[other][u])
                if slack <= 0:
                    continue
                # end[other] - time >= end[one] - slack * (constant + sign * first - x[one] - x[other])
                program.row(
                    [self.ends[other], self.ends[one], first, self.x[one][u], self.x[other][u]],
                    [1.0, -1.0, sign * slack, -slack, -slack],
                    low=self.times[other][u] - slack * constant,
                )

    def _add_loads(self) -> None:
        """All that a unit runs fits between the first that may start there and what follows the last."""
        for u in range(self.tasks.units):
            held = [i for i, row in enumerate(self.allowed) if u in row and self.times[i][u] > 0]
            if len(held) < 2:
                continue
            start = min(self.heads[i][u] - self.times[i][u] for i in held)
            tail = min(self.tails[i][u] for i in held)
            factors = [-self.times[i][u] for i in held]
            self.program.row([self.total, *(self.x[i][u] for i in held)], [1.0, *factors], low=start + tail)


def _repaired(tasks: Tasks, order: list[int]) -> list[int]:
    """The same order, made topological where operators without length stand at one moment."""
    place = {i: position for position, i in enumerate(order)}
    found: list[int] = []
    done: set[int] = set()

    def visit(first: int) -> None:
        stack = [first]
        while stack:
            i = stack[-1]
            missing = [p for p, _ in tasks.inputs[i] if p not in done]
            if missing:
                stack.append(min(missing, key=lambda p: place[p]))
                continue
            stack.pop()
            if i not in done:
                done.add(i)
                found.append(i)

    for i in order:
        visit(i)
    return found
