"""Heat against published curves: python -m benchmarks.thermal DATA [--figure heat.png] [--dark].

DATA is a folder with s25_thermal_zones.csv.gz (zones of a Galaxy S25+, one reading each 5 s) and thermal_tinybench.csv.
How fast a phone cools and warms up, and what it sustains of its peak, beside what its preset says. No power was logged,
so only time constants and shares can be compared, no temperatures.
"""

import argparse
import csv
import gzip
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from partita.devices import load_soc
from partita.devices.thermal import Thermal
from partita.reports.colours import ACCENT, FAINT, INK, PAPER, unit_colour
from partita.reports.drawing_style import calm
from partita.simulator.heat import HeatNetwork
from partita.simulator.outcome import Outcome
from partita.simulator.scenario import scenario_from
from partita.simulator.scenario_run import simulate_scenario
from tests.simulator.test_heat import (
    INFERENCE_MS,
    NS_PER_S,
    UNITS,
    computing,
    sustained,
    throughput_share,
    time_constant_s,
)

READING_S = 5.13
"""Between two lines of the table."""
COOLING_READINGS, WARMING_READINGS = 15, 68
LEAST_FALL_K, MOST_RISE_K = 8.0, 1.5
"""A load has ended where the big cores cool by the one within a reading, and none follows if they then never warm by
the other."""
LEAST_JUMP_K = 30.0
"""A load that lasts begins where the big cores warm by that within a reading."""
BURST_W, IDLE_W = [9.0, 0.0, 0.0, 1.3, 0.5, 0.0], [0.0, 0.0, 0.0, 1.3, 0.0, 0.0]
"""Of CPU, GPU, NPU, base, memory, host. Time constants do not hang on them."""
BURST_S = 20
SMOOTHED = 21
COLD_C = 7.0
"""What the phone lay at before the load that lasts."""
NODE_OF = {"cpu_big_C": "cpu", "gpu_C": "gpu", "chassis_C": "board", "battery_C": "case"}
TITLES = {"cpu_big_C": "big cores", "gpu_C": "GPU", "chassis_C": "chassis sensor", "battery_C": "battery"}
PUBLISHED_COOLING_S = {"cpu_big_C": (14.5, 25.0), "gpu_C": (15.0, 30.0), "chassis_C": (23.6, 27.0)}
"""From fits to the log with the clearest burst (both core zones 14.5 and 15.1, chassis 23.6) to what the author of the
logs tuned (cores 25, GPU 30) or what the chassis takes to warm up (27)."""
PUBLISHED_WARMING_S = {"battery_C": (207, 210)}
PUBLISHED_SUSTAINED = {"gpu": (0.56, 0.88), "npu": (0.86, 0.86)}
"""Of the peak: TinyBench's GPUs; a stress test of the 8 Gen 3's NPU."""

Zones = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Cooling:
    """Readings of each zone after a load has ended."""

    log: str
    zones: Zones


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    logs = read_logs(arguments.data / "s25_thermal_zones.csv.gz")
    coolings = [found for name, zones in logs.items() for found in coolings_of(name, zones)]
    warming = next(found for zones in logs.values() if (found := warming_of(zones)))
    runs = {unit: sustained(unit, 700.0 if unit == "gpu" else 360.0) for unit in ("gpu", "npu")}
    tell_cooling(coolings)
    tell_warming(warming)
    tell_sustained(runs, arguments.data / "thermal_tinybench.csv")
    if arguments.figure is not None:
        draw(arguments.figure, coolings, warming, runs, dark=arguments.dark)


def read_logs(path: Path) -> dict[str, Zones]:
    logs: dict[str, Zones] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for record in csv.DictReader(file):
            zones = logs.setdefault(record["log"], {zone: [] for zone in NODE_OF})
            for zone in NODE_OF:
                zones[zone].append(float(record[zone]))
    return logs


def coolings_of(log: str, zones: Zones) -> list[Cooling]:
    """Every stretch without a load after one."""
    found, cores = [], zones["cpu_big_C"]
    for begin in range(1, len(cores) - COOLING_READINGS):
        after = cores[begin : begin + COOLING_READINGS]
        if cores[begin - 1] - after[0] > LEAST_FALL_K and all(b - a < MOST_RISE_K for a, b in pairwise(after)):
            rest = {zone: values[begin : begin + COOLING_READINGS] for zone, values in zones.items()}
            found.append(Cooling(log, rest))
    return found


