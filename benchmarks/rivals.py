"""Our plan against the placement rules of other runtimes, on the same models, Socs and costs.

    python -m benchmarks.rivals MODELS_FOLDER... [--soc sd8gen3-qnn ...] [--objective latency|makespan]
    python -m benchmarks.rivals --msr FOLDER [--seconds 20]

The first prints, for each Soc and rule, the ratio of its latency to the plan's and the number of its segments, then the
same for each model. All rules are judged on the costs that the plan is made with; operators that lie together are
fused wherever that saves time, for every rule. Where a runtime drives one accelerator only, it gets the one with which
it is quickest. The second solves the workloads of "Efficient Algorithms for Device Placement of DNN Graph Operators"
(NeurIPS 2020) as `partita solve --gap 0.0001` does and prints the ratios of the programs in the folder's results.csv.
"""

import argparse
import csv
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import partita as pt
from benchmarks.placements import sizes_for
from partita.devices import Soc
from partita.errors import PartitaError
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.partitioner import Wishes
from partita.partitioner.baselines.cover import chosen_for
from partita.partitioner.baselines.litert import largest_partition
from partita.partitioner.candidates import formulate
from partita.partitioner.engines.outcome import Limits
from partita.partitioner.engines.solve import solve
from partita.partitioner.place import in_good_order
from partita.partitioner.problem import Problem, evaluate, reordered
from partita.partitioner.problem_file import read_problem
from partita.passes.find_matches import find_matches
from partita.units import US_PER_MS

LITERT = {
    "LiteRT 1": (1, 1),
    "LiteRT 3": (3, 1),
    "LiteRT all": (None, 1),
    "LiteRT 2+": (None, 2),
    "LiteRT 10+": (None, 10),
}
"""LiteRT's rule by its two numbers: most partitions, least operators of each.

The GPU delegate's defaults are 1 and 1 (tensorflow/lite/delegates/gpu/delegate_options.cc), the Core ML delegate's no
limit and 2 (tensorflow/lite/delegates/coreml/coreml_delegate.h).
"""
TITLES = {
    "provider_priority": "ONNX Runtime",
    "convex_groups": "ExecuTorch",
    "greedy": "Core ML-like",
    "heft": "HEFT",
    "contiguous_split": "PipeDream",
    "fastest_per_operator": "fastest each",
}
"""Rules that every plan is compared with, by the name of the baseline."""
SOCS = ("sd8gen3-qnn", "sd855-tflite", "apple-m1-coreml", "orin-agx-tensorrt")
AS_GOOD = 1.0001
GAP = 1e-4
"""Of the published workloads."""
SECONDS_PER_MINUTE = 60


@dataclass(frozen=True, slots=True)
class Rival:
    """What one rule made of one model on one Soc."""

    rule: str
    value: float
    """Of the objective, in microseconds."""
    segments: int


@dataclass(frozen=True, slots=True)
class Contest:
    """A model on a Soc: our plan and the rules."""

    model: str
    soc: str
    plan: Plan
    rivals: tuple[Rival, ...]

    def ratio(self, rival: Rival) -> float:
        return rival.value / self.plan.proof.value if self.plan.proof.value > 0 else 1.0


def contests(arguments: argparse.Namespace) -> Iterator[Contest]:
    ends = time.monotonic() + SECONDS_PER_MINUTE * arguments.minutes
    for path in sorted(p for folder in arguments.folders for p in folder.glob("*.onnx")):
        if time.monotonic() > ends:
            print(f"stopped after {arguments.minutes:g} minutes, before {path.stem}\n")
            return
        graph = pt.load(path, sizes_for(path))
        for name in arguments.soc or SOCS:
            soc = pt.soc(name)
            try:
                plan = pt.partition(graph, soc, objective=arguments.objective, time_limit_s=arguments.seconds)
            except PartitaError as error:
                print(f"{path.stem} on {name}: {error}")
                continue
            rivals = [*listed(plan), *(litert(graph, soc) if arguments.objective == "latency" else ())]
            yield Contest(path.stem, name, plan, tuple(rivals))


def listed(plan: Plan) -> Iterator[Rival]:
    """The rules that stand in the plan; of those with one accelerator the best."""
    for rule in plan.baselines:
        if rule.name in TITLES:
            yield Rival(TITLES[rule.name], rule.figure, rule.segments)
    for ending, title in (("_only", "CPU alone"), ("_with_fallback", "one accelerator")):
        found = [rule for rule in plan.baselines if rule.name.endswith(ending)]
        if found:
            best = min(found, key=lambda rule: rule.figure)
            yield Rival(title, best.figure, best.segments)


