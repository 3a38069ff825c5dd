"""Speed of the simulator: python -m benchmarks.simulator (needs the extra [benchmark]).

Events per second side by side with the same model in SimPy; half an hour of a camera with heat; memory over time.
"""

import statistics
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.simpy_model import Phone
from partita.devices import load_soc
from partita.graph.plan import Plan
from partita.simulator.engine import Engine
from partita.simulator.memory import Machine, machine_of
from partita.simulator.meter import Meter
from partita.simulator.program import program_of, tracks_of
from partita.simulator.scenario import scenario_from
from partita.simulator.scenario_run import simulate_scenario
from partita.simulator.sharing import FairShare
from partita.simulator.streams import Source
from partita.simulator.tables import State
from partita.simulator.work import Frame
from tests.simulator.plans import Fees, make_plan, step

SOC = load_soc("sd8gen3-qnn")
SEGMENTS = 100
REPEATS = 3


@dataclass(frozen=True, slots=True)
class Load:
    """Plans that run back to back side by side."""

    title: str
    plans: tuple[Plan, ...]
    queries: int


def long_plan(first: str, second: str, dram_bytes: int, operators: int = 3) -> Plan:
    """A hundred segments that change between two units."""
    steps = []
    for index in range(SEGMENTS * operators):
        unit = (first, second)[index // operators % 2]
        source = f"n{index - 1}" if index else "x"
        steps.append(step(f"n{index}", unit, source, 40.0 + index % 7, dram_bytes=dram_bytes, dispatch_us=2.0))
    fees = Fees(inference_us=20.0, call_us=10.0, sync_us=15.0, copy_us=5.0, dram_bytes=20_000)
    return make_plan(steps, [steps[-1].name], fees)


def main() -> None:
    calm, busy = long_plan("cpu", "npu", 40_000), long_plan("cpu", "npu", 1_100_000)
    loads = (
        Load("one plan by itself", (calm,), 300),
        Load("two plans, the memory suffices", (calm, long_plan("gpu", "npu", 40_000)), 100),
        Load("two plans, the memory is short", (busy, long_plan("gpu", "cpu", 1_600_000)), 60),
    )
    print("events per second (ends of pieces), median of 3 runs; the same latencies in both")
    for load in loads:
        ours, simpys, count = [], [], 0
        for _ in range(REPEATS):
            count, found_s, latencies = run_engine(load)
            simpy_count, simpy_s, simpy_latencies = run_simpy(load)
            _check(count, simpy_count, latencies, simpy_latencies)
            ours.append(count / found_s)
            simpys.append(count / simpy_s)
        a, b = statistics.median(ours), statistics.median(simpys)
        print(f"  {load.title}: {count:,} events; engine {a:,.0f}/s, SimPy {b:,.0f}/s, {a / b:.1f}x")
    half_an_hour(calm)
    memory_over_time(calm)


def _check(count: int, simpy_count: int, latencies: Sequence[int], simpy_latencies: Sequence[int]) -> None:
    pairs = list(zip(sorted(latencies), sorted(simpy_latencies), strict=True))
    assert count == simpy_count, f"{count} events here, {simpy_count} in SimPy"
    worst = max(abs(a - b) / b for a, b in pairs)
    assert worst < 1e-3, f"latencies differ by {worst:.2%}"


def run_engine(load: Load) -> tuple[int, float, list[int]]:
    """Events, seconds from the programs on, and latencies in ns."""
    machine = machine_of(SOC)
    tracks = tracks_of(machine, load.plans)
    programs = [program_of(plan, machine, tracks, sequential=True) for plan in load.plans]
    begin = time.process_time()
    engine = Engine(tracks, FairShare(machine.memory), Meter(None, None, machine.units), _state(machine, len(tracks)))
    fields = {"mode": "single_stream", "queries": load.queries}
    scenario = scenario_from({"format": "partita-scenario/1", "name": "x", "streams": [fields] * len(programs)})
    streams = [
        Source(i, s, p, scenario, engine) for i, (s, p) in enumerate(zip(scenario.streams, programs, strict=True))
    ]
    latencies: list[int] = []

    def end(frame: Frame) -> None:
        latencies.append(engine.now_ns - frame.query.arrival_ns)
        streams[frame.stream].end(frame)

    for program in programs:
        engine.add(program)
    engine.frame_ended = end
    for source in streams:
        source.begin()
    engine.run()
    return engine.accounts.events, time.process_time() - begin, latencies


def run_simpy(load: Load) -> tuple[int, float, list[int]]:
    """The same of the model in SimPy."""
    machine = machine_of(SOC)
    tracks = tracks_of(machine, load.plans)
    programs = [program_of(plan, machine, tracks, sequential=True) for plan in load.plans]
    begin = time.process_time()
    phone = Phone(len(tracks), FairShare(machine.memory))
    for program in programs:
        phone.add_back_to_back(program, load.queries)
    phone.env.run()
    return phone.pieces, time.process_time() - begin, phone.latencies_ns


def _state(machine: Machine, tracks: int) -> State:
    count = len(machine.units)
    return State(steps=(0,) * count, clocks=(1.0,) * count, host=0, stalled=(1.0,) * count, loads=(0.0,) * count,
                 background_speeds=(), tracks=tracks, polls=False)  # fmt: skip


def half_an_hour(plan: Plan) -> None:
    camera = {"mode": "periodic", "period_ms": 1000 / 30, "jitter_ms": 2.0, "deadline_ms": 40.0}
    scenario = scenario_from(
        {"format": "partita-scenario/1", "name": "camera", "duration_s": 1800.0, "streams": [camera]}
    )
    begin = time.process_time()
    outcome = simulate_scenario([plan], SOC, scenario)
    took_s = time.process_time() - begin
    hottest = max(v for c in outcome.curves if c.name.startswith("temperature") for _, v in c.points)
    print(
        f"30 minutes at 30 frames/s, {SEGMENTS} segments, heat on: {took_s:.1f} s of one core, "
        f"{outcome.inferences:,} inferences, {outcome.events:,} events, {hottest:.0f} C at most"
    )


def memory_over_time(plan: Plan) -> None:
    print("most memory while simulating, summaries only:")
    for minutes in (1, 10, 60):
        camera = {"mode": "periodic", "period_ms": 1000 / 30}
        scenario = scenario_from(
            {"format": "partita-scenario/1", "name": "camera", "duration_s": minutes * 60.0, "streams": [camera]}
        )
        tracemalloc.start()
        simulate_scenario([plan], SOC, scenario)
        print(f"  {minutes} min: {tracemalloc.get_traced_memory()[1] / 1e6:.1f} MB")
        tracemalloc.stop()


if __name__ == "__main__":
    main()
