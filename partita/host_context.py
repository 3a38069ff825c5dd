"""Operators timed where they stand in networks: what runs in the child processes of `partita calibrate --host`."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from partita import host_timing as timing
from partita.devices import Soc
from partita.devices.calibration.fit_core import Timed, timed
from partita.devices.core_law import cache_bytes
from partita.devices.core_terms import SWISH, TAIL, VIEW, Kernel
from partita.devices.profiles import read_profile
from partita.devices.profiles.matching import match_rows
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.host_networks import networks
from partita.host_soc import DTYPE
from partita.kernels.placed import execute
from partita.partitioner import Rule, Wishes, partition
from partita.passes.find_matches import find_matches
from partita.units import NS_PER_US

FUSED_SHARE = 0.8
"""How many of the chains that could be fused are offered to the partitioner: both forms are to be timed."""
QUIET_PERCENTILE = 20
"""Of the repeats: below the median, because disturbances only add."""
RUNS_A_ROUND = 2
"""Few, so that rounds follow each other soon: a slow spell of the machine then meets a part of each network's runs."""
WARM_UPS = 2


@dataclass(frozen=True, slots=True)
class TimedNetwork:
    """The kernels of a network, each with its time up to the next one, and the time of the whole in microseconds."""

    samples: tuple[Timed, ...]
    latency_us: float
    between_us: tuple[float, ...]
    """What the runtime takes between two kernels, for each of them or on average."""


@dataclass(slots=True, eq=False)
class Runs:
    """A plan on one unit, and what its runs took so far."""

    plan: Plan
    feeds: dict[str, Any]
    latencies_us: list[float] = field(default_factory=list)
    rows_us: list[list[float]] = field(default_factory=list)
    """Of each run, from the beginning of each kernel to that of the next one."""
    gaps_us: list[list[float]] = field(default_factory=list)
    """Of each run, from the end of each kernel to the beginning of the next one."""

    def once(self) -> None:
        runs = execute(self.plan, self.feeds, clock=time.thread_time_ns).operators
        nexts = [run.start_ns for run in runs[1:]]
        self.latencies_us.append(runs[-1].end_ns / NS_PER_US)
        until = [*nexts, runs[-1].end_ns]
        self.rows_us.append([(end - run.start_ns) / NS_PER_US for run, end in zip(runs, until, strict=True)])
        self.gaps_us.append([(start - run.end_ns) / NS_PER_US for run, start in zip(runs[:-1], nexts, strict=True)])

    def result(self, cache: float, percentile: float = QUIET_PERCENTILE) -> TimedNetwork:
        """What a kernel leaves cold, or has to be freed, shows in the gap behind it, which so counts as its own."""
        graph, times_us = self.plan.graph, np.percentile(self.rows_us, percentile, axis=0)
        nodes = (graph.node_named[operator.node] for operator in self.plan.operators)
        samples = [timed(graph, node, DTYPE, cache, float(us)) for node, us in zip(nodes, times_us, strict=True)]
        gaps_us = np.percentile(self.gaps_us, percentile, axis=0)
        latency_us = float(np.percentile(self.latencies_us, percentile))
        return TimedNetwork(tuple(samples), latency_us, tuple(map(float, gaps_us)))


def time_networks(soc: Soc, count: int, rounds: int, seed: int) -> list[TimedNetwork]:
    """All networks in turn, so often round, by our executor on the first unit; by the thread's own clock."""
    soc = soc.model_copy(update={"units": soc.units[:1], "links": ()})  # with one unit a plan is soon made
    waiting = [prepared(graph, soc, rng) for graph, rng in with_weights(count, seed)]
    for number in range(rounds):
        for runs in waiting:
            for _ in range(WARM_UPS if number == 0 else 1):
                execute(runs.plan, runs.feeds)
            for _ in range(RUNS_A_ROUND):
                runs.once()
    return [runs.result(cache_bytes(soc.units[0])) for runs in waiting]


def with_weights(count: int, seed: int) -> Iterator[tuple[Graph, random.Random]]:
    """The networks with made-up weights, each with a source of chance."""
    for index, graph in enumerate(networks(count, seed)):
        yield timing.filled(graph), random.Random(f"{seed} {index}")


def prepared(graph: Graph, soc: Soc, rng: random.Random) -> Runs:
    """The graph placed on the first unit, with some of the chains that could be fused left as they are."""
    offered = [match for match in find_matches(graph) if rng.random() < FUSED_SHARE]
    bans = tuple(Rule("*", unit.name) for unit in soc.units[1:])
    return Runs(partition(graph, soc, offered, Wishes(bans=bans)), timing.feeds_of(graph, 0))


def time_networks_onnxruntime(soc: Soc, count: int, rounds: int, seed: int) -> list[TimedNetwork]:
    """The same in sessions of onnxruntime, which profile themselves; its fused operators are matched with chains."""
    found = [_in_session(graph, soc, rounds) for graph, _ in with_weights(count, seed)]
    return [network for network in found if network.samples]


def _in_session(graph: Graph, soc: Soc, rounds: int) -> TimedNetwork:
    feeds, runs = timing.feeds_of(graph, 0), rounds * RUNS_A_ROUND
    session = timing.onnxruntime_session(graph)
    latencies_us = _session_times(session, feeds, runs)
    with TemporaryDirectory() as folder:
        session = timing.onnxruntime_session(graph, profile=str(Path(folder) / "run"))
        _session_times(session, feeds, runs)
        profile = read_profile(session.end_profiling())
    matches, unit = find_matches(graph), soc.units[0]
    matching = match_rows(graph, profile, unit, DTYPE, matches)
    samples = [_of_group(graph, group.nodes, cache_bytes(unit), group.low_us) for group in matching.timings]
    latency_us = min(latencies_us)  # a profile tells the least of wall times, and no percentile
    between_us = max(0.0, latency_us - sum(sample.us for sample in samples)) / max(1, len(samples))
    whole = tuple(replace(sample, us=sample.us + between_us) for sample in samples)
    return TimedNetwork(whole, latency_us, (between_us,))


def _session_times(session: Any, feeds: dict[str, Any], runs: int) -> list[float]:
    for _ in range(WARM_UPS):
        session.run(None, feeds)
    times_us = []
    for _ in range(runs):
        began = time.thread_time_ns()
        session.run(None, feeds)
        times_us.append((time.thread_time_ns() - began) / NS_PER_US)
    return times_us


def _of_group(graph: Graph, names: Sequence[str], cache: float, us: float) -> Timed:
    """Operators that ran as one kernel: that with the most to do, and a step for each of the others but views."""
    alone = [timed(graph, graph.node_named[name], DTYPE, cache, us) for name in names]
    main = max(alone, key=lambda each: (each.kernels[0].counts.get("mmacs", 0.0), each.kernels[0].kind != VIEW))
    steps = [each for each in alone if each is not main and each.kind != VIEW]
    return Timed(main.op, (*main.kernels, *_as_links(steps)), us)


def _as_links(steps: Sequence[Timed]) -> list[Kernel]:
    """Steps behind a main kernel; a Sigmoid and the product with it are one, as in chains."""
    links = [each.as_step() for each in steps]
    ops = [each.op for each in steps]
    if "Sigmoid" in ops and "Mul" in ops:
        swish = replace(links[ops.index("Mul")], kind=TAIL + SWISH)
        links = [link for link, op in zip(links, ops, strict=True) if op not in ("Sigmoid", "Mul")] + [swish]
    return links