def warming_of(zones: Zones) -> Zones | None:
    """Readings from the beginning of a load that lasts."""
    cores = zones["cpu_big_C"]
    for begin in range(1, len(cores) - WARMING_READINGS):
        after = cores[begin : begin + WARMING_READINGS]
        if after[0] - cores[begin - 1] > LEAST_JUMP_K and min(after) >= after[0]:
            return {zone: values[begin : begin + WARMING_READINGS] for zone, values in zones.items()}
    return None


def thermal_of(preset: str) -> Thermal:
    thermal = load_soc(preset).thermal
    assert thermal is not None, f"{preset} has [thermal]"
    return thermal


def readings(network: HeatNetwork, powers_w: Sequence[float], count: int) -> Zones:
    """Temperatures of the nodes that stand for the zones, now and each reading after."""
    found: Zones = {zone: [] for zone in NODE_OF}
    for _ in range(count):
        for zone, node in NODE_OF.items():
            found[zone].append(network.temperatures_c[network.nodes.index(node)])
        network.advance(round(READING_S * NS_PER_S), powers_w)
    return found


def simulated_cooling() -> Zones:
    """After a burst, from the first reading on."""
    network = HeatNetwork(thermal_of("sd8elite-qnn"), UNITS)
    for _ in range(BURST_S):
        network.advance(NS_PER_S, BURST_W)
    network.advance(round(READING_S * NS_PER_S), IDLE_W)
    return readings(network, IDLE_W, COOLING_READINGS)


@cache
def simulated_warming() -> Zones:
    """A full CPU from cold on, with the clocks that its heat leaves it."""
    duration_s = (WARMING_READINGS + 1) * READING_S
    content = {"format": "partita-scenario/1", "name": "warming", "duration_s": duration_s, "ambient_c": COLD_C,
               "streams": [{"mode": "single_stream"}]}  # fmt: skip
    outcome = simulate_scenario([computing("cpu")], load_soc("sd8elite-qnn"), scenario_from(content))
    found: Zones = {}
    for zone, node in NODE_OF.items():
        curve = outcome.curve(f"temperature {node}")
        assert curve is not None, "the preset has [thermal]"
        times, values = zip(*curve.points, strict=True)
        at_ns = [(reading + 1) * READING_S * NS_PER_S for reading in range(WARMING_READINGS)]
        found[zone] = [values[bisect_right(times, time_ns) - 1] for time_ns in at_ns]
    return found


def tell_cooling(coolings: Sequence[Cooling]) -> None:
    print(f"cooling after a load, time constants in s ({len(coolings)} such stretches in the logs):")
    simulated = simulated_cooling()
    for zone, (low, high) in PUBLISHED_COOLING_S.items():
        measured = [time_constant_s(cooling.zones[zone], READING_S) for cooling in coolings]
        found = time_constant_s(simulated[zone], READING_S)
        told = ", ".join(f"{value:.0f}" for value in measured)
        print(f"  {TITLES[zone]}: logs {told}; published {low:g} to {high:g}; simulated {found:.0f}"
              f" {_verdict(found, min(low, *measured), max(high, *measured))}")  # fmt: skip


def tell_warming(warming: Zones) -> None:
    print("warming up under a load that lasts, the battery's time constant in s:")
    low, high = PUBLISHED_WARMING_S["battery_C"]
    measured = time_constant_s(warming["battery_C"], READING_S)
    found = time_constant_s(simulated_warming()["battery_C"], READING_S)
    print(f"  battery: log {measured:.0f}; published {low:g} to {high:g}, chassis 566; simulated {found:.0f}"
          f" {_verdict(found, min(low, measured), high)}")  # fmt: skip
    print("of the big cores' rise within six minutes, reached after 5, 26, 103 and 257 s:")
    shares = [rise_shares(zones["cpu_big_C"]) for zones in (warming, simulated_warming())]
    print(
        "  log " + ", ".join(f"{s:.2f}" for s in shares[0]) + "; simulated " + ", ".join(f"{s:.2f}" for s in shares[1])
    )


def rise_shares(values: Sequence[float]) -> list[float]:
    return [(values[at] - COLD_C) / (values[-1] - COLD_C) for at in (0, 4, 19, 49)]


def tell_sustained(runs: dict[str, Outcome], table: Path) -> None:
    print("sustained over peak, a full unit of the Snapdragon 8 Gen 3:")
    with table.open(encoding="utf-8", newline="") as file:
        rates: dict[str, list[float]] = {}
        for record in csv.DictReader(file):
            rates.setdefault(record["device"], []).append(float(record["decode_tok_s"]))
    for device, values in rates.items():
        print(f"  measured, {device}: {min(values) / max(values):.2f}")
    for unit, (low, high) in PUBLISHED_SUSTAINED.items():
        found = share_of_peak(unit, runs[unit])
        print(f"  {unit}: published {low:g} to {high:g}; simulated {found:.2f} {_verdict(found, low, high)}")


