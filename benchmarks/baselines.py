"""Places every model of some folders on every preset and compares the plan with every simpler rule.

    python -m benchmarks.baselines MODELS_FOLDER... [--soc sd8gen3-qnn ...] [--objective latency ...]

Prints two tables: for each preset and objective what was proven in what time, and for each rule the median, best and
worst ratio of its figure to the plan's. Times are CPU seconds of the solver's process, formulating and comparing
included; open dimensions get the sizes of benchmarks/placements.py.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import partita as pt
from benchmarks.placements import sizes_for
from partita.devices import preset_names
from partita.errors import PartitaError
from partita.graph.ir import Graph
from partita.graph.plan import Plan

OBJECTIVES = ("latency", "energy", "latency=1,energy=0.2", "edp", "throughput")


@dataclass(frozen=True, slots=True)
class Placed:
    model: str
    soc: str
    objective: str
    plan: Plan
    cpu_s: float


def graphs(folders: list[Path]) -> Iterator[tuple[str, Graph]]:
    for path in sorted(p for folder in folders for p in folder.glob("*.onnx")):
        yield f"{path.parent.name}/{path.stem}", pt.load(path, sizes_for(path))


def placements(arguments: argparse.Namespace) -> Iterator[Placed]:
    ends = time.monotonic() + 60 * arguments.minutes
    for model, graph in graphs(arguments.folders):
        if time.monotonic() > ends:
            print(f"stopped after {arguments.minutes:g} minutes, before {model}\n")
            return
        for soc in arguments.soc or preset_names():
            for objective in arguments.objective or OBJECTIVES:
                began = time.process_time()
                try:
                    plan = pt.partition(graph, pt.soc(soc), objective=objective, time_limit_s=arguments.time_limit)
                except PartitaError as error:
                    if pt.soc(soc).power is not None:
                        print(f"{model} on {soc}, {objective}: {error}")
                    continue
                yield Placed(model, soc, objective, plan, time.process_time() - began)


def print_proofs(found: list[Placed]) -> None:
    print("| SoC | objective | plans | proven to 0.1 % | worst gap % | median CPU s | slowest CPU s |")
    print("|---|---|---|---|---|---|---|")
    for soc, objective in dict.fromkeys((p.soc, p.objective) for p in found):
        some = [p for p in found if (p.soc, p.objective) == (soc, objective)]
        gaps = [p.plan.proof.gap for p in some]
        slowest = max(some, key=lambda p: p.cpu_s)
        print(
            f"| {soc} | {objective} | {len(some)} | {sum(gap <= 1e-3 for gap in gaps)} | {100 * max(gaps):.3f} | "
            f"{statistics.median(p.cpu_s for p in some):.2f} | {slowest.cpu_s:.1f} ({slowest.model}) |"
        )


def print_rules(found: list[Placed], objective: str) -> None:
    ratios: dict[tuple[str, str], list[float]] = {}
    for placed in (p for p in found if p.objective == objective):
        for rule in placed.plan.baselines:
            value = rule.figure
            if placed.plan.proof.value > 0:
                ratios.setdefault((placed.soc, rule.name), []).append(value / placed.plan.proof.value)
    print(f"\n| SoC | rule, {objective} over the plan's | median | best | worst | rule is as good |")
    print("|---|---|---|---|---|---|")
    for (soc, rule), values in ratios.items():
        even = sum(value <= 1.0001 for value in values)
        print(
            f"| {soc} | {rule} | {statistics.median(values):.3f} | {min(values):.4f} | {max(values):.2f} | "
            f"{even} of {len(values)} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--soc", action="append", help="a preset; all of them if not given")
    parser.add_argument("--objective", action="append", help="all but makespan if not given")
    parser.add_argument("--time-limit", type=float, default=20.0)
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no further model after this time")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, partita {pt.__version__}\n")
    found = list(placements(arguments))
    print_proofs(found)
    for objective in dict.fromkeys(p.objective for p in found):
        print_rules(found, objective)


if __name__ == "__main__":
    main()
