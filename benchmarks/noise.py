"""Measures the rounding noise of each class of operators in each dtype, and prints devices/noise.toml.

    python -m benchmarks.noise MODEL.onnx... > devices/noise.toml

Every operator runs on exact float32 inputs with made-up weights, once in float32 and once in the dtype; its noise is
the power of the difference over the power of the result. Printed are the median and the 10th and 90th percentile.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

import partita as pt
from benchmarks.placements import sizes_for
from partita.graph.ir import Graph
from partita.graph.plan import Plan
from partita.graph.quantisation import SCHEMES
from partita.graph.work import FREE, GATHER, MOVEMENT, work_of
from partita.kernels.calibration import calibrate
from partita.kernels.noise import noise_of_operators
from partita.passes.random_feeds import random_feeds

DTYPES = ("float16", "bfloat16", *SCHEMES)
MOVING = (FREE, MOVEMENT, GATHER)
"""Classes that pass values on as they are: what they read was rounded by the operator that made it."""
LEAST = 5
"""Operators of a class that must have been measured for it to have a number of its own."""


def in_dtype(plan: Plan, graph: Graph, dtype: str) -> Plan:
    """Every operator by itself, in one dtype."""
    some = plan.operators[0]
    operators = tuple(replace(some, node=n.name, covers=(n.name,), dtype=dtype) for n in graph.nodes)
    return replace(plan, graph=graph, operators=operators)


def measured(path: Path) -> dict[tuple[str, str], list[float]]:
    """Noise powers by dtype and class."""
    graph = pt.load(path, sizes_for(path), random_weights=True)
    plan = pt.partition(graph, pt.soc("sd8gen3-qnn"))
    feeds = random_feeds(graph, seed=0)
    ranges = calibrate(graph, [feeds])
    found: dict[tuple[str, str], list[float]] = {}
    for dtype in DTYPES:
        for noise in noise_of_operators(in_dtype(plan, graph, dtype), feeds, ranges):
            op_class = work_of(graph, graph.node_named[noise.node]).op_class
            if not np.isnan(noise.snr_db):
                found.setdefault((dtype, op_class), []).append(float(10.0 ** (-noise.snr_db / 10.0)))
    return found


def number(powers: list[float], source: str) -> str:
    low, middle, high = (float(np.quantile(powers, q)) for q in (0.1, 0.5, 0.9))
    return f'{{ value = {middle:.3g}, low = {low:.3g}, high = {high:.3g}, kind = "measured", source = "{source}" }}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    paths = parser.parse_args().models
    found: dict[tuple[str, str], list[float]] = {}
    for path in paths:
        print(path.stem, file=sys.stderr, flush=True)
        for key, powers in measured(path).items():
            found.setdefault(key, []).extend(powers)
    models = ", ".join(path.stem for path in paths)
    for key in [key for key in found if key[1] in MOVING]:
        del found[key]
    print("# Power of the rounding noise that one operator adds, over the power of its result, by dtype and class.")
    print(f"# Made by benchmarks/noise.py from {models}, with made-up weights.")
    for dtype in DTYPES:
        print(f"\n[{dtype}]")
        everything = [p for (d, _), powers in found.items() if d == dtype for p in powers]
        print(f"default = {number(everything, f'MADE: {len(everything)} operators of all classes')}")
        for op_class in sorted(MOVING):
            print(f'{op_class} = {{ value = 0, kind = "derived", source = "passes values on as they are" }}')
        for (d, op_class), powers in sorted(found.items()):
            if d == dtype and len(powers) >= LEAST:
                print(f"{op_class} = {number(powers, f'MADE: {len(powers)} operators')}")


if __name__ == "__main__":
    main()
