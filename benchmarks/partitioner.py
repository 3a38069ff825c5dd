"""Times of the placement engines on random networks, and on published workloads if their folders are given.

    python -m benchmarks.partitioner [--msr FOLDER] [--moirai FOLDER] [--case NAME ...] [--quick]

CPU-seconds stand beside wall time; a case is built before its clock starts, and everything else is inside it. With
--msr, a folder with `throughput-inputs`, `latency-inputs` and `results.csv`, each workload stands beside the best
value that its own programs reached. --quick leaves out the largest cases and gives every search a few seconds: under
five minutes of CPU in all.
"""

import argparse
import csv
import itertools
import platform
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from math import inf
from pathlib import Path

from partita.partitioner import ilp
from partita.partitioner.constraints import MemoryLimit, MostSegments, add
from partita.partitioner.engines.nets import nets_of
from partita.partitioner.engines.outcome import Limits, relative_gap
from partita.partitioner.engines.prepared import Changes, Prepared
from partita.partitioner.engines.schedules import earliest_finish, tasks_of
from partita.partitioner.engines.solve import default_gap, solve
from partita.partitioner.engines.sum_program import solve_program
from partita.partitioner.engines.sums import by_elimination
from partita.partitioner.extra import Extra
from partita.partitioner.instance import Instance, Link, Operator, Tensor, Unit
from partita.partitioner.problem import Candidate, Problem
from partita.partitioner.problem import Tensor as Activation
from partita.partitioner.problem_file import read_problem

UNITS = ("cpu", "gpu", "npu")
CALLS_US = (5.0, 120.0, 200.0)


def network(operators: int, *, skips: float = 0.3, memory: float = inf, seed: int = 0) -> Instance:
    """Residual, inception, attention and squeeze blocks in a row, on three units; some long skips."""
    chance = random.Random(seed)
    readers: dict[int, set[int]] = {}
    count = 0

    def op(*inputs: int) -> int:
        nonlocal count
        for producer in inputs:
            readers.setdefault(producer, set()).add(count)
        count += 1
        return count - 1

    x = op()
    marks = [x]
    while count < operators:
        kind = chance.choice(("residual", "inception", "attention", "squeeze", "plain"))
        if kind == "residual":
            x = op(op(op(op(x))), x)
        elif kind == "inception":
            x = op(*[_stack(op, x, chance.randint(1, 3)) for _ in range(chance.randint(2, 4))])
        elif kind == "attention":
            q, k, v = op(x), op(x), op(x)
            x = op(op(op(op(op(q, k)), v)), x)
        elif kind == "squeeze":
            x = op(op(op(op(x))), x)
        else:
            x = op(x)
        marks.append(x)
        if chance.random() < skips and len(marks) > 6:
            x = op(x, marks[-chance.randint(4, min(len(marks) - 1, 12))])
    return _with_costs(readers, count, memory, chance)


def _stack(op: Callable[..., int], x: int, depth: int) -> int:
    for _ in range(depth):
        x = op(x)
    return x


def _with_costs(readers: dict[int, set[int]], count: int, memory: float, chance: random.Random) -> Instance:
    operators = []
    for i in range(count):
        work = chance.lognormvariate(3, 1)
        times = [work * chance.uniform(3, 8), work * chance.uniform(0.8, 1.6), work * chance.uniform(0.3, 1.5)]
        if chance.random() < 0.1:
            times[2] = inf
        operators.append(Operator(str(i), tuple(times), chance.lognormvariate(0, 1)))
    tensors = []
    for producer, consumers in sorted(readers.items()):
        size = chance.lognormvariate(2, 1)
        move = tuple(tuple(0.0 if a == b else 10 + size * (1 + 0.2 * a + 0.3 * b) for b in range(3)) for a in range(3))
        tensors.append(Tensor(producer, tuple(sorted(consumers)), move=move))
    held = tuple(Unit(name, memory=memory if name == "npu" else inf) for name in UNITS)
    return Instance(f"{count} operators", "us", held, tuple(operators), tuple(tensors))


