"""Makespan: the shortest schedule when units work side by side and tensors take time to move, by temporal separators.

An operator that is comparable with every other splits time: all before it has ended when it starts, all after starts
when it has ended. So the makespan is a sum over the blocks between separators, each depending only on the units of the
two separators around it. The tables start from simple bounds; only entries on the best chain are solved exactly, until
the best chain is exact. Edges that jump far over separators are left out of the blocks, which keeps the sum a bound.
"""

import itertools
from dataclasses import dataclass, replace
from math import inf

from partita.errors import ProblemError
from partita.partitioner.engines.block_schedule import BlockResult, Effort, solve_block
from partita.partitioner.engines.budget import Budget, budget_of
from partita.partitioner.engines.fitting import fitted
from partita.partitioner.engines.outcome import NOISE, STOPPED, Limits, Outcome, relative_gap, status_of
from partita.partitioner.engines.schedules import (
    Rows,
    Schedule,
    Tasks,
    annealed_schedule,
    earliest_finish,
    joined,
    quickest_heads,
    tasks_of,
    timed,
)
from partita.partitioner.engines.separators import comparable
from partita.partitioner.instance import Instance

SOLVER = "temporal separators, refined block tables; blocks by HiGHS through PuLP"
SHORT = (16, 8, 4, 2, 0)
"""Edges over at most so many places keep the separators that they jump inside one block, while it stays small."""
SMALL = 40
EFFORTS = (
    Effort(20, 0.01, 3.0),
    Effort(200, 0.01, 3.0),
    Effort(1000, 1e-7, 10.0),
    Effort(5000, 1e-7, 20.0),
    Effort(30_000, 1e-7, 60.0),
)
"""For a block: first roughly, then exactly."""
POLISH_SHARE = 0.1
"""Of the work, kept for annealing the whole schedule."""
WHOLE_MOVES = 4000
MOST_MOVES = 60_000
NONE = -1


def solve(instance: Instance, limits: Limits) -> Outcome:
    """The shortest schedule found and its bound.

    Groups and memory are kept by the schedule; of groups the bound knows only which units none can use, of memory
    nothing. Raises ProblemError if no schedule was found that fits the memory.
    """
    budget, gap = budget_of(limits), max(limits.gap, NOISE)
    budget.spend(POLISH_SHARE * limits.work_s)
    tasks = tasks_of(instance)
    chain = _Chain(tasks)
    best = _start(tasks)
    bound, log = 0.0, []
    for effort in EFFORTS:
        while True:
            units, bound = chain.best()
            if relative_gap(best.length, bound) <= gap or budget.is_spent():
                break
            log.append(f"makespan {best.length:g}, bound {bound:g}, {chain.solved} blocks solved")
            fresh = [k for k in range(len(chain.blocks)) if not chain.is_final(k, units, effort)]
            for k in fresh:
                chain.refine(k, units, effort, best.length, budget)
            for found in (units, chain.known_best()):
                if found is not None:
                    best = min(best, chain.whole(found, best), key=lambda schedule: schedule.length)
            if not fresh:
                break
    budget.spend(-POLISH_SHARE * limits.work_s)
    if relative_gap(best.length, bound) > gap:
        best = _polished(tasks, best, budget)
    best = _fitting(instance, tasks, best)
    outcome = _outcome(instance, tasks, best)
    status = status_of(best.length, bound, limits, in_time=not budget.is_spent())
    return replace(outcome, bound=min(bound, best.length), status=status, log=tuple(log))


def _outcome(instance: Instance, tasks: Tasks, best: Schedule) -> Outcome:
    """The schedule in the instance's numbers; nothing proven."""
    count = len(tasks.times)
    choice, ends, starts = [0] * count, [0.0] * count, [0.0] * count
    for position, operator in enumerate(instance.order):
        choice[operator], ends[operator] = best.units[position], best.ends[position]
        starts[operator] = ends[operator] - tasks.times[position][best.units[position]]
    return Outcome(
        choice=tuple(choice),
        objective=best.length,
        bound=0.0,
        status=STOPPED,
        solver=SOLVER,
        starts=tuple(starts),
        ends=tuple(ends),
        order=tuple(instance.order[position] for position in best.order),
        copies=best.copies,
    )


def _fitting(instance: Instance, tasks: Tasks, best: Schedule) -> Schedule:
    """The schedule, with as little changed as it takes to fit the units' memory."""
    held = [instance.operators[i].memory for i in instance.order]
    found = fitted(tasks, best, held, [unit.memory for unit in instance.units])
    if found is None:
        raise ProblemError("no schedule was found whose operators fit the units' memory")
    return found


