"""Loads, places and simulates every model of some folders on every preset, and prints a table.

    python benchmarks/placements.py MODELS_FOLDER... [--soc sd8gen3-qnn ...] [--markdown FILE]

Open dimensions get the sizes below. Times are wall seconds of one run; the last line says how the slowest fared.
"""

import argparse
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import partita as pt
from partita.devices import preset_names
from partita.errors import ModelError
from partita.graph.onnx_import import read_onnx

SIZES = {"batch": 1, "seq": 128, "sequence": 128, "s70": 1, "s53": 25, "s*": 24}
"""Open dimensions of exported models: a decoder takes 1 new token after 24 old ones."""


@dataclass(frozen=True, slots=True)
class Row:
    model: str
    soc: str
    nodes: int
    kernels: int
    segments: int
    latency_ms: float
    simulated_ms: float
    gap: float
    solve_s: float
    total_s: float


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


def rows(folders: list[Path], socs: list[str]) -> Iterator[Row]:
    for path in sorted(p for folder in folders for p in folder.glob("*.onnx")):
        shapes = sizes_for(path)
        for name in socs:
            began = time.perf_counter()
            graph = pt.load(path, shapes)
            plan = pt.partition(graph, pt.soc(name))
            timeline = pt.simulate(plan)
            yield Row(
                f"{path.parent.name}/{path.stem}", name, len(graph.nodes), len(plan.operators), len(plan.segments),
                plan.latency_us / 1e3, timeline.latency_us / 1e3, plan.proof.gap, plan.proof.solve_s,
                time.perf_counter() - began,
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--soc", action="append", help="a preset; all of them if not given")
    arguments = parser.parse_args()
    print(f"Python {platform.python_version()}, {platform.machine()}, partita {pt.__version__}\n")
    print("| model | SoC | nodes | kernels | segments | latency ms | simulated ms | gap % | solve s | total s |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    found = []
    for r in rows(arguments.folders, arguments.soc or list(preset_names())):
        found.append(r)
        print(
            f"| {r.model} | {r.soc} | {r.nodes} | {r.kernels} | {r.segments} | {r.latency_ms:.3f} | "
            f"{r.simulated_ms:.3f} | {100 * r.gap:.4f} | {r.solve_s:.2f} | {r.total_s:.2f} |",
            flush=True,
        )
    slowest = max(found, key=lambda r: r.total_s)
    print(
        f"\n{len(found)} placements; worst gap {100 * max(r.gap for r in found):.4f} %; slowest {slowest.model} on "
        f"{slowest.soc} {slowest.total_s:.1f} s; median {sorted(r.total_s for r in found)[len(found) // 2]:.2f} s"
    )


if __name__ == "__main__":
    main()
