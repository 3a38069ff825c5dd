"""Runs a model whose weights lie in an external file of 2 GB, and shows that they are mapped and never copied.

    python -m benchmarks.mapped_weights [--gib 2]

The model and its weights are made in a temporary folder and deleted. Anonymous memory is what a process copied or
computed; mapped file pages belong to the file and can be dropped by the system at any time.
"""

import argparse
import platform
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

import partita as pt
from partita.kernels.executor import run

WIDTH = 8192
BYTES_PER_LAYER = WIDTH * WIDTH * 4


def write_model(folder: Path, layers: int) -> Path:
    """A chain of `layers` products with square float32 matrices of 256 MiB each, Relu between them."""
    nodes, weights, x = [], [], "x"
    with (folder / "weights.bin").open("wb") as file:
        for i in range(layers):
            block = np.random.default_rng(i).standard_normal((WIDTH, WIDTH), np.float32) / np.float32(WIDTH**0.5)
            weight = TensorProto(name=f"w{i}", data_type=TensorProto.FLOAT, dims=(WIDTH, WIDTH))
            weight.data_location = TensorProto.EXTERNAL
            for key, value in (("location", "weights.bin"), ("offset", file.tell()), ("length", block.nbytes)):
                weight.external_data.add(key=key, value=str(value))
            file.write(block.tobytes())
            weights.append(weight)
            nodes.append(helper.make_node("MatMul", [x, f"w{i}"], [f"p{i}"], name=f"product{i}"))
            nodes.append(helper.make_node("Relu", [f"p{i}"], [f"y{i}"], name=f"relu{i}"))
            x = f"y{i}"
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, WIDTH))],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, (1, WIDTH))],
        weights,
    )
    path = folder / "large.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def memory_mib() -> dict[str, float]:
    """Resident memory of this process by kind, and its peak."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {key: int(lines[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile", "VmHWM")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=2.0)
    layers = round(parser.parse_args().gib * (1 << 30) / BYTES_PER_LAYER)
    print(f"Python {platform.python_version()}, numpy {np.__version__}, partita {pt.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        path = write_model(Path(folder), layers)
        size_mib = (path.parent / "weights.bin").stat().st_size / (1 << 20)
        before = memory_mib()
        graph = pt.load(path)
        loaded = memory_mib()
        began = time.perf_counter()
        result = run(graph, {"x": np.ones((1, WIDTH), np.float32)})
        took_s = time.perf_counter() - began
        after = memory_mib()
    print(f"weights {size_mib:.0f} MiB, output {next(iter(result.values())).shape}, one run {took_s:.2f} s")
    print("| | anonymous MiB | mapped file MiB | peak MiB |\n|---|---|---|---|")
    for name, memory in (("before", before), ("loaded", loaded), ("after the run", after)):
        print(f"| {name} | {memory['RssAnon']:.0f} | {memory['RssFile']:.0f} | {memory['VmHWM']:.0f} |")


if __name__ == "__main__":
    main()
