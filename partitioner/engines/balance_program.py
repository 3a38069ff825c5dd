"""The least largest load as an integer program, for units that differ: x, a block's unit; y, a net's two ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from partita.partitioner.engines.nets import Nets
from partita.partitioner.program import Program

LARGEST = 3000
"""Blocks times units beyond which the program is too large."""
SCALE = 1000.0
"""The load that is known, in the program's unit of time."""
CLOSE = 1e-6
"""The solver's tolerance, as a share."""


@dataclass
class BalanceProgram:
    """Rows for all blocks and nets; the largest load is what is least."""

    nets: Nets

    def __post_init__(self) -> None:
        nets = self.nets
        self.program = Program()
        self.largest = self.program.variable(1.0, upper=inf)
        self.x = [
            {u: self.program.variable(whole=True) for u in range(nets.units) if nets.times[b, u] < inf}
            for b in range(nets.blocks)
        ]
        self.loads: list[dict[int, float]] = [{} for _ in range(nets.units)]
        for b, row in enumerate(self.x):
            self.program.row(list(row.values()), [1.0] * len(row), 1.0, 1.0)
            for u, variable in row.items():
                self.loads[u][variable] = float(nets.times[b, u])
        for net in range(len(nets.producers)):
            self._add_net(net)

    def solve(self, unit_of: Sequence[int], bound: float, gap: float, time_limit_s: float) -> tuple[list[int], float]:
        """The best placement found, at worst `unit_of`, and a bound; `bound` is known to hold."""
        load = max(self.nets.loads(unit_of))
        if not load:
            return list(unit_of), 0.0
        program, factor = self.program, SCALE / load  # far above the solver's tolerance
        for terms in self.loads:
            terms |= {variable: time * factor for variable, time in terms.items()}
        for u, unit in enumerate(self.nets.instance.units):
            program.row([self.largest, *self.loads[u]], [-1.0, *self.loads[u].values()], high=0.0)
            held = {
                row[u]: float(self.nets.memory[b]) / max(unit.memory, 1.0) for b, row in enumerate(self.x) if u in row
            }
            if unit.memory < inf and held:
                program.row(list(held), list(held.values()), high=unit.memory / max(unit.memory, 1.0))
        program.lower[self.largest], program.upper[self.largest] = bound * factor * (1 - CLOSE), SCALE
        start = {row[u]: float(u == unit_of[b]) for b, row in enumerate(self.x) for u in row}
        answer = program.solve(gap=gap, time_limit_s=time_limit_s, start=start)
        proven = min(answer.bound, SCALE) * (1 - CLOSE) / factor
        if not len(answer.values):
            return list(unit_of), proven if answer.is_infeasible or answer.bound > 0 else bound
        found = [max(row, key=lambda u: answer.values[row[u]]) for row in self.x]
        return (found if max(self.nets.loads(found)) < load and self.nets.fits(found) else list(unit_of)), proven

    def _add_net(self, net: int) -> None:
        """What each pair of units pays if the net goes from the one to the other; sending is paid once."""
        nets, program = self.nets, self.program
        send, receive = np.array(nets.send[net]), np.array(nets.receive[net])
        np.fill_diagonal(receive, 0.0)
        if not send.any() and not receive.any():
            return
        made = self.x[nets.producers[net]]
        sent = {a: program.variable() for a in made if send[a] > 0}
        for a, variable in sent.items():
            self.loads[a][variable] = float(send[a])
        readers = nets.consumers[net]
        moved = {(a, b): program.variable() for a in made for b in range(nets.units) if a != b} if readers[1:] else {}
        for reader in readers:
            y = self._pairs(made, self.x[reader])
            for a, variable in sent.items():
                away = [pair for (source, b), pair in y.items() if source == a != b]
                program.row([variable, *away], [1.0, *([-1.0] * len(away))], low=0.0)
            for (a, b), variable in y.items():
                if a != b and moved:
                    program.row([moved[a, b], variable], [1.0, -1.0], low=0.0)
            if not moved:
                moved = {pair: variable for pair, variable in y.items() if pair[0] != pair[1]}
        for (a, b), variable in moved.items():
            self.loads[b][variable] = float(receive[a, b])

    def _pairs(self, made: dict[int, int], read: dict[int, int]) -> dict[tuple[int, int], int]:
        """A variable for each pair of units of a producer and of a reader."""
        y = {(a, b): self.program.variable() for a in made for b in read}
        for a, x in made.items():
            self.program.row([x, *(y[a, b] for b in read)], [-1.0, *([1.0] * len(read))], 0.0, 0.0)
        for b, x in read.items():
            self.program.row([x, *(y[a, b] for a in made)], [-1.0, *([1.0] * len(made))], 0.0, 0.0)
        return y
