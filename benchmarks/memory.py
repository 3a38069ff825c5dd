"""Compares the memory that our kernels and onnxruntime need for the same models, each in a process of its own.

    python -m benchmarks.memory MODEL.onnx... [--size batch=1] [--runs 3] [--json FILE]

Weights lie in a file beside the model, as both engines can map it. "peak" is the most that was resident from the start
of the process on, libraries included; "after" is what stays between runs, and "file" the part of that which is pages of
files, which the system may drop whenever it likes. Ratios are of what comes on top of the engine's own start, and of
all. Linux only (/proc).
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.engine_inputs import load_with_sizes, machine, write_for_engines
from benchmarks.engines import Engine

MIB = 1 << 20
OURS, BASE = "partita", "onnxruntime"


def peak_of(engine: str, path: Path, runs: int) -> dict[str, float]:
    """MiB: the child after its start, then at its highest and in the end."""
    with Engine(engine, 1) as child:
        begin = child.ask(peak=1)["now"]
        child.ask(load=str(path))
        child.ask(run=runs)
        end = child.ask(peak=1)
    return {"start": begin / MIB, "peak": end["bytes"] / MIB, "after": end["now"] / MIB, "file": end["file"] / MIB}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--size", action="append", default=[], help="an open dimension, as batch=1")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the numbers there too")
    arguments = parser.parse_args()
    facts, found = machine(), {}
    print(", ".join(f"{key} {value}" for key, value in facts.items()) + "\n")
    print("| model | weights MiB | ours: peak, after, file MiB | onnxruntime: peak, after, file MiB | peak ratio |")
    print("|---|---|---|---|---|")
    for model in arguments.models:
        with tempfile.TemporaryDirectory() as folder:
            graph = load_with_sizes(model, arguments.size)
            weights = sum(array.nbytes for array in graph.constants.values()) / MIB
            path = write_for_engines(graph, Path(folder), model.name.split(".")[0])
            del graph
            row = {engine: peak_of(engine, path, arguments.runs) for engine in (OURS, BASE)}
        found[path.stem] = {"weights": weights, **row}
        cells = [", ".join(f"{row[engine][key]:.0f}" for key in ("peak", "after", "file")) for engine in (OURS, BASE)]
        ratio = row[OURS]["peak"] / row[BASE]["peak"]
        print(f"| {path.stem} | {weights:.0f} | {cells[0]} | {cells[1]} | {ratio:.2f} |", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "mib": found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
