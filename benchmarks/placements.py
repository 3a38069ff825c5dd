"""Loads, places and simulates every model of some folders on every preset, and compares with every simpler rule.

    python -m benchmarks.placements MODELS_FOLDER... [--soc sd8gen3-qnn ...] [--rows FILE.jsonl] [--every]

Prints what was proven for each preset, and for each rule the median, best and worst ratio of its latency to the plan's;
with --every a line for each placement too. Open dimensions get the sizes below. Times are CPU seconds of placing, with
formulating, comparing and proving. With --rows, what stands in the file is not done again.
"""

import argparse
import json
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import partita as pt
from partita.devices import preset_names
from partita.errors import ModelError, PartitaError
from partita.graph.ir import Graph
from partita.graph.onnx_import import read_onnx

SIZES = {"batch": 1, "seq": 128, "sequence": 128, "s70": 1, "s53": 25, "s*": 24}
"""Open dimensions of exported models: a decoder takes 1 new token after 24 old ones."""


@dataclass(frozen=True, slots=True)
class Row:
    model: str
    soc: str
    nodes: int
    kernels: int = 0
    segments: int = 0
    latency_ms: float = 0.0
    simulated_ms: float = 0.0
    gap: float = 0.0
    any_order_gap: float | None = None
    """To the bound over all orders of the operators."""
    cpu_s: float = 0.0
    rules: tuple[tuple[str, float], ...] = ()
    """Each rule's latency over the plan's."""
    error: str = ""


def sizes_for(path: Path) -> dict[str, int | tuple[int, ...]]:
    """Those of SIZES that the model has dimensions for."""
    for names in ((), ("batch",), ("batch", "seq"), ("s70", "s53", "s*")):
        sizes: dict[str, int | tuple[int, ...]] = {name: SIZES[name] for name in names}
        try:
            read_onnx(path, sizes)
        except ModelError:
            continue
        return sizes
    return {}


def rows(folders: list[Path], socs: list[str], known: dict[tuple[str, str], Row]) -> Iterator[Row]:
    for path in sorted(p for folder in folders for p in folder.glob("*.onnx")):
        model = f"{path.parent.name}/{path.stem}"
        missing = [name for name in socs if (model, name) not in known]
        yield from (known[model, name] for name in socs if (model, name) in known)
        if not missing:
            continue
        graph = pt.load(path, sizes_for(path))
        for name in missing:
            yield placed(model, name, graph)


def placed(model: str, name: str, graph: Graph) -> Row:
    began = time.process_time()
    try:
        plan = pt.partition(graph, pt.soc(name))
    except PartitaError as error:
        return Row(model, name, len(graph.nodes), error=str(error))
    cpu_s = time.process_time() - began
    latency_us, any_order = plan.latency_us, plan.proof.any_order
    return Row(
        model, name, len(graph.nodes), len(plan.operators), len(plan.segments), latency_us / 1e3,
        pt.simulate(plan).latency_us / 1e3, plan.proof.gap,
        None if any_order is None or latency_us == 0 else 1 - any_order / latency_us, cpu_s,
        tuple((b.name, b.latency_us / latency_us) for b in plan.baselines if latency_us > 0),
    )  # fmt: skip


def print_proofs(found: list[Row]) -> None:
    print(
        "\n| SoC | plans | proven to 0.1 % | in any order too | worst gap % | median CPU s | slowest CPU s | refused |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for soc in dict.fromkeys(row.soc for row in found):
        made = [row for row in found if row.soc == soc and not row.error]
        refused = sum(row.soc == soc and bool(row.error) for row in found)
        if not made:
            print(f"| {soc} | 0 | | | | | | {refused} |")
            continue
        slowest = max(made, key=lambda row: row.cpu_s)
        in_any = sum(row.any_order_gap is not None and row.any_order_gap <= 1e-3 for row in made)
        print(
            f"| {soc} | {len(made)} | {sum(row.gap <= 1e-3 for row in made)} | {in_any} | "
            f"{100 * max(row.gap for row in made):.3f} | {median(row.cpu_s for row in made):.2f} | "
            f"{slowest.cpu_s:.1f} ({slowest.model.split('/')[-1]}) | {refused} |"
        )


def print_rules(found: list[Row], *, by_soc: bool) -> None:
    ratios: dict[tuple[str, str], list[float]] = {}
    for row in (row for row in found if row.rules):
        best = min(ratio for _, ratio in row.rules)
        for name, ratio in (*row.rules, ("the best of them", best)):
            ratios.setdefault((row.soc if by_soc else "all", name), []).append(ratio)
    print("\n| SoC | rule, latency over the plan's | plans | median | best | worst | rule is as good |")
    print("|---|---|---|---|---|---|---|")
    for (soc, rule), values in ratios.items():
        even = sum(value <= 1.0001 for value in values)
        print(
            f"| {soc} | {rule} | {len(values)} | {median(values):.3f} | {min(values):.4f} | {max(values):.2f} "
            f"| {even} |"
        )


def print_row(row: Row) -> None:
    print(
        f"| {row.model} | {row.soc} | {row.nodes} | {row.kernels} | {row.segments} | {row.latency_ms:.3f} | "
        f"{row.simulated_ms:.3f} | {100 * row.gap:.4f} | {row.cpu_s:.2f} |",
        flush=True,
    )


def read_rows(path: Path | None) -> dict[tuple[str, str], Row]:
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [Row(**{**line, "rules": tuple((name, ratio) for name, ratio in line["rules"])}) for line in lines]
    return {(row.model, row.soc): row for row in found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--soc", action="append", help="a preset; all of them if not given")
    parser.add_argument("--rows", type=Path, help="a file that keeps each placement")
    parser.add_argument("--every", action="store_true", help="a line for each placement")
    arguments = parser.parse_args()
    known = read_rows(arguments.rows)
    print(f"Python {platform.python_version()}, {platform.machine()}, partita {pt.__version__}\n")
    if arguments.every:
        print("| model | SoC | nodes | kernels | segments | latency ms | simulated ms | gap % | CPU s |")
        print("|---|---|---|---|---|---|---|---|---|")
    found = []
    for row in rows(arguments.folders, arguments.soc or list(preset_names()), known):
        found.append(row)
        if arguments.every:
            print_row(row)
        if arguments.rows is not None and (row.model, row.soc) not in known:
            with arguments.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
    print_proofs(found)
    print_rules(found, by_soc=False)
    print_rules(found, by_soc=True)
    for row in (row for row in found if row.error):
        print(f"\n{row.model} on {row.soc}: {row.error}")


if __name__ == "__main__":
    main()
