"""Large decoders on a phone's NPU: tokens a second and time to first token, against published measurements.

    python -m benchmarks.llm [TABLE]        (aihub_llm.csv; without it no measured columns)

Each decoder is made from its published configuration, without weights, and placed twice: for one prompt chunk of 128
tokens and for one token, both against a context of 4096 whose keys and values stay on their unit, as the measured
runs have it. Weights take 4 bits and activations 16, as in the measured models.
"""

import argparse
import csv
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from partita.devices import load_soc
from partita.graph.plan import Location
from partita.partitioner import Wishes, partition
from partita.passes.find_matches import find_matches
from partita.reports.residency import residencies_of
from partita.studies.validation.decoders import PAST, Decoder, decoder_graph, decoders
from partita.units import BYTES_PER_GB, US_PER_MS, US_PER_S

PRESETS = {"Snapdragon 8 Elite QRD": "sd8elite-qnn", "Samsung Galaxy S24": "sd8gen3-qnn"}


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
    wishes = Wishes(allow=(Location("npu", "w4a16"),), states=(PAST,))
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
            if row["precision"] == "w4a16" and row["device"] in PRESETS and row["model"] in decoders():
                key = row["model"], row["device"]
                found[key] = float(row["tokens_per_second"]), float(row["ttft_ms_min"])
    return found


def rows(table: Path | None) -> Iterator[tuple[str, ...]]:
    measured = measured_rows(table) if table is not None else {}
    wanted = list(measured) or [(model, "Snapdragon 8 Elite QRD") for model in decoders()]
    errors: list[float] = []
    for model, device in wanted:
        sizes, preset = decoders()[model], PRESETS[device]
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path, help="aihub_llm.csv, for what was measured")
    table = parser.parse_args().table
    heads = ("model", "Soc", "10^9 weights read", "NPU, GB", "tokens/s", "measured", "ratio", "prompt, ms", "measured",
             "ratio", "on the NPU", "placed in, s")  # fmt: skip
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows(table):
        print(f"| {' | '.join(row)} |" if len(row) > 1 else f"\n{row[0]}", flush=True)


if __name__ == "__main__":
    main()
