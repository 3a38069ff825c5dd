"""The least sum as an integer program: pairwise marginals, tensors moved once, calls in the given order, memory."""

from collections.abc import Sequence
from math import inf, isinf

import numpy as np

from partita.errors import ProblemError
from partita.partitioner.engines.nets import Nets
from partita.partitioner.engines.outcome import Limits, Outcome, OutOfTimeError, status_of
from partita.partitioner.instance import Floats
from partita.partitioner.program import Program


def solve_program(nets: Nets, limits: Limits, least: float | None, order: Sequence[int] | None = None) -> Outcome:
    """The best assignment that fits the memory; `least` is a bound known already. Calls are paid along `order`.

    Raises ProblemError if there is none, OutOfTimeError if none was found in time.
    """
    model = SumProgram(nets, nets.instance.order if order is None else order)
    answer = model.program.solve(gap=limits.gap, time_limit_s=limits.least_s)
    if answer.is_infeasible:
        raise ProblemError("no assignment fits: the operators need more memory than the units that run them have")
    if not len(answer.values):
        raise OutOfTimeError(f"no assignment was found within {limits.least_s:g} s; give a longer --time-limit")
    unit_of = model.units(answer.values)
    bound = min(max(answer.bound, least or 0.0, 0.0), answer.objective)
    return Outcome(
        choice=nets.choice(unit_of),
        objective=answer.objective,
        bound=bound,
        status=status_of(answer.objective, bound, limits, in_time=answer.solve_s < limits.least_s),
        solver="HiGHS through PuLP",
        log=(f"{len(model.program.cost)} variables, {len(model.program.rows)} rows, {answer.nodes} nodes",),
    )


class SumProgram:
    """x[b][u]: block b on unit u; y: pairs of units of a net's producer and one reader; w: a tensor is moved."""

    def __init__(self, nets: Nets, order: Sequence[int]) -> None:
        self.nets, self.order = nets, order
        self.program = Program()
        used = self._units()
        self.x: list[dict[int, int]] = []
        for block in range(nets.blocks):
            times = nets.times[block].tolist()
            self.x.append({u: self.program.variable(times[u], whole=True) for u in used if times[u] < inf})
            self.program.row(list(self.x[-1].values()), [1.0] * len(self.x[-1]), 1.0, 1.0)
        for net in range(len(nets.producers)):
            self._add_net(net)
        self._add_calls()
        self._add_memory()

    def units(self, values: Floats) -> list[int]:
        """Per block, its unit in a solution."""
        return [max(row, key=lambda u: values[row[u]]) for row in self.x]

    def _units(self) -> list[int]:
        """Without memory limits, of units that are alike one is enough."""
        units = self.nets.instance.units
        if any(not isinf(unit.memory) for unit in units):
            return list(range(len(units)))
        return sorted(set(self.nets.instance.alike))

    def _add_net(self, net: int) -> None:
        nets, consumers = self.nets, self.nets.consumers[net]
        sources = self.x[nets.producers[net]]
        send, receive = nets.send[net], nets.receive[net]
        paid: dict[tuple[int, int], int] = {}
        for consumer in consumers:
            targets = self.x[consumer]
            cost = {(a, b): send[a] + receive[a][b] for a in sources for b in targets if a != b}
            if not any(cost.values()):
                continue
            shared = len(consumers) > 1
            y = self._pairs(sources, targets, {} if shared else cost)
            for pair, price in cost.items() if shared else ():
                if price:
                    if pair not in paid:
                        paid[pair] = self.program.variable(price)
                    self.program.row([paid[pair], y[pair]], [1.0, -1.0], 0.0)

    def _pairs(
        self, sources: dict[int, int], targets: dict[int, int], cost: dict[tuple[int, int], float]
    ) -> dict[tuple[int, int], int]:
        """Variables whose sums over targets and over sources are the two blocks' own."""
        program = self.program
        y = {(a, b): program.variable(cost.get((a, b), 0.0)) for a in sources for b in targets}
        for a, x in sources.items():
            program.row([x, *(y[a, b] for b in targets)], [-1.0, *([1.0] * len(targets))], 0.0, 0.0)
        for b, x in targets.items():
            program.row([x, *(y[a, b] for a in sources)], [-1.0, *([1.0] * len(sources))], 0.0, 0.0)
        return y

    def _add_calls(self) -> None:
        instance = self.nets.instance
        along = [instance.group_of[i] for i in self.order]
        for place, block in enumerate(along):
            before = self.x[along[place - 1]] if place else {}
            for u, x in self.x[block].items():
                call = instance.units[u].call
                if not call or (place and along[place - 1] == block):
                    continue
                start = self.program.variable(call)
                last = [before[u]] if u in before else []
                self.program.row([start, x, *last], [1.0, -1.0, *([1.0] * len(last))], 0.0)

    def _add_memory(self) -> None:
        memory = self.nets.memory.tolist()
        for u, unit in enumerate(self.nets.instance.units):
            if not np.isinf(unit.memory):
                held = [(row[u], memory[b]) for b, row in enumerate(self.x) if u in row and memory[b]]
                self.program.row([x for x, _ in held], [size / max(unit.memory, 1.0) for _, size in held], high=1.0)
