"""Large decoders on a phone's NPU: tokens a second and time to first token, against published measurements.

    python benchmarks/llm.py [TABLE]        (aihub_llm.csv; without it no measured columns)

Each decoder is made from its published configuration, without weights, and placed twice: for one prompt chunk of 128
tokens and for one token, both against a context of 4096 whose keys and values stay on their unit, as the measured
runs have it. Weights take 4 bits and activations 16, as in the measured models.
"""

import csv
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
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
from partita.units import BYTES_PER_GB, US_PER_MS, US_PER_S

CONTEXT = 4096
CHUNK = 128
"""Tokens of a prompt that the measured runtime takes at once."""
PRESETS = {"Snapdragon 8 Elite QRD": "sd8elite-qnn", "Samsung Galaxy S24": "sd8gen3-qnn"}


@dataclass(frozen=True, slots=True)
class Decoder:
    """The sizes of a decoder of the Llama family. Source: `config.json` of the model's published weights."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    vocabulary: int
    context: int = CONTEXT
    chunk: int = CHUNK
    """An estimate where it differs: the measured times to first token of a short and a long prompt are the same."""

    @property
    def parameters(self) -> int:
        """Of what one token reads: all but the table of embeddings."""
        attention = self.width * self.head * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.width * self.inner) + self.width * self.vocabulary


DECODERS = {
    "llama_v3_2_1b_instruct": Decoder(16, 2048, 32, 8, 64, 8192, 128256),
    "qwen2_5_1_5b_instruct": Decoder(28, 1536, 12, 2, 128, 8960, 151936),
    "llama_v3_2_3b_instruct": Decoder(28, 3072, 24, 8, 128, 8192, 128256),
    "phi_3_5_mini_instruct": Decoder(32, 3072, 32, 32, 96, 8192, 32064),
    "llama_v2_7b_chat": Decoder(32, 4096, 32, 32, 128, 11008, 32000, context=1024, chunk=1024),
    "mistral_7b_instruct_v0_3": Decoder(32, 4096, 32, 8, 128, 14336, 32768),
    "falcon_v3_7b_instruct": Decoder(28, 3072, 12, 4, 256, 23040, 131072),
    "qwen2_7b_instruct": Decoder(28, 3584, 28, 4, 128, 18944, 152064),
    "llama_v3_1_8b_instruct": Decoder(32, 4096, 32, 8, 128, 14336, 128256),
    "ibm_granite_v3_1_8b_instruct": Decoder(40, 4096, 32, 8, 128, 12800, 49155),
}


def decoder_graph(sizes: Decoder, tokens: int, past: int) -> Graph:
    """One run over `tokens` new tokens behind `past` known ones, each layer's keys and values as inputs and outputs."""
    b = GraphBuilder("decoder")
    ids = b.input("ids", "int64", (1, tokens))
    turns = [b.input(name, "float32", (1, 1, tokens, sizes.head)) for name in ("cos", "sin")]
    mask = b.input("mask", "float32", (1, sizes.heads, tokens, past + tokens))  # the measured ones take heads apart
    x = b.node("Gather", b.missing("embeddings", "float32", (sizes.vocabulary, sizes.width)), ids)
    kept: list[str] = []
    for layer in range(sizes.layers):
        x = _Layer(b, sizes, layer, tokens, past).of(x, turns, mask, kept)
    x = _norm(b, x, "last", sizes.width)
    logits = b.node("MatMul", x, b.missing("head", "float32", (sizes.width, sizes.vocabulary)))
    b.output(logits, *kept)
    return prepare(b.build())


