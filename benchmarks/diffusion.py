"""The denoising network of Stable Diffusion 1.5 on phones' NPUs, against published measurements.

    python -m benchmarks.diffusion [TABLE]        (aihub_perf.csv; without it no measured column)

The network is made without weights from its published configuration: four levels of 320, 640, 1280 and 1280 channels,
two residual blocks in each, attention over image and prompt in the first three, latents of 64 x 64 and a prompt of 77
tokens. Weights take 8 bits and activations 16, as in the measured model.
Source: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022; `unet/config.json`
of the published weights.
"""

import argparse
import csv
import resource
import time
from pathlib import Path

import numpy as np

from partita.devices import load_soc
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import Location
from partita.partitioner import Wishes, partition
from partita.passes.find_matches import find_matches
from partita.passes.pipeline import prepare
from partita.reports.residency import residencies_of
from partita.units import BYTES_PER_GB, US_PER_MS

CHANNELS = (320, 640, 1280, 1280)
WITH_ATTENTION = (True, True, True, False)
SIDE, TOKENS, PROMPT_WIDTH, HEADS, GROUPS, STEP_WIDTH = 64, 77, 768, 8, 32, 1280
CHIPS = {"qualcomm-snapdragon-8gen3": "sd8gen3-qnn", "qualcomm-snapdragon-8gen2": "sd8gen2-qnn"}
KB_PER_GB = 1e6