def share_of_peak(unit: str, outcome: Outcome) -> float:
    """Of a GPU over the last minutes; of an NPU between its own limit and that of the case."""
    if unit == "gpu":
        return throughput_share(outcome, 300, 700)
    first, later, *_ = outcome.trips
    return throughput_share(outcome, first.time_ns / NS_PER_S + 30, later.time_ns / NS_PER_S)


def _verdict(value: float, low: float, high: float) -> str:
    return "(within)" if low <= value <= high else "(OUTSIDE)"


def draw(path: Path, coolings: Sequence[Cooling], warming: Zones, runs: dict[str, Outcome], *, dark: bool) -> None:
    """Cooling, warming up, and throughput over time; measured in grey, simulated in colour."""
    from matplotlib.figure import Figure

    ink, faint = INK.on(dark=dark), FAINT.on(dark=dark)
    figure = Figure(figsize=(11, 3.2), facecolor=PAPER.on(dark=dark), layout="constrained")
    cool, warm, lasting = figure.subplots(1, 3)
    of_zone = {"cpu_big_C": unit_colour("cpu"), "gpu_C": unit_colour("gpu"), "chassis_C": ACCENT, "battery_C": ACCENT}
    colours = {zone: colour.on(dark=dark) for zone, colour in of_zone.items()}
    cold = simulated_cooling()
    times = np.arange(COOLING_READINGS) * READING_S
    clearest = max(coolings, key=lambda cooling: cooling.zones["cpu_big_C"][0] - cooling.zones["cpu_big_C"][-1])
    for zone in PUBLISHED_COOLING_S:
        cool.plot(times, _fallen(clearest.zones[zone]), ".", color=colours[zone], markersize=5, label=TITLES[zone])
    cool.plot(times, _fallen(cold["cpu_big_C"]), color=ink, linewidth=1.2, label="all three, simulated")
    hot, minutes = simulated_warming(), np.arange(WARMING_READINGS) * READING_S
    for zone in ("cpu_big_C", "battery_C"):
        warm.plot(minutes, _risen(warming[zone]), ".", color=colours[zone], markersize=4, label=TITLES[zone])
        warm.plot(minutes, _risen(hot[zone]), color=colours[zone], linewidth=1.2, label=f"{TITLES[zone]}, simulated")
    for unit, outcome in runs.items():
        curve = outcome.curve("latency 0")
        assert curve is not None, "a single stream has one"
        colour = unit_colour(unit).on(dark=dark)
        rates = _smooth([INFERENCE_MS / latency_ms for _, latency_ms in curve.points])
        lasting.plot([t / NS_PER_S for t, _ in curve.points], rates, color=colour, linewidth=1.4, label=unit.upper())
        low, high = PUBLISHED_SUSTAINED[unit]
        lasting.axhspan(low - 0.004, high + 0.004, color=colour, alpha=0.15, linewidth=0)
    names = ("share of the fall still to come", "share of the rise", "throughput over its peak")
    for axes, name in zip((cool, warm, lasting), names, strict=True):
        calm(axes, dark=dark)
        axes.set_title(name, fontsize=9, loc="left", color=ink)
        axes.set_xlabel("s", fontsize=8, color=faint)
        axes.set_ylim(0, 1.05)
        axes.legend(
            loc="lower right" if axes is not cool else "upper right", frameon=False, fontsize=7.5, labelcolor=ink
        )
    figure.savefig(path, dpi=120)


def _fallen(values: Sequence[float]) -> list[float]:
    return [(value - values[-1]) / (values[0] - values[-1]) for value in values]


def _risen(values: Sequence[float]) -> list[float]:
    return [(value - COLD_C) / (values[-1] - COLD_C) for value in values]


def _smooth(values: Sequence[float]) -> list[float]:
    """Means over so many neighbours that a governor's flicker does not fill the picture."""
    kernel = np.ones(SMOOTHED) / SMOOTHED
    padded = np.pad(np.array(values), SMOOTHED // 2, mode="edge")
    return [float(value) for value in np.convolve(padded, kernel, mode="same")[SMOOTHED // 2 : -(SMOOTHED // 2)]]


if __name__ == "__main__":
    main()