def _start(tasks: Tasks) -> Schedule:
    """The best of HEFT, HEFT with a look ahead, and each unit alone."""
    found = [earliest_finish(tasks, look_ahead=ahead) for ahead in (True, False)]
    order = list(range(len(tasks.times)))
    for unit in range(tasks.units):
        if all(row[unit] < inf for row in tasks.times):
            found.append(timed(tasks, [unit] * len(order), order))
    return min(found, key=lambda schedule: schedule.length)


def _polished(tasks: Tasks, best: Schedule, budget: Budget) -> Schedule:
    """Annealing of the whole schedule while work is left."""
    spent, heat = 0, 0.0
    while spent < MOST_MOVES and not budget.is_spent():
        found = annealed_schedule(tasks, best, WHOLE_MOVES, heat, frozenset(), budget)
        spent += WHOLE_MOVES
        if found.length >= best.length:
            heat = 0.002 if heat == 0.0 else heat * 2
        best = min(best, found, key=lambda schedule: schedule.length)
        if heat > 0.1:
            break
    return best


@dataclass
class _Chain:
    """Blocks between separators; `table[k][a][b]` bounds block k when its ends are on units a and b."""

    tasks: Tasks

    def __post_init__(self) -> None:
        tasks = self.tasks
        cuts = _separators(tasks)
        edges = [NONE, *cuts, len(tasks.times)]
        self.blocks = [(edges[k], edges[k + 1]) for k in range(len(edges) - 1)]
        self.solved = 0
        self.results: list[dict[tuple[int, int], BlockResult]] = [{} for _ in self.blocks]
        self.efforts: list[dict[tuple[int, int], Effort]] = [{} for _ in self.blocks]
        self.known: dict[object, tuple[Effort, BlockResult]] = {}
        self.table = [self._first_bounds(k) for k in range(len(self.blocks))]

    def best(self) -> tuple[list[int], float]:
        """The units of the separators on the best chain, and its length: a bound of the makespan."""
        return _shortest(self.table)

    def known_best(self) -> list[int] | None:
        """The units of the separators on the chain of which the schedules found are shortest; None if none is whole."""
        lengths = [
            [
                [self.results[k][a, b].schedule.length if (a, b) in self.results[k] else inf for b in range(len(row))]
                for a, row in enumerate(rows)
            ]
            for k, rows in enumerate(self.table)
        ]
        units, length = _shortest(lengths)
        return units if length < inf else None

    def is_final(self, k: int, units: list[int], effort: Effort) -> bool:
        """Whether no more can be learnt about block k between these units with this effort."""
        between = (units[k], units[k + 1])
        result = self.results[k].get(between)
        return result is not None and (result.is_exact or self.efforts[k][between] == effort)

    def refine(self, k: int, units: list[int], effort: Effort, limit: float, budget: Budget) -> None:
        """Solve block k between its units on the chain; `limit` is the shortest schedule known."""
        a, b = units[k], units[k + 1]
        block = self._block(k, a, b)
        key = (tuple(map(tuple, block.times)), tuple(map(tuple, block.inputs)), str(block.moves))
        others = self.best()[1] - self.table[k][a][b]
        cutoff = limit - others
        spent, result = self.known.get(key, (None, None))
        if result is None or (spent != effort and not result.is_enough(cutoff)):
            result = solve_block(block, effort, result, cutoff, budget)
            self.known[key] = effort, result
            self.solved += 1
        self.results[k][a, b] = result
        self.efforts[k][a, b] = effort
        self.table[k][a][b] = max(self.table[k][a][b], result.bound)

    def whole(self, units: list[int], fallback: Schedule) -> Schedule:
        """The blocks' schedules one after the other, every operator then as early as possible."""
        tasks = self.tasks
        chosen, order = [0] * len(tasks.times), []
        for k, (first, last) in enumerate(self.blocks):
            result = self.results[k].get((units[k], units[k + 1]))
            if result is None:
                return fallback
            schedule, offset = result.schedule, first + (first == NONE)
            end = min(last + 1, len(chosen))
            for i, unit in enumerate(schedule.units):
                if first < offset + i < end:
                    chosen[offset + i] = unit
            for i in _by_start(self._block(k, units[k], units[k + 1]), schedule):
                if i >= len(schedule.units):
                    tensor, unit = divmod(i - len(schedule.units), tasks.units)
                    order.append(tasks.copying(self._tensors(k)[tensor], unit))
                elif first < offset + i < end:
                    order.append(offset + i)
        return timed(tasks, joined(tasks, chosen), order)

    def _first_bounds(self, k: int) -> Rows:
        """Ends of the block's last operator if units never had to be waited for."""
        first, last = self.blocks[k]
        sources = range(self.tasks.units) if first != NONE else range(1)
        targets = range(self.tasks.units) if last < len(self.tasks.times) else range(1)
        rows: Rows = []
        for a in sources:
            heads = quickest_heads(self._block(k, a, NONE))
            rows.append([heads[-1][b] for b in targets])
        return rows

    def _block(self, k: int, a: int, b: int) -> Tasks:
        """The operators of block k; its first on unit a in no time, its last on b (anywhere if NONE)."""
        tasks, (first, last) = self.tasks, self.blocks[k]
        offset, count = first + (first == NONE), len(tasks.times)
        members = range(offset, min(last + 1, count))
        inputs = [[(p - offset, t) for p, t in tasks.inputs[i] if p >= offset] for i in members]
        times = [list(tasks.times[i]) for i in members]
        if first != NONE:
            times[0] = [0.0 if u == a else inf for u in range(tasks.units)]
            inputs[0] = []
        used = self._tensors(k)
        number_of = {t: n for n, t in enumerate(used)}
        if last < count:
            if b != NONE:
                times[-1] = [time if u == b else inf for u, time in enumerate(times[-1])]
            moves = [tasks.moves[t] for t in used]
        else:  # a last operator that waits for all, on unit 0, to which nothing has to be moved
            read = {p for row in inputs for p, _ in row}
            ends = [i for i in range(len(times)) if i not in read]
            nothing = [[0.0] * tasks.units for _ in range(tasks.units)]
            moves = [*(tasks.moves[t] for t in used), *(nothing for _ in ends)]
            number_of |= {NONE - i: len(used) + n for n, i in enumerate(ends)}
            inputs.append([(i, NONE - i) for i in ends])
            times.append([0.0 if u == 0 else inf for u in range(tasks.units)])
        inputs = [[(p, number_of[t]) for p, t in row] for row in inputs]
        uncalled = frozenset([len(times) - 1] if last == count else [])
        return Tasks(times, inputs, moves, tasks.units, links=tasks.links, calls=tasks.calls, uncalled=uncalled)

    def _tensors(self, k: int) -> list[int]:
        """The tensors made and read within block k."""
        first, last = self.blocks[k]
        offset = first + (first == NONE)
        readers = range(offset + (first != NONE), min(last + 1, len(self.tasks.times)))
        return sorted({t for i in readers for p, t in self.tasks.inputs[i] if p >= offset})