class Unet:
    """Builds the network block by block; `x` has (1, channels, side, side)."""

    def __init__(self) -> None:
        self.b = GraphBuilder("unet")
        self.weights = 0
        self.step = self.b.input("step", "float32", (1, STEP_WIDTH))
        self.prompt = self.b.input("prompt", "float32", (1, TOKENS, PROMPT_WIDTH))

    def graph(self) -> Graph:
        """All of it: down, the middle, up with what the way down left, and the last convolution."""
        x = self.conv(self.b.input("latents", "float32", (1, 4, SIDE, SIDE)), 4, CHANNELS[0])
        left, width, side = [(x, CHANNELS[0])], CHANNELS[0], SIDE
        for level, channels in enumerate(CHANNELS):
            for _ in range(2):
                x, width = self.block(x, width, channels, side, attends=WITH_ATTENTION[level]), channels
                left.append((x, width))
            if level < len(CHANNELS) - 1:
                x, side = self.conv(x, width, width, stride=2), side // 2
                left.append((x, width))
        x = self.block(x, width, width, side, attends=True)
        x = self.residual(x, width, width, side)
        for level in reversed(range(len(CHANNELS))):
            for _ in range(3):
                skip, more = left.pop()
                x = self.b.node("Concat", x, skip, axis=1)
                x = self.block(x, width + more, CHANNELS[level], side, attends=WITH_ATTENTION[level])
                width = CHANNELS[level]
            if level:
                side *= 2
                sizes = self.numbers(1, width, side, side)
                x = self.conv(self.b.node("Resize", x, "", "", sizes, mode="nearest"), width, width)
        x = self.silu(self.norm(x, width, side))
        self.b.output(self.conv(x, width, 4))
        return prepare(self.b.build())

    def block(self, x: str, width: int, channels: int, side: int, *, attends: bool) -> str:
        x = self.residual(x, width, channels, side)
        return self.transformer(x, channels, side) if attends else x

    def residual(self, x: str, width: int, channels: int, side: int) -> str:
        made = self.conv(self.silu(self.norm(x, width, side)), width, channels)
        step = self.dense(self.silu(self.step), STEP_WIDTH, channels)
        made = self.b.node("Add", made, self.shaped(step, 1, channels, 1, 1))
        made = self.conv(self.silu(self.norm(made, channels, side)), channels, channels)
        kept = x if width == channels else self.conv(x, width, channels, size=1)
        return self.b.node("Add", kept, made)

    def transformer(self, x: str, width: int, side: int) -> str:
        tokens = side * side
        rows = self.conv(self.norm(x, width, side), width, width, size=1)
        rows = self.shaped(self.b.node("Transpose", rows, perm=(0, 2, 3, 1)), 1, tokens, width)
        rows = self.attention(rows, rows, (width, width), (tokens, tokens))
        rows = self.attention(rows, self.prompt, (width, PROMPT_WIDTH), (tokens, TOKENS))
        rows = self.feed_forward(rows, width)
        image = self.b.node("Transpose", self.shaped(rows, 1, side, side, width), perm=(0, 3, 1, 2))
        return self.b.node("Add", x, self.conv(image, width, width, size=1))

    def attention(self, rows: str, context: str, widths: tuple[int, int], tokens: tuple[int, int]) -> str:
        b, (width, context_width) = self.b, widths
        normed = self.layer_norm(rows, width)
        source = normed if context == rows else context
        queries = self.heads(self.dense(normed, width, width, bias=False), width, tokens[0])
        keys = self.heads(self.dense(source, context_width, width, bias=False), width, tokens[1])
        values = self.heads(self.dense(source, context_width, width, bias=False), width, tokens[1])
        scores = b.node("MatMul", queries, b.node("Transpose", keys, perm=(0, 1, 3, 2)))
        scaled = b.node("Mul", scores, b.constant(self.name("scale"), np.float32((width / HEADS) ** -0.5)))
        found = b.node("MatMul", b.node("Softmax", scaled, axis=-1), values)
        joined = self.shaped(b.node("Transpose", found, perm=(0, 2, 1, 3)), 1, tokens[0], width)
        return b.node("Add", rows, self.dense(joined, width, width))

    def feed_forward(self, rows: str, width: int) -> str:
        b, inner = self.b, 4 * width
        halves = b.node("Split", self.dense(self.layer_norm(rows, width), width, 2 * inner), axis=2, num_outputs=2,
                        outputs=2, version=18)  # fmt: skip
        gate = b.node("Gelu", halves[1], version=20)
        return b.node("Add", rows, self.dense(b.node("Mul", halves[0], gate), inner, width))

    def heads(self, rows: str, width: int, tokens: int) -> str:
        return self.b.node("Transpose", self.shaped(rows, 1, tokens, HEADS, width // HEADS), perm=(0, 2, 1, 3))

    def norm(self, x: str, width: int, side: int) -> str:
        """Group normalisation as exporters write it."""
        ones, zeros = (self.b.constant(self.name(n), np.full(GROUPS, v, np.float32)) for n, v in (("o", 1), ("z", 0)))
        grouped = self.b.node("InstanceNormalization", self.shaped(x, 1, GROUPS, -1), ones, zeros)
        scaled = self.b.node("Mul", self.shaped(grouped, 1, width, side, side), self.weight(width, 1, 1))
        return self.b.node("Add", scaled, self.weight(width, 1, 1))

    def layer_norm(self, rows: str, width: int) -> str:
        return self.b.node("LayerNormalization", rows, self.weight(width), self.weight(width), axis=-1)

    def silu(self, x: str) -> str:
        return self.b.node("Mul", x, self.b.node("Sigmoid", x))

    def conv(self, x: str, width: int, channels: int, *, size: int = 3, stride: int = 1) -> str:
        return self.b.node("Conv", x, self.weight(channels, width, size, size), self.weight(channels),
                           kernel_shape=(size, size), pads=(size // 2,) * 4, strides=(stride, stride))  # fmt: skip

    def dense(self, rows: str, width: int, columns: int, *, bias: bool = True) -> str:
        made = self.b.node("MatMul", rows, self.weight(width, columns))
        return self.b.node("Add", made, self.weight(columns)) if bias else made

    def shaped(self, x: str, *dims: int) -> str:
        return self.b.node("Reshape", x, self.numbers(*dims))

    def numbers(self, *values: int) -> str:
        return self.b.constant(self.name("shape"), np.array(values, np.int64))

    def weight(self, *dims: int) -> str:
        return self.b.missing(self.name("w"), "float32", dims)

    def name(self, role: str) -> str:
        self.weights += 1
        return f"{role}{self.weights}"


def measured_text(table: Path, chipset: str) -> str:
    """The range over releases of the network with weights of 8 bits and activations of 16."""
    with table.open(newline="") as file:
        found = [
            float(row["inference_time_us"]) / US_PER_MS
            for row in csv.DictReader(file)
            if row["chipset"] == chipset and row["model"].startswith("stable_diffusion")
            and row["component"].lower().startswith("unet") and row["precision"] == "w8a16"
        ]  # fmt: skip
    return f"{min(found):.0f} to {max(found):.0f} ({len(found)} rows)" if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path, help="aihub_perf.csv, for what was measured")
    table = parser.parse_args().table
    start = time.perf_counter()
    graph = Unet().graph()
    print(f"{len(graph.nodes)} operators, made and prepared in {time.perf_counter() - start:.1f} s\n")
    heads = ("Soc", "ms", "measured", "segments", "on the NPU", "NPU, GB", "gap", "placed in, s")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for chipset, preset in CHIPS.items():
        start = time.perf_counter()
        plan = partition(graph, load_soc(preset), find_matches(graph), Wishes(allow=(Location("npu", "w8a16"),)))
        took_s = time.perf_counter() - start
        told = measured_text(table, chipset) if table is not None else ""
        predicted_ms = plan.latency_us / US_PER_MS
        share = sum(o.cost.latency_us for o in plan.operators if o.unit == "npu") / plan.latency_us
        memory = residencies_of(plan)["npu"].peak_bytes / BYTES_PER_GB
        print(
            f"| {preset} | {predicted_ms:.0f} | {told} | {len(plan.segments)} "
            f"| {share:.0%} | {memory:.2f} | {plan.proof.gap:.2%} | {took_s:.1f} |",
            flush=True,
        )
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KB_PER_GB
    print(f"\npeak memory of this process: {peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
