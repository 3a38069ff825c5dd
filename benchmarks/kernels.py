"""Times our kernels, onnxruntime and onnx's ReferenceEvaluator on the same models, side by side, and prints ratios.

    python -m benchmarks.kernels MODEL.onnx... [--size batch=1 --size seq=128] [--threads 1 2] [--operators] [--json F]

Each engine runs in a process of its own, all in turns, and what counts is the fastest of the runs: other work on the
machine makes single times meaningless, ratios within one call of this program much less so. Before each turn there is
a pause, because threads of onnxruntime look for work for a while after a run, on the core that the next engine wants.
Missing weights are made up. "partita" fuses what has a fused kernel, "partita unfused" runs operator by operator.
ReferenceEvaluator is run once, because it takes seconds. With `--clock cpu` what counts is the time on a processor, for
one thread the better measure where others keep interrupting it. Times of single operators in onnxruntime include its
change of layout at both ends.
"""

import argparse
import json
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmarks.engine_inputs import load_with_sizes, machine, write_for_engines
from benchmarks.engines import ENGINES, Engine
from partita.graph.ir import Graph, Node
from partita.units import MS_PER_S

BASE = "onnxruntime"
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Row:
    """The fastest run of each engine."""

    what: str
    threads: int
    ms_of: dict[str, float]

    def text(self, engines: list[str]) -> str:
        base = self.ms_of.get(BASE)
        cells = [f"{self.ms_of[e]:.3f}" if e in self.ms_of else "-" for e in engines]
        ratios = [f"{self.ms_of[e] / base:.2f}" if base and e in self.ms_of else "-" for e in engines if e != BASE]
        return f"| {self.what} | {self.threads} | {' | '.join(cells)} | {' | '.join(ratios)} |"


def fastest(path: Path, engines: list[Engine], arguments: argparse.Namespace, what: str, threads: int) -> Row:
    """All engines in turns; the reference's first run counts, for it is never the faster for being warm."""
    seconds: dict[str, float] = {}
    for engine in engines:
        engine.ask(load=str(path))
    for turn in range(arguments.runs):
        for engine in engines:
            is_slow = engine.name == "reference"
            if not is_slow or turn == 0:
                time.sleep(PAUSE_S)
                taken = engine.ask(run=1 if is_slow else arguments.in_a_row)[arguments.clock]
                seconds[engine.name] = min(taken, seconds.get(engine.name, taken))
    return Row(what, threads, {name: s * MS_PER_S for name, s in seconds.items()})


def single_operators(graph: Graph) -> list[tuple[str, int, Graph]]:
    """Each distinct operator of the model as a graph of its own: how it reads, how often it occurs."""
    found: dict[str, tuple[int, Graph]] = {}
    for node in graph.nodes:
        if not graph.activations(node) or node.regions:
            continue
        label = describe(graph, node)
        count, alone = found.get(label, (0, None))
        found[label] = (count + 1, alone or alone_graph(graph, node))
    return [(label, count, alone) for label, (count, alone) in found.items()]


def describe(graph: Graph, node: Node) -> str:
    inputs = ", ".join(str(graph.values[name]) for name in node.present_inputs)
    attributes = " ".join(f"{key}={value}" for key, value in sorted(node.attributes.items()))
    return f"{node.op} {inputs} {attributes}".strip()


def alone_graph(graph: Graph, node: Node) -> Graph:
    names = {*node.present_inputs, *node.present_outputs}
    return replace(
        graph,
        name=node.op,
        nodes=(node,),
        inputs=graph.activations(node),
        outputs=node.present_outputs,
        values={name: value for name, value in graph.values.items() if name in names},
        constants={name: array for name, array in graph.constants.items() if name in names},
        source=None,
    )


def measure(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    rows = []
    for path in arguments.models:
        graph = load_with_sizes(path, arguments.size)
        name = path.name.split(".")[0]
        tasks = [(name, write_for_engines(graph, folder, name))]
        if arguments.operators:
            for i, (label, count, alone) in enumerate(single_operators(graph)):
                tasks.append((f"{name}: {count} x {label}", write_for_engines(alone, folder, f"{name}-{i}")))
        for threads in arguments.threads:
            with ExitStack() as stack:
                engines = [stack.enter_context(Engine(engine, threads)) for engine in arguments.engines]
                for label, file in tasks:
                    rows.append(fastest(file, engines, arguments, label, threads))
                    print(rows[-1].text(arguments.engines), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--size", action="append", default=[], help="an open dimension, as batch=1")
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--runs", type=int, default=12, help="turns of each engine")
    parser.add_argument("--in-a-row", type=int, default=5, help="runs of an engine in each of its turns")
    parser.add_argument(
        "--clock", choices=("wall", "cpu"), default="wall", help="cpu: time of the process on a processor"
    )
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["partita", "partita unfused", BASE])
    parser.add_argument("--operators", action="store_true", help="also each distinct operator alone")
    parser.add_argument("--json", type=Path, help="write the rows and the machine there too")
    arguments = parser.parse_args()
    facts = machine()
    print(", ".join(f"{key} {value}" for key, value in facts.items()) + "\n")
    others = [engine for engine in arguments.engines if engine != BASE]
    headings = [f"{engine} ms" for engine in arguments.engines] + [f"{engine} / {BASE}" for engine in others]
    print(f"| model or operator | threads | {' | '.join(headings)} |\n|{'---|' * (2 + len(headings))}")
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(arguments, Path(folder))
    if arguments.json:
        document = {"machine": facts, "rows": [asdict(row) for row in rows]}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
