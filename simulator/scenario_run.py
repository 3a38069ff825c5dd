"""Runs a scenario: plans on one phone over time, with its clocks, its heat and whatever else uses it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from partita.devices.power import Governor, UnitPower
from partita.devices.soc import Soc
from partita.errors import SimulationError
from partita.graph.plan import Plan
from partita.simulator.books import Books, books_of
from partita.simulator.engine import Engine
from partita.simulator.governor import Clocks
from partita.simulator.heat import HeatNetwork
from partita.simulator.memory import machine_of
from partita.simulator.meter import Meter, mean_w
from partita.simulator.outcome import Interval, Outcome, Trip
from partita.simulator.program import Program, alone_us, program_of, tracks_of
from partita.simulator.scenario import Scenario, check_units
from partita.simulator.sharing import law_of
from partita.simulator.streams import Source
from partita.simulator.summary import Curve
from partita.simulator.tables import State
from partita.simulator.timeline import Counter
from partita.simulator.work import Frame, Run
from partita.units import NS_PER_US, US_PER_MS, US_PER_S, ns_as_ms

STEPS_PER_RUN = 512
"""A run is looked at so often at least, so that a short one gives a picture too."""
SHORTEST_STEP_NS = 100_000
LONGEST_STEP_NS = 100_000_000
MOST_INTERVALS = 200_000
NS_PER_S = NS_PER_US * US_PER_S
LONG_AGO_NS = -1


def simulate_scenario(plans: Sequence[Plan], soc: Soc, scenario: Scenario, *, may_fail: bool = False) -> Outcome:
    """`scenario` on `soc`, its streams running `plans` in their order.

    The same plans, Soc and scenario give the same outcome. SimulationError if they do not go together; a deadline that
    no query can meet is one reason, unless the load `may_fail`.
    """
    if len(plans) != len(scenario.streams):
        raise SimulationError(
            f"{scenario.name}: it has {len(scenario.streams)} streams, but {len(plans)} plans are given"
        )
    check_units(scenario, soc)
    _check_plans(plans, soc, scenario, may_fail=may_fail)
    return _Phone(plans, soc, scenario).go()


def _check_plans(plans: Sequence[Plan], soc: Soc, scenario: Scenario, *, may_fail: bool) -> None:
    units = {unit.name for unit in soc.units}
    for index, (plan, stream) in enumerate(zip(plans, scenario.streams, strict=True)):
        for segment in plan.segments:
            if segment.unit not in units:
                raise SimulationError(
                    f"streams[{index}]: its plan uses unit {segment.unit!r}, which {soc.name} does not have; it has: "
                    f"{', '.join(sorted(units))}"
                )
        least_us = alone_us(plan) if stream.execution == "sequential" else 0.0
        judged_ms = None if may_fail or stream.variation else stream.deadline_ms
        if judged_ms is not None and judged_ms * US_PER_MS < least_us:
            raise SimulationError(
                f"streams[{index}].deadline_ms is {judged_ms:g}, but one inference of {plan.graph.name} takes "
                f"{least_us / US_PER_MS:.4g} ms on an idle, cool phone: no query can meet it"
            )


@dataclass(frozen=True, slots=True)
class _Load:
    """Background from one moment to another."""

    start_ns: int
    end_ns: float
    unit: int
    share: float
    gb_per_s: float


class _Phone:
    """One run: the engine, and everything that moves on from step to step."""

    def __init__(self, plans: Sequence[Plan], soc: Soc, scenario: Scenario) -> None:
        self._soc, self._scenario = soc, scenario
        machine = machine_of(soc)
        self._units = machine.units
        self._tracks = tracks_of(machine, tuple(plans))
        has_heat = scenario.heat and soc.thermal is not None
        self._thermal = soc.thermal if has_heat else None
        self._heat = HeatNetwork(soc.thermal, machine.units, scenario.ambient_c) if soc.thermal and has_heat else None
        self._meter = Meter(soc.power, self._thermal, machine.units)
        self._clocks: Clocks | None = None
        if soc.power is not None:
            governor: Governor = scenario.governor or soc.power.governor
            self._clocks = Clocks(soc.power, self._thermal, machine.units, governor, scenario.clocks_mhz)
        self._loads = [self._load(index) for index in range(len(scenario.background))]
        self._applied: tuple[tuple[float, ...], float] = self._background(0)
        self._engine = Engine(
            self._tracks,
            law_of(soc),
            self._meter,
            self._state(),
            record=self._record if scenario.window is not None else None,
        )
        self._engine.speeds.let_sleep(self._sleepers())
        self._set_meter()
        self._engine.change(self._state(), self._applied[1])
        self._sources = [
            Source(index, stream, self._program(plan, stream.execution), scenario, self._engine)
            for index, (plan, stream) in enumerate(zip(plans, scenario.streams, strict=True))
        ]
        for source in self._sources:
            self._engine.add(source.program)
        self._engine.frame_ended = self._end_frame
        self._intervals: list[Interval] = []
        self._curves: dict[str, Curve] = {}
        self._step_ns = self._choose_step(plans)
        self._last_ns = self._polled_ns = 0
        self._last_busy = [0] * len(self._tracks)
        self._polled_busy = [0] * len(self._tracks)
        self._last_bytes = 0
        self._latest: dict[int, float] = {}

    def _program(self, plan: Plan, execution: str) -> Program:
        return program_of(plan, machine_of(self._soc), self._tracks, sequential=execution == "sequential")

    def _load(self, index: int) -> _Load:
        load = self._scenario.background[index]
        return _Load(
            start_ns=round(load.start_s * NS_PER_S),
            end_ns=math.inf if load.end_s is None else round(load.end_s * NS_PER_S),
            unit=self._units.index(load.unit) if load.unit is not None else LONG_AGO_NS,
            share=load.share or 0.0,
            gb_per_s=load.dram_gb_per_s or 0.0,
        )

    def _sleepers(self) -> list[UnitPower]:
        """How units wake up; none do if they are not known, and the host does not if it polls."""
        if self._soc.power is None:
            return []
        polls = self._scenario.completion == "poll"
        found = [self._soc.power.units[name] for name in self._units]
        return [p.model_copy(update={"wake": ()}) if polls and n == self._soc.host else p
                for n, p in zip(self._units, found, strict=True)]  # fmt: skip

    def _choose_step(self, plans: Sequence[Plan]) -> int:
        """Between two looks at temperatures and curves."""
        longest = LONGEST_STEP_NS
        if self._thermal is not None:
            longest = round(self._thermal.step_ms.value * US_PER_MS * NS_PER_US)
        expected_ns = self._scenario.duration_ns
        if expected_ns is None:
            streams = zip(plans, self._scenario.streams, strict=True)
            expected_ns = round(sum(alone_us(plan) * (s.queries or 1) * s.samples for plan, s in streams) * NS_PER_US)
        return max(min(SHORTEST_STEP_NS, longest), min(longest, expected_ns // STEPS_PER_RUN))

    # State

    def _background(self, now_ns: int) -> tuple[tuple[float, ...], float]:
        """Share of each unit that is taken, and memory traffic, now."""
        shares = [0.0] * len(self._units)
        gb_per_s = 0.0
        for load in self._loads:
            if load.start_ns <= now_ns < load.end_ns:
                gb_per_s += load.gb_per_s
                if load.unit >= 0:
                    shares[load.unit] = min(0.95, shares[load.unit] + load.share)
        return tuple(shares), gb_per_s

    def _state(self) -> State:
        power, count = self._soc.power, len(self._units)
        stalled = [power.units[name].stalled_share.value if power is not None else 1.0 for name in self._units]
        return State(
            steps=tuple(self._clocks.steps) if self._clocks is not None else (0,) * count,
            clocks=self._clocks.shares() if self._clocks is not None else (1.0,) * count,
            host=self._units.index(self._soc.host),
            stalled=tuple(stalled),
            loads=self._applied[0],
            background_speeds=(),
            tracks=len(self._tracks),
            polls=self._scenario.completion == "poll",
        )

    def _set_meter(self) -> None:
        temperatures = self._heat.unit_temperatures_c(len(self._units)) if self._heat is not None else None
        self._meter.set_state(self._clocks.steps if self._clocks is not None else [], temperatures)
        self._meter.set_background(*self._applied)

    # Steps

    def go(self) -> Outcome:
        engine = self._engine
        for source in self._sources:
            source.begin()
        for load in self._loads:
            for time_ns in (load.start_ns, load.end_ns):
                if 0 < time_ns < math.inf:
                    engine.at(int(time_ns), self._change_background)
        engine.at(self._step_ns, self._step)
        engine.run()
        duration_ns = self._scenario.duration_ns or 0
        while engine.now_ns < duration_ns:
            engine.at(min(duration_ns, engine.now_ns + self._step_ns), lambda *_: self._look())
            engine.run()
        self._look()
        return self._outcome()

    def _step(self, *_: object) -> None:
        self._look()
        if not self._engine.is_over:
            self._engine.at(self._engine.now_ns + self._step_ns, self._step)

    def _change_background(self, *_: object) -> None:
        self._look()

    def _look(self) -> None:
        """Book what happened since the last look; then temperatures, clocks and background move on."""
        engine, now_ns = self._engine, self._engine.now_ns
        engine.account()
        quanta = self._meter.close(now_ns)
        elapsed_ns = now_ns - self._last_ns
        if elapsed_ns > 0:
            powers_w = [mean_w(amount, elapsed_ns) for amount in quanta]
            if self._heat is not None:
                self._heat.advance(elapsed_ns, powers_w)
            self._draw(elapsed_ns, powers_w)
        self._last_ns = now_ns
        changed = self._poll(now_ns)
        background = self._background(now_ns)
        if changed or background != self._applied:
            self._applied = background
            engine.change(self._state(), background[1])
        self._set_meter()

    def _poll(self, now_ns: int) -> bool:
        clocks, every_ns = self._clocks, LONGEST_STEP_NS
        if clocks is None:
            return False
        if self._thermal is not None:
            every_ns = round(self._thermal.polling_ms.value * US_PER_MS * NS_PER_US)
        elapsed = now_ns - self._polled_ns
        if elapsed < every_ns:
            return False
        tracks = [self._tracks.index(name) for name in self._units]
        shares = [(self._engine.accounts.busy_ns[t] - self._polled_busy[t]) / elapsed for t in tracks]
        shares = [min(1.0, share + load) for share, load in zip(shares, self._applied[0], strict=True)]
        self._polled_ns, self._polled_busy = now_ns, list(self._engine.accounts.busy_ns)
        temperatures = dict(zip(self._heat.nodes, self._heat.temperatures_c, strict=True)) if self._heat else {}
        return clocks.poll(now_ns, temperatures, shares)

    def _draw(self, elapsed_ns: int, powers_w: Sequence[float]) -> None:
        moved = self._meter.all_bytes
        self._point("dram", "GB/s", elapsed_ns, (moved - self._last_bytes) / elapsed_ns + self._applied[1])
        self._last_bytes = moved
        busy = self._engine.accounts.busy_ns
        for name in self._units:
            track = self._tracks.index(name)
            self._point(f"busy {name}", "share", elapsed_ns, (busy[track] - self._last_busy[track]) / elapsed_ns)
        self._last_busy = list(busy)
        self._draw_latencies(elapsed_ns)
        if self._clocks is not None:
            self._point("power", "W", elapsed_ns, sum(powers_w))
            for name, power_w in zip(self._units, powers_w, strict=False):
                self._point(f"power {name}", "W", elapsed_ns, power_w)
            for name, clock in zip(self._units, self._clocks.clocks_mhz(), strict=True):
                self._point(f"clock {name}", "MHz", elapsed_ns, clock)
        if self._heat is not None:
            for node, temperature in zip(self._heat.nodes, self._heat.temperatures_c, strict=True):
                self._point(f"temperature {node}", "C", elapsed_ns, temperature)

    def _draw_latencies(self, elapsed_ns: int) -> None:
        """Of the answers since the last look; without any, as before."""
        for index, source in enumerate(self._sources):
            latency_ns = source.fresh_latency_ns()
            if latency_ns is not None:
                self._latest[index] = ns_as_ms(latency_ns)
            if index in self._latest:
                self._point(f"latency {index}", "ms", elapsed_ns, self._latest[index])

    def _point(self, name: str, unit: str, elapsed_ns: int, value: float) -> None:
        if name not in self._curves:
            self._curves[name] = Curve(name, unit)
        self._curves[name].add(elapsed_ns, self._engine.now_ns, value)

    # Results

    def _end_frame(self, frame: Frame) -> None:
        self._sources[frame.stream].end(frame)
        if all(source.is_done for source in self._sources):
            self._engine.stop()

    def _record(self, run: Run, piece: int, start_ns: int, end_ns: int, waited_ns: float) -> None:
        window = self._scenario.window
        assert window is not None, "nothing is recorded without a window"
        first_ns = round(window.start_s * NS_PER_S)
        if end_ns <= first_ns or start_ns >= first_ns + round(window.length_s * NS_PER_S):
            return
        if len(self._intervals) >= MOST_INTERVALS:
            raise SimulationError(f"window: more than {MOST_INTERVALS} intervals; make window.length_s shorter")
        program = run.table.program
        found, task = program.pieces[piece], program.tasks[program.task_of[piece]]
        self._intervals.append(
            Interval(
                track=self._tracks[task.track],
                stream=run.frame.stream,
                inference=run.frame.number,
                kind=found.kind,
                name=found.name,
                start_ns=start_ns,
                end_ns=end_ns,
                segment=task.segment,
                dram_bytes=found.dram_bytes,
                waited_ns=round(waited_ns),
            )
        )

    def _trips(self) -> tuple[Trip, ...]:
        found = self._clocks.trips if self._clocks is not None else {}
        trips = [Trip(node=n, time_ns=t, temperature_c=c, units=units) for n, (t, c, units) in found.items()]
        return tuple(sorted(trips, key=lambda trip: trip.time_ns))

    def _outcome(self) -> Outcome:
        end_ns = self._engine.now_ns
        books: Books = books_of(self._engine, self._meter, self._sources, self._units)
        order = {track: place for place, track in enumerate(self._tracks)}
        notes = []
        if self._soc.power is None:
            notes.append(f"{self._soc.name} has no [power]: only times are simulated, without energy, clocks or heat")
        elif self._thermal is None and self._scenario.heat:
            notes.append(f"{self._soc.name} has no [thermal]: clocks do not fall with heat")
        return Outcome(
            scenario=self._scenario,
            soc_name=self._soc.name,
            tracks=self._tracks,
            units=self._units,
            end_ns=end_ns,
            streams=books.streams,
            busy_us={t: b / NS_PER_US for t, b in zip(self._tracks, self._engine.accounts.busy_ns, strict=True)},
            energy=books.energy if self._soc.power is not None else None,
            curves=tuple(Counter(name=c.name, unit=c.unit, points=c.points(end_ns)) for c in self._curves.values()),
            intervals=tuple(sorted(self._intervals, key=lambda i: (i.start_ns, order[i.track], i.end_ns, i.stream))),
            trips=self._trips(),
            events=self._engine.accounts.events,
            notes=tuple(notes),
        )
