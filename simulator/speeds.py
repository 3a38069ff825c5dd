"""Which table holds for a program now: by clocks, loads, background traffic, and the wake-ups of an inference alone."""

from collections.abc import Sequence
from dataclasses import replace

from partita.devices.power import UnitPower
from partita.simulator.program import Program
from partita.simulator.sharing import Demand, Law
from partita.simulator.tables import State, Table, Wakes
from partita.units import NS_PER_US, ns

BACKGROUND = "background"


class Speeds:
    """The state of the phone, and what follows from it for each program; tables are made once and kept."""

    def __init__(self, law: Law, state: State) -> None:
        self.state = state
        self.background_gb_per_s = 0.0
        self.last_end_ns = [0] * len(state.clocks)
        """When each unit ended its last task."""
        self._law = law
        self.sleeps = False
        """Whether units fall asleep."""
        self._sleepy: list[UnitPower] = []
        self._wake_from_ns: list[int | None] = []
        self._tables: dict[Program, dict[tuple[State, Wakes, float], Table]] = {}
        self._table_of: dict[Program, Table] = {}
        self._free_table_of: dict[Program, Table] = {}
        """Those of now, without wake-ups."""

    def let_sleep(self, units: Sequence[UnitPower]) -> None:
        """Units fall asleep when idle and wake up as these records say; without this they never do."""
        self._sleepy, self.sleeps = list(units), bool(units)
        self._wake_from_ns = [ns(u.wake[0].after_idle_us.value) if u.wake else None for u in units]

    def change(self, state: State, background_gb_per_s: float) -> None:
        self.state, self.background_gb_per_s = state, background_gb_per_s
        self._table_of.clear()
        self._free_table_of.clear()

    def table(self, program: Program, wakes: Wakes = ()) -> Table:
        """How long each piece takes from now on, and what it draws."""
        if not wakes:
            found = self._table_of.get(program)
            if found is not None:
                return found
        tables = self._tables.setdefault(program, {})
        key = (self.state, wakes, self.background_gb_per_s)
        if key not in tables:
            state = self._beside_background(program) if self.background_gb_per_s else self.state
            tables[key] = Table(program, state, wakes)
        if not wakes:
            self._table_of[program] = tables[key]
        return tables[key]

    def free_table(self, program: Program) -> Table:
        """The same with the memory to itself, whatever the background asks for."""
        if not self.background_gb_per_s:
            return self.table(program)
        found = self._free_table_of.get(program)
        if found is None:
            tables, key = self._tables.setdefault(program, {}), (self.state, (), 0.0)
            found = tables[key] if key in tables else tables.setdefault(key, Table(program, self.state))
            self._free_table_of[program] = found
        return found

    def forget(self, program: Program) -> None:
        """It does not run any more."""
        self._tables.pop(program, None)
        self._table_of.pop(program, None)
        self._free_table_of.pop(program, None)

    def _beside_background(self, program: Program) -> State:
        speeds = []
        for piece, demand in zip(program.pieces, Table(program, self.state).demand_gb_per_s, strict=True):
            asked = [(piece.engine, demand), (BACKGROUND, self.background_gb_per_s)]
            speeds.append(min(1.0, self._law.divide(asked)[0] / demand) if demand else 1.0)
        return replace(self.state, background_speeds=tuple(speeds))

    def wake_ns(self, unit: int, now_ns: int) -> int:
        """What a unit takes to wake up, if it starts now."""
        return self._wake_ns(unit, now_ns - self.last_end_ns[unit]) if self._wake_from_ns else 0

    def _wake_ns(self, unit: int, idle_ns: int) -> int:
        threshold = self._wake_from_ns[unit]
        if threshold is None or idle_ns < threshold:
            return 0
        return ns(self._sleepy[unit].wake_us(idle_ns / NS_PER_US))

    def wakes(self, program: Program, now_ns: int) -> Wakes:
        """When which unit has to wake up, if `program` runs alone from now on."""
        if not any(threshold is not None for threshold in self._wake_from_ns):
            return ()
        delay, found, last = 0, [], list(self.last_end_ns)
        for piece, unit, start, end in self.table(program).uses:
            woken = self._wake_ns(unit, now_ns + start + delay - last[unit])
            if woken:
                found.append((piece, woken))
                delay += woken
            last[unit] = now_ns + end + delay
        return tuple(found)

    def leave_alone(self, demands: Sequence[Demand]) -> bool:
        """Whether nobody is slowed who asks the memory for this, beside the background."""
        asking = [demand for demand in demands if demand[1] > 0]
        if len(asking) < 2:
            return True
        if self.background_gb_per_s:
            asking.append((BACKGROUND, self.background_gb_per_s))
        return self._law.leaves_alone(asking)

    def never_short(self, programs: Sequence[Program]) -> bool:
        """Whether the memory suffices even if every track asks for the most that it ever does."""
        most: dict[int, Demand] = {}
        for program in programs:
            table = self.table(program)
            for task in program.tasks:
                demand = (program.pieces[task.end - 1].engine, table.most_demand[task.first])
                most[task.track] = max(most.get(task.track, demand), demand, key=lambda d: d[1])
        return self.leave_alone(list(most.values()))
