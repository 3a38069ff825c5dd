"""The models of a table: their files in a folder, read once, and the kernels that a unit runs for them."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import onnx

from partita.devices import Soc
from partita.devices.load import load_soc
from partita.errors import ModelError
from partita.graph.ir import Graph, Node
from partita.graph.match import Match, fused_node
from partita.graph.onnx_import import from_proto, read_onnx
from partita.graph.plan import Cost
from partita.graph.work import work_of
from partita.partitioner.baselines.alone import alone
from partita.partitioner.candidates import formulate
from partita.partitioner.problem import evaluate
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare

MODELS_AT_ONCE = 8
UNITS_AT_ONCE = 32
"""Of all chips together: a table has a model's rows of one runtime after those of another."""
USUAL_SIDE = 224
SAME_WORK = 0.03
FLOP_PER_MAC = 2


@dataclass(frozen=True, slots=True, eq=False)
class Kernels:
    """What one unit runs for a whole model, as a plan's baseline "UNIT alone" has it."""

    graph: Graph
    nodes: tuple[Node, ...]
    """One for each kernel on the unit itself, fused ones as a single operator."""
    elsewhere: tuple[Cost, ...]
    """Kernels that the unit refuses and the host runs."""
    fixed_us: float
    """Calls, transfers and the runtime's constant."""


def model_path(folder: Path, name: str, first: str = "") -> Path | None:
    """NAME.onnx in the folder or in one directly below it, `first` in that of this name; None if there is none."""
    if not name or "/" in name or "\\" in name:
        return None
    own = folder / first / f"{name}.onnx"
    for path in (own, folder / f"{name}.onnx", *sorted(folder.glob(f"*/{name}.onnx"))):
        if path.is_file():
            return path
    return None


@lru_cache(maxsize=MODELS_AT_ONCE)
def graph_of(path: Path, flops: float | None = None, side: int | None = None) -> tuple[Graph, tuple[Match, ...]]:
    """The model, ready to be placed, with what can be fused in it; ModelError if it cannot be read.

    If its work is not the `flops` of the table, but is so on images of 224 x 224, it is taken at that size: tables
    name the network, and its file may be exported at another resolution. With a `side` it is taken at that.
    """
    graph = prepare(read_onnx(path, {}))
    if side is not None and graph.value(graph.inputs[0]).dims[-1] != side:
        graph = _resized(path, side) or graph
    if flops is not None and not _does(graph, flops):
        smaller = _resized(path)
        if smaller is not None and _does(smaller, flops):
            graph = smaller
    return graph, find_matches(graph)


def _does(graph: Graph, flops: float) -> bool:
    macs = sum(work_of(graph, node).macs for node in graph.nodes)
    return abs(FLOP_PER_MAC * macs / max(flops, 1.0) - 1) <= SAME_WORK


def _resized(path: Path, side: int = USUAL_SIDE) -> Graph | None:
    """The model on square images of that side; None if it takes none or cannot run on them."""
    model = onnx.load(path, load_external_data=False)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    if len(dims) != 4:
        return None
    dims[2].dim_value = dims[3].dim_value = side
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    _pad_as_needed(model)
    try:
        return prepare(from_proto(model, {}, name=path.stem, where=str(path)))
    except ModelError:
        return None


def _pad_as_needed(model: onnx.ModelProto) -> None:
    """Paddings that were computed for another resolution become those that keep a strided image whole."""
    padded = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Pad"}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[0] in padded:
            node.input[0] = padded[node.input[0]]
            kept = [attribute for attribute in node.attribute if attribute.name not in ("pads", "auto_pad")]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("auto_pad", "SAME_UPPER")])


@lru_cache(maxsize=UNITS_AT_ONCE)
def kernels_of(path: Path, flops: float | None, preset: str, unit: str, side: int | None = None) -> Kernels:
    """The kernels of a model on one unit of a preset; ModelError if they cannot be told."""
    graph, matches = graph_of(path, flops, side)
    soc = load_soc(preset)
    plain = soc.model_copy(update={"units": tuple(each.model_copy(update={"law": None}) for each in soc.units)})
    return cover(graph, matches, plain, unit)  # which kernels there are, not what they cost: the roofline is quicker


def cover(graph: Graph, matches: tuple[Match, ...], soc: Soc, unit: str) -> Kernels:
    """The kernels by the costs and the rule with which a plan's baseline "UNIT alone" is made."""
    formulation = formulate(graph, soc, matches)
    problem = formulation.problem
    index = {each.name: u for u, each in enumerate(soc.units)}
    chosen = alone(problem, index[unit], index[soc.host])
    if chosen is None:
        raise ModelError(f"model {graph.name!r} cannot run on {unit} of {soc.name!r}")
    fixed_us = evaluate(problem, chosen).total_us - sum(formulation.costs[c].latency_us for c in chosen)
    nodes: list[Node] = []
    elsewhere: list[Cost] = []
    for c in chosen:
        match, candidate = formulation.matches[c], problem.candidates[c]
        if problem.unit_of_location[candidate.location] != index[unit]:
            elsewhere.append(formulation.costs[c])
        elif match is not None:
            nodes.append(fused_node(graph, match))
        else:
            nodes.append(graph.nodes[candidate.operators[0]])
    return Kernels(graph, tuple(nodes), tuple(elsewhere), fixed_us)