def litert(graph: Graph, soc: Soc) -> Iterator[Rival]:
    """LiteRT's rule with each choice of its two numbers, on the accelerator where it is quickest."""
    problem = in_good_order(formulate(graph, soc, find_matches(graph), Wishes()), soc).problem
    host = next(u for u, unit in enumerate(soc.units) if unit.name == soc.host)
    for title, (most, least) in LITERT.items():
        found = [
            rival
            for unit in range(len(soc.units))
            if unit != host and (rival := partitioned(problem, unit, host, title, most, least)) is not None
        ]
        if found:
            yield min(found, key=lambda rival: rival.value)


def partitioned(problem: Problem, unit: int, host: int, title: str, most: int | None, least: int) -> Rival | None:
    """None if the rule finds no placement."""
    assignment = largest_partition(problem, unit, host, most, least)
    chosen = chosen_for(problem, assignment, host)
    if chosen is None:
        return None
    result = evaluate(problem if assignment.order is None else reordered(problem, assignment.order), chosen)
    return Rival(title, result.total_us, len(result.segments))


def print_rules(found: Sequence[Contest]) -> None:
    print("| SoC | rule | median ratio | 90 % of models below | worst | as good as the plan | segments, plan's |")
    print("|---|---|---|---|---|---|---|")
    for soc in dict.fromkeys(contest.soc for contest in found):
        here = [contest for contest in found if contest.soc == soc]
        for rule in dict.fromkeys(rival.rule for contest in here for rival in contest.rivals):
            pairs = [(c, r) for c in here for r in c.rivals if r.rule == rule]
            ratios = sorted(c.ratio(r) for c, r in pairs)
            ours = statistics.mean(len(c.plan.segments) for c, _ in pairs)
            theirs = statistics.mean(r.segments for _, r in pairs)
            even = sum(ratio <= AS_GOOD for ratio in ratios)
            print(
                f"| {soc} | {rule} | {statistics.median(ratios):.3f} | {ratios[int(0.9 * (len(ratios) - 1))]:.2f} | "
                f"{ratios[-1]:.2f} | {even} of {len(ratios)} | {theirs:.1f}, {ours:.1f} |"
            )


def print_models(found: Sequence[Contest], soc: str) -> None:
    here = [contest for contest in found if contest.soc == soc]
    rules = list(dict.fromkeys(rival.rule for contest in here for rival in contest.rivals))
    print(f"\n{soc}: ratio to the plan (segments)\n")
    print(f"| model | plan ms (segments) | gap % | {' | '.join(rules)} |\n|---|---|---|{'---|' * len(rules)}")
    for contest in here:
        by_rule = {rival.rule: rival for rival in contest.rivals}
        cells = [f"{contest.ratio(r):.2f} ({r.segments})" if (r := by_rule.get(rule)) else "-" for rule in rules]
        ours = f"{contest.plan.proof.value / US_PER_MS:.3g} ({len(contest.plan.segments)})"
        print(f"| {contest.model} | {ours} | {100 * contest.plan.proof.gap:.2f} | {' | '.join(cells)} |")


def print_workloads(folder: Path, seconds: float) -> None:
    """The published workloads: our value, what is proven, and the ratio of each program that was run on them."""
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        results = [row for row in csv.DictReader(file) if row["value_ms"]]
    print(
        "| goal | workload | operators | ours, ms | gap % | CPU-s | others over ours |\n|---|---|---|---|---|---|---|"
    )
    for goal in ("throughput", "latency"):
        for path in sorted((folder / f"{goal}-inputs").rglob("*.json")):
            granularity = "layer" if path.parent.name == "LayerGraphs" else "operator"
            theirs = [
                r for r in results if (r["mode"], r["workload"], r["granularity"]) == (goal, path.stem, granularity)
            ]
            began = time.process_time()
            instance = read_problem(path, "msr")
            outcome = solve(instance, goal, Limits(gap=GAP, time_s=seconds))
            ratios = [f"{r['algorithm'].split(' (')[0]} {float(r['value_ms']) / outcome.objective:.3f}" for r in theirs]
            print(
                f"| {goal} | {path.stem}, {granularity} | {len(instance.operators)} | {outcome.objective:.6g} | "
                f"{100 * outcome.gap:.1f} | {time.process_time() - began:.1f} | {'; '.join(ratios)} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--soc", action="append", help=f"a preset; {', '.join(SOCS)} if not given")
    parser.add_argument("--objective", choices=("latency", "makespan"), default="latency")
    parser.add_argument("--msr", type=Path, help="a folder with throughput-inputs, latency-inputs and results.csv")
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit of each plan or workload")
    parser.add_argument("--minutes", type=float, default=inf, help="begin no further model after this time")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, partita {pt.__version__}\n")
    found = list(contests(arguments))
    if found:
        print_rules(found)
    for soc in dict.fromkeys(contest.soc for contest in found):
        print_models(found, soc)
    if arguments.msr is not None:
        print_workloads(arguments.msr, arguments.seconds)


if __name__ == "__main__":
    main()