def with_calls(instance: Instance, share: float = 1.0) -> Instance:
    """The same, with a cost for every run of a unit: this share of CALLS_US."""
    units = tuple(replace(unit, call=share * call) for unit, call in zip(instance.units, CALLS_US, strict=True))
    return replace(instance, units=units)


def joint(instance: Instance, seed: int = 0) -> Problem:
    """The same network with two dtypes on the last unit, fused pairs, and a call for each run in the order."""
    chance = random.Random(seed)
    candidates = [
        Candidate((i,), location, time * (0.6 if location == len(UNITS) else 1.0))
        for i, operator in enumerate(instance.operators)
        for location, time in enumerate((*operator.times, operator.times[-1]))
        if time < inf
    ]
    for tensor in instance.tensors:
        first, second = tensor.producer, tensor.consumers[0]
        if second == first + 1 and len(tensor.consumers) == 1 and chance.random() < 0.5:
            for location, unit in enumerate((0, 1, 2, 2)):
                times = [instance.operators[i].times[unit] for i in (first, second)]
                if max(times) < inf:
                    candidates.append(Candidate((first, second), location, sum(times) * chance.uniform(0.5, 1.0)))
    units = (0, 1, 2, 2)
    tensors = tuple(
        Activation(
            t.producer,
            t.consumers,
            tuple(tuple(0.0 if a == b else (t.move[units[a]][units[b]] or 3.0) for b in range(4)) for a in range(4)),
        )
        for t in instance.tensors
    )
    return Problem(len(instance.operators), units, 0, CALLS_US, 0.0, tuple(candidates), tensors)


PATIENCE_S = 600.0
"""Of the wall clock, for what does not count its work: long, since other programs may hold the machine up."""
GRAIN = 1_000_000
"""Memory in whole bytes."""


def single(instance: Instance) -> Problem:
    """The same with one candidate per operator and unit, weights of the operators' memory, and calls in the order."""
    candidates = [
        Candidate((i,), location, time, weights=(i,))
        for i, operator in enumerate(instance.operators)
        for location, time in enumerate(operator.times)
        if time < inf
    ]
    weights = tuple((round(operator.memory * GRAIN),) * len(UNITS) for operator in instance.operators)
    tensors = tuple(Activation(t.producer, t.consumers, t.move) for t in instance.tensors)
    return Problem(
        operators=len(instance.operators),
        unit_of_location=(0, 1, 2),
        host=0,
        call_us=tuple(unit.call for unit in instance.units),
        fixed_us=0.0,
        candidates=tuple(candidates),
        tensors=tensors,
        weight_bytes=weights,
    )


@dataclass(frozen=True)
class Effort:
    """How large the cases are, and how long a search may take."""

    is_quick: bool = False

    def seconds(self, full: float) -> float:
        return min(full, 4.0) if self.is_quick else full

    def sizes(self, *counts: int) -> tuple[int, ...]:
        return counts[:-1] if self.is_quick and len(counts) > 1 else counts


Found = tuple[float, float, str]
Row = tuple[str, float, float, float, str]
"""Case, objective, gap, CPU-seconds, remark."""


def measured(name: str, run: Callable[[], Found]) -> Row:
    cpu, wall = time.process_time(), time.perf_counter()
    objective, gap, remark = run()
    spent = time.process_time() - cpu
    return (name, objective, gap, spent, f"wall {time.perf_counter() - wall:.2f} s; {remark}")


def sum_rows(effort: Effort) -> Iterator[Row]:
    for count in (1000, 20_000):
        instance = network(count)
        yield measured(f"sum, elimination, {count}", lambda i=instance: (by_elimination(nets_of(i))[1], 0.0, ""))
    for count in effort.sizes(1000, 5000, 20_000):
        instance = network(count)

        def program(instance: Instance = instance) -> Found:
            found = solve_program(nets_of(instance), Limits(gap=1e-4, time_s=PATIENCE_S, work_s=PATIENCE_S), None)
            return found.objective, found.gap, found.log[0]

        yield measured(f"sum, integer program through PuLP, {count}", program)


