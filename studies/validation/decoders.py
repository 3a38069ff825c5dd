"""Decoders of the Llama family as graphs without weights, from their published sizes."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.passes.pipeline import prepare

SIZES_FILE = Path(__file__).with_name("decoders.toml")
CONTEXT = 4096
CHUNK = 128
"""Tokens of a prompt that the measured runtime takes at once."""
PAST = "past.*"
"""Names of the inputs that hold former keys and values, and stay where they are."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """The sizes of one decoder. Source: `config.json` of the model's published weights."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head: int
    inner: int
    vocabulary: int
    context: int = CONTEXT
    chunk: int = CHUNK
    """Tokens of a prompt that are taken at once."""

    @property
    def parameters(self) -> int:
        """Of what one token reads: all but the table of embeddings."""
        attention = self.width * self.head * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.width * self.inner) + self.width * self.vocabulary


@cache
def decoders() -> dict[str, Decoder]:
    """Those whose sizes are known, by AI Hub's name."""
    table = tomllib.loads(SIZES_FILE.read_text(encoding="utf-8"))
    found: dict[str, Decoder] = {}
    for name, sizes in table.items():
        alike = sizes.pop("also", ())
        found |= dict.fromkeys((name, *alike), Decoder(**sizes))
    return found


def decoder_graph(sizes: Decoder, tokens: int, past: int) -> Graph:
    """One run over `tokens` new tokens behind `past` known ones, each layer's keys and values as inputs and outputs."""
    b = GraphBuilder("decoder")
    ids = b.input("ids", "int64", (1, tokens))
    turns = [b.input(name, "float32", (1, 1, tokens, sizes.head)) for name in ("cos", "sin")]
    mask = b.input("mask", "float32", (1, 1, tokens, past + tokens))
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