def _shortest(table: list[Rows]) -> tuple[list[int], float]:
    """The units between the blocks, from before the first to behind the last, for the least sum; and that sum."""
    value, links = [0.0], []
    for rows in table:
        reached = [min((value[a] + row[b], a) for a, row in enumerate(rows)) for b in range(len(rows[0]))]
        value = [length for length, _ in reached]
        links.append([a for _, a in reached])
    units = [0]
    for link in reversed(links):
        units.append(link[units[-1]])
    return units[::-1], value[0]


def _by_start(tasks: Tasks, schedule: Schedule) -> list[int]:
    """Operators and copies in the order in which they begin; what begins at the same moment, operators first."""
    place = {i: position for position, i in enumerate(schedule.order)}
    found = [(schedule.ends[i] - tasks.times[i][schedule.units[i]], 0, place[i], i) for i in schedule.order]
    found += [(copy.start, 1, 0, tasks.copying(copy.tensor, copy.unit)) for copy in schedule.copies]
    return [i for *_, i in sorted(found)]


def _separators(tasks: Tasks) -> list[int]:
    """Operators comparable with every other; those that short edges jump over only where a block would be large."""
    count = len(tasks.times)
    separators = comparable([[producer for producer, _ in row] for row in tasks.inputs])
    cuts: list[int] = []
    for span in SHORT:
        jumped = _jumped(tasks, span)
        edges = [NONE, *cuts, count]
        large = [(low, high) for low, high in itertools.pairwise(edges) if high - low > SMALL]
        found = [i for i in separators if not jumped[i] and any(low < i < high for low, high in large)]
        cuts = sorted({*cuts, *found})
    return cuts


def _jumped(tasks: Tasks, span: int) -> list[int]:
    """Per operator, how many edges over at most `span` places jump it."""
    changes = [0] * (len(tasks.times) + 1)
    for i, inputs in enumerate(tasks.inputs):
        for producer, _ in inputs:
            if i - producer <= span:
                changes[producer + 1] += 1
                changes[i] -= 1
    return list(itertools.accumulate(changes))