def joint_rows(effort: Effort) -> Iterator[Row]:
    for count in effort.sizes(1000, 5000):
        problem = joint(network(count))

        def program(problem: Problem = problem) -> Found:
            found = ilp.solve(problem, gap=1e-3, time_limit_s=PATIENCE_S)
            gap = relative_gap(found.objective_us, found.bound_us)
            return found.objective_us, gap, f"{len(problem.candidates)} candidates"

        yield measured(f"joint fusion, dtype, unit, segments in order, {count}", program)


def calls_rows(effort: Effort) -> Iterator[Row]:
    for skips, share in ((0.0, 1.0), (0.3, 1.0), (0.0, 0.1), (0.3, 0.1)):
        instance = with_calls(network(1000, skips=skips), share)
        given = solve(instance, "sum", Limits()).objective

        def run(instance: Instance = instance, given: float = given) -> Found:
            found = solve(instance, "sum", Limits(), order_is_free=True)
            return found.objective, found.gap, f"{found.status}; in the given order {given:.6g}"

        yield measured(f"sum, calls x {share:g}, order free, 1000, long skips {skips:g}", run)


def warm_rows(effort: Effort) -> Iterator[Row]:
    """A prepared problem after one operator's time, and after one unit's call (all places of the order) has changed."""
    for count in effort.sizes(1000, 20_000):
        instance = with_calls(network(count))
        began = time.process_time()
        solve(instance, "sum", Limits())
        cold_s = time.process_time() - began
        prepared = Prepared(instance)
        prepared.solve()
        cases = {
            "one time": Changes(times={(count // 2, 0): 1.1 * instance.operators[count // 2].times[0]}),
            "one call": Changes(calls={2: 1.1 * CALLS_US[2]}),
        }
        for what, changes in cases.items():

            def run(changes: Changes = changes, cold_s: float = cold_s, held: Prepared = prepared) -> Found:
                found = held.solve(changes)
                return found.objective, found.gap, f"{found.log[0]}; cold {cold_s:.3f} CPU-s"

            yield measured(f"sum, warm, {what} changed, {count}", run)


def memory_rows(effort: Effort) -> Iterator[Row]:
    """On the last unit, 40 % of the memory and a third of the runs of the placement without limits."""
    for count in effort.sizes(1000, 5000):
        free = with_calls(network(count), 0.1)
        unit_of, _ = by_elimination(nets_of(free))
        held = sum(o.memory for o, u in zip(free.operators, unit_of, strict=True) if u == 2)
        runs = sum(u == 2 for u, _ in itertools.groupby(unit_of))
        problem = single(free)
        extra = Extra()
        add(MemoryLimit("memory", 0.4 * held * GRAIN, 2), problem, extra)
        add(MostSegments("segments", max(1, runs // 3), 2), problem, extra)

        def run(problem: Problem = problem, extra: Extra = extra) -> Found:
            found = ilp.solve(problem, gap=1e-3, time_limit_s=effort.seconds(PATIENCE_S), extra=extra)
            return found.objective_us, relative_gap(found.objective_us, found.bound_us), found.status

        yield measured(f"sum, calls x 0.1, memory 40 %, runs at most a third, {count}", run)


def makespan_rows(effort: Effort) -> Iterator[Row]:
    """Moving is a delay, or goes over one bus that carries one tensor at a time."""
    pairs = tuple(itertools.permutations(range(len(UNITS)), 2))
    for links, skips in itertools.product(((), (Link("bus", pairs),)), (0.0, 0.3)):
        instance = replace(network(1000, skips=skips), links=links)
        rule = earliest_finish(tasks_of(instance), look_ahead=False).length

        def run(instance: Instance = instance, rule: float = rule) -> Found:
            found = solve(instance, "makespan", Limits(gap=1e-4, time_s=PATIENCE_S, work_s=effort.seconds(60.0)))
            return found.objective, found.gap, f"HEFT {rule:.6g}"

        yield measured(f"makespan, {'one bus' if links else 'delays'}, 1000, long skips {skips:g}", run)


def throughput_rows(effort: Effort) -> Iterator[Row]:
    """Three units that differ."""
    for count in (60, 200, 1000):
        instance = network(count)

        def run(instance: Instance = instance) -> Found:
            found = solve(instance, "throughput", Limits(gap=5e-3, time_s=PATIENCE_S, work_s=effort.seconds(60.0)))
            return found.objective, found.gap, found.log[0]

        yield measured(f"throughput, {count}", run)


def msr_rows(effort: Effort, folder: Path) -> Iterator[Row]:
    with (folder / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for mode in ("throughput", "latency"):
        for path in sorted((folder / f"{mode}-inputs").rglob("*.json")):
            grain = "layer" if path.parent.name.startswith("Layer") else "operator"
            own = [r for r in rows if (r["workload"], r["granularity"], r["mode"]) == (path.stem, grain, mode)]
            peers = sorted((float(r["value_ms"]), r["algorithm"], r["optimizer_cpu_s"]) for r in own if r["value_ms"])
            best = f"best row: {peers[0][0]:g} ({peers[0][1]})" if peers else "no row"
            spent = ", ".join(f"{algorithm} {cpu_s}" for _, algorithm, cpu_s in peers if cpu_s)
            best += f"; CPU-s of theirs: {spent}" if spent else ""

            def run(path: Path = path, mode: str = mode, best: str = best) -> Found:
                instance = read_problem(path)
                limits = Limits(gap=default_gap(instance, mode), time_s=PATIENCE_S, work_s=effort.seconds(60.0))
                found = solve(instance, mode, limits)
                return found.objective, found.gap, best

            yield measured(f"{mode}, {path.stem} {grain}", run)


def moirai_rows(effort: Effort, folder: Path) -> Iterator[Row]:
    for path in sorted(folder.glob("*.json")):
        rule = earliest_finish(tasks_of(read_problem(path)), look_ahead=False).length

        def run(path: Path = path, rule: float = rule) -> Found:
            found = solve(read_problem(path), "makespan", Limits(time_s=PATIENCE_S, work_s=effort.seconds(60.0)))
            return found.objective, found.gap, f"HEFT {rule:.6g}; {found.status}"

        yield measured(f"makespan, {path.stem}", run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--msr", type=Path)
    parser.add_argument("--moirai", type=Path)
    names = ["sum", "joint", "calls", "memory", "makespan", "throughput", "warm", "msr", "moirai"]
    parser.add_argument("--case", action="append", choices=names)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    effort = Effort(given.quick)
    cases: dict[str, Callable[[], Iterator[Row]]] = {
        "sum": lambda: sum_rows(effort),
        "joint": lambda: joint_rows(effort),
        "calls": lambda: calls_rows(effort),
        "memory": lambda: memory_rows(effort),
        "makespan": lambda: makespan_rows(effort),
        "throughput": lambda: throughput_rows(effort),
        "warm": lambda: warm_rows(effort),
    }
    if given.msr:
        cases["msr"] = lambda: msr_rows(effort, given.msr)
    if given.moirai:
        cases["moirai"] = lambda: moirai_rows(effort, given.moirai)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pulp", "highspy"))
    print(f"Python {platform.python_version()}, {libraries}, {platform.machine()}\n")
    print("| case | objective | gap | CPU-s | remark |\n|---|---|---|---|---|")
    for name in given.case or cases:
        if name not in cases:
            parser.error(f"--case {name} needs its folder: --{name} FOLDER")
        for case, objective, gap, cpu_s, remark in cases[name]():
            print(f"| {case} | {objective:.6g} | {gap:.4%} | {cpu_s:.2f} | {remark} |", flush=True)


if __name__ == "__main__":
    main()
