"""Power, clocks and temperatures over one inference at top clocks, as counters of its timeline.

They are what the energy meter and the heat network of scenarios make of it: a core of the host during fixed times and
copies, a unit's power by how much it computes, the memory's by the byte; a phone that starts at the ambient.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from partita.devices.power import Power
from partita.devices.soc import Soc
from partita.simulator.heat import HeatNetwork
from partita.simulator.meter import Meter, mean_w
from partita.simulator.program import NO_UNIT
from partita.simulator.tables import Table
from partita.simulator.timeline import Counter, Span

HEAT_STEPS = 128
"""Temperatures are looked at so often."""

Drawn = dict[int, list[tuple[int, float, float, float]]]
"""Time in ns -> what begins or, below 0, ends then: (unit or NO_UNIT, its weight in ppm, host cores, bytes per ns)."""


def gauges(spans: Sequence[tuple[int, Span]], table: Table, soc: Soc) -> tuple[Counter, ...]:
    """Counters of a run whose spans come with their pieces of `table`; none if the Soc has no [power]."""
    power, names = soc.power, tuple(unit.name for unit in soc.units)
    if power is None:
        return ()
    means = list(_powers(_changes(spans, table), _meter(power, soc, names), len(names)))
    if not means:
        return ()
    total = Counter(name="power", unit="W", points=_points((begin, sum(found)) for begin, _, found in means))
    by_unit = tuple(
        Counter(name=f"power {name}", unit="W", points=_points((begin, found[i]) for begin, _, found in means))
        for i, name in enumerate(names)
    )
    clocks = tuple(
        Counter(name=f"clock {name}", unit="MHz", points=((0, power.units[name].steps.clock_mhz[-1]),))
        for name in names
    )
    return (total, *by_unit, *clocks, *_temperatures(means, soc, names))


def _meter(power: Power, soc: Soc, names: tuple[str, ...]) -> Meter:
    meter = Meter(power, soc.thermal, names)
    meter.set_state([len(power.units[name].steps.clock_mhz) - 1 for name in names], None)
    meter.set_background([0.0] * len(names), 0.0)
    return meter


def _changes(spans: Sequence[tuple[int, Span]], table: Table) -> Drawn:
    found: Drawn = defaultdict(list)
    for piece, span in spans:
        unit = table.program.pieces[piece].unit
        begin_ns = span.start_ns + table.fixed_ns[piece]
        work_ns = span.end_ns - begin_ns
        _add(found, span.start_ns, begin_ns, (NO_UNIT, 0.0, 1.0, 0.0))
        if work_ns > 0:
            weight = table.stalled_ppm[piece] + table.computing_ppm[piece] * table.work_ns[piece] / work_ns
            host = float(table.host_works[piece])
            _add(found, begin_ns, span.end_ns, (unit, weight, host, span.dram_bytes / work_ns))
    return found


def _add(found: Drawn, begin_ns: int, end_ns: int, what: tuple[int, float, float, float]) -> None:
    if begin_ns < end_ns:
        unit, weight, host, rate = what
        found[begin_ns].append(what)
        found[end_ns].append((unit, -weight, -host, -rate))


def _powers(changes: Drawn, meter: Meter, units: int) -> Iterator[tuple[int, int, list[float]]]:
    """(begin, end, W by source: the units, then base, memory, host) between all changes."""
    weights, host, rate, last_ns = [0.0] * units, 0.0, 0.0, 0
    for time_ns in sorted(changes):
        elapsed = time_ns - last_ns
        if elapsed:
            at_work = sum(weight > 1.0 for weight in weights)
            for unit, weight in enumerate(weights):
                meter.add_weight(unit, round(weight * elapsed), overlaps=at_work > 1)
            meter.add_host(round(host * elapsed))
            meter.add_bytes(round(rate * elapsed))
            yield last_ns, time_ns, [mean_w(quanta, elapsed) for quanta in meter.close(time_ns)]
        for unit, weight, cores, bytes_per_ns in changes[time_ns]:
            if unit != NO_UNIT:
                weights[unit] += weight
            host += cores
            rate += bytes_per_ns
        last_ns = time_ns


def _temperatures(
    means: Sequence[tuple[int, int, list[float]]], soc: Soc, names: tuple[str, ...]
) -> tuple[Counter, ...]:
    if soc.thermal is None:
        return ()
    heat = HeatNetwork(soc.thermal, names)
    step_ns = max(1, means[-1][1] // HEAT_STEPS)
    points: list[list[tuple[int, float]]] = [[(0, heat.ambient_c)] for _ in heat.nodes]
    drawn, filled_ns = [0.0] * len(means[0][2]), 0
    for begin, end, powers in means:
        while begin < end:
            took = min(end - begin, step_ns - filled_ns)
            drawn = [sum_w + power * took / step_ns for sum_w, power in zip(drawn, powers, strict=True)]
            begin, filled_ns = begin + took, filled_ns + took
            if filled_ns == step_ns:
                heat.advance(step_ns, drawn)
                drawn, filled_ns = [0.0] * len(drawn), 0
                for row, temperature in zip(points, heat.temperatures_c, strict=True):
                    row.append((begin, temperature))
    return tuple(
        Counter(name=f"temperature {node}", unit="C", points=tuple(row))
        for node, row in zip(heat.nodes, points, strict=True)
    )


def _points(values: Iterator[tuple[int, float]]) -> tuple[tuple[int, float], ...]:
    """Only those that differ from the one before."""
    found: list[tuple[int, float]] = []
    for time_ns, value in values:
        if not found or abs(value - found[-1][1]) > 1e-9:
            found.append((time_ns, value))
    return tuple(found)