class _Layer:
    """Attention and a gated pair of products, each behind a norm and added to what came in."""

    def __init__(self, b: GraphBuilder, sizes: Decoder, layer: int, tokens: int, past: int) -> None:
        self.b, self.sizes, self.name, self.tokens, self.past = b, sizes, f"{layer}", tokens, past

    def of(self, x: str, turns: list[str], mask: str, kept: list[str]) -> str:
        b, sizes = self.b, self.sizes
        normed = _norm(b, x, f"{self.name}.before", sizes.width)
        queries = self._turned(self._heads(normed, "q", sizes.heads), turns)
        keys = self._appended(self._turned(self._heads(normed, "k", sizes.kv_heads), turns), "k", kept)
        values = self._appended(self._heads(normed, "v", sizes.kv_heads), "v", kept)
        group = sizes.heads // sizes.kv_heads
        rows = self._shape(queries, (1, sizes.kv_heads, group * self.tokens, sizes.head), "rows")
        scores = b.node("MatMul", rows, b.node("Transpose", keys, perm=(0, 1, 3, 2)))
        by_head = self._shape(scores, (1, sizes.heads, self.tokens, self.past + self.tokens), "by_head")
        shares = b.node("Softmax", b.node("Add", by_head, mask), axis=-1)
        grouped = self._shape(shares, (1, sizes.kv_heads, group * self.tokens, self.past + self.tokens), "grouped")
        found = self._shape(b.node("MatMul", grouped, values), (1, sizes.heads, self.tokens, sizes.head), "found")
        joined = self._shape(
            b.node("Transpose", found, perm=(0, 2, 1, 3)), (1, self.tokens, sizes.heads * sizes.head), "joined"
        )
        x = b.node("Add", x, self._product(joined, "o", sizes.heads * sizes.head, sizes.width))
        normed = _norm(b, x, f"{self.name}.after", sizes.width)
        gate = self._product(normed, "gate", sizes.width, sizes.inner)
        gated = b.node("Mul", gate, b.node("Sigmoid", gate))
        inner = b.node("Mul", gated, self._product(normed, "up", sizes.width, sizes.inner))
        return b.node("Add", x, self._product(inner, "down", sizes.inner, sizes.width))

    def _product(self, x: str, role: str, width: int, columns: int) -> str:
        return self.b.node("MatMul", x, self.b.missing(f"{self.name}.{role}", "float32", (width, columns)))

    def _heads(self, x: str, role: str, heads: int) -> str:
        made = self._product(x, role, self.sizes.width, heads * self.sizes.head)
        split = self._shape(made, (1, self.tokens, heads, self.sizes.head), f"{role}.split")
        return self.b.node("Transpose", split, perm=(0, 2, 1, 3))

    def _shape(self, x: str, dims: tuple[int, ...], role: str) -> str:
        return self.b.node("Reshape", x, self.b.constant(f"{self.name}.{role}.shape", np.array(dims, np.int64)))

    def _turned(self, x: str, turns: list[str]) -> str:
        """Rotary positions: x * cos + (-second half, first half) * sin."""
        b = self.b
        halves = b.node("Split", x, axis=3, num_outputs=2, outputs=2, version=18)
        swapped = b.node("Concat", b.node("Neg", halves[1]), halves[0], axis=3)
        return b.node("Add", b.node("Mul", x, turns[0]), b.node("Mul", swapped, turns[1]))

    def _appended(self, x: str, role: str, kept: list[str]) -> str:
        sizes = self.sizes
        past = self.b.input(f"past.{self.name}.{role}", "float32", (1, sizes.kv_heads, self.past, sizes.head))
        kept.append(self.b.node("Concat", past, x, axis=2))
        return kept[-1]


def _norm(b: GraphBuilder, x: str, name: str, width: int) -> str:
    scale = b.missing(f"{name}.scale", "float32", (width,))
    return b.node("RMSNormalization", x, scale, axis=-1, epsilon=1e-5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicted:
    """One run of a decoder on a Soc."""

    latency_ms: float
    npu_share: float
    memory_bytes: int
    place_s: float


def predicted(sizes: Decoder, preset: str, tokens: int) -> Predicted:
    """The best placement of one run of `tokens` tokens that ends the context."""
    soc = load_soc(preset)
    start = time.perf_counter()
    graph = decoder_graph(sizes, tokens, sizes.context - tokens)
    wishes = Wishes(allow=(Location("npu", "w4a16"),), states=("past.*",))
    plan = partition(graph, soc, find_matches(graph), wishes)
    took_s = time.perf_counter() - start
    on_npu_us = sum(o.cost.latency_us for o in plan.operators if o.unit == "npu")
    npu = residencies_of(plan).get("npu")
    return Predicted(
        latency_ms=plan.latency_us / US_PER_MS,
        npu_share=on_npu_us / plan.latency_us,
        memory_bytes=npu.peak_bytes if npu is not None else 0,
        place_s=took_s,
    )


def measured_rows(table: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """(model, device) -> (tokens a second, ms of a prompt of one chunk), the newest release of each."""
    found = {}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["precision"] == "w4a16" and row["device"] in PRESETS and row["model"] in DECODERS:
                key = row["model"], row["device"]
                found[key] = float(row["tokens_per_second"]), float(row["ttft_ms_min"])
    return found


def rows(table: Path | None) -> Iterator[tuple[str, ...]]:
    measured = measured_rows(table) if table is not None else {}
    wanted = list(measured) or [(model, "Snapdragon 8 Elite QRD") for model in DECODERS]
    errors: list[float] = []
    for model, device in wanted:
        sizes, preset = DECODERS[model], PRESETS[device]
        token, prompt = predicted(sizes, preset, 1), predicted(sizes, preset, sizes.chunk)
        rate = US_PER_S / US_PER_MS / token.latency_ms
        told_rate, told_prompt = measured.get((model, device), (float("nan"), float("nan")))
        errors.append(abs(rate / told_rate - 1))
        yield (
            model, preset, f"{sizes.parameters / 1e9:.2f}", f"{token.memory_bytes / BYTES_PER_GB:.2f}",
            f"{rate:.1f}", f"{told_rate:.1f}", f"{rate / told_rate:.2f}",
            f"{prompt.latency_ms:.0f}", f"{told_prompt:.0f}", f"{prompt.latency_ms / told_prompt:.2f}",
            f"{token.npu_share:.0%}", f"{token.place_s:.1f}, {prompt.place_s:.1f}",
        )  # fmt: skip
    yield (f"median error of tokens/s {statistics.median(errors):.0%}",)


def main() -> None:
    heads = ("model", "Soc", "10^9 weights read", "NPU, GB", "tokens/s", "measured", "ratio", "prompt, ms", "measured",
             "ratio", "on the NPU", "placed in, s")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows(Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(f"| {' | '.join(row)} |" if len(row) > 1 else f"\n{row[0]}", flush=True)


if __name__ == "__main__":
    main()
