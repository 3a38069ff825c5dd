"""Large decoders through AI Hub's runtimes on Snapdragon phones (quic/ai-hub-models, BSD-3-Clause).

A row has tokens a second and the time to the first token. The first is one token at the end of a full context, the
second one chunk of a prompt, as the measured runtimes keep a context of fixed length. Graphs are made from published
sizes (`decoders.toml`), with weights of 4 bits and activations of 16, whole on the NPU, keys and values kept there.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from partita.devices import load_soc
from partita.graph.plan import Location
from partita.passes.find_matches import find_matches
from partita.studies.validation.accelerated import placed, total_us
from partita.studies.validation.decoders import PAST, Decoder, decoder_graph, decoders
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where
from partita.studies.validation.tables.aihub import settings
from partita.units import US_PER_S, ms

COLUMNS = frozenset(
    ("model", "precision", "device", "runtime", "context_length", "tokens_per_second", "ttft_ms_min", "ttft_ms_max")
)
PRECISION = "w4a16"
AT = Location("npu", PRECISION)


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Two predictions of a row: tokens a second, and the time to the first token."""
    for line, record in records:
        progress(record["model"])
        yield from _rows(record, where(records, line))


def _rows(record: Record, at: str) -> Iterator[Row]:
    name = " ".join(record[column] for column in ("model", "precision", "device", "runtime"))
    sizes, preset = decoders().get(record["model"]), settings()["presets"].get(record["device"])
    if preset is None:
        yield Unpredicted(name, f"no preset of {record['device']}")
    elif record["precision"] != PRECISION:
        yield Unpredicted(name, f"no prediction of {record['precision']} for decoders")
    elif sizes is None:
        yield Unpredicted(name, "the sizes of its decoder are not known")
    else:
        token_us, prompt_us = run_us(sizes, preset, 1), run_us(sizes, preset, sizes.chunk)
        spread = _spread(preset)
        rate = US_PER_S / token_us
        yield _prediction(
            record, f"{name}, one token", "tokens/s", number(record, "tokens_per_second", at), rate, spread
        )
        told_ms = number(record, "ttft_ms_min", at)
        yield _prediction(record, f"{name}, prompt", "ms", told_ms, ms(prompt_us), spread)


def _prediction(
    record: Record, name: str, measure: str, measured: float, predicted: float, spread: float
) -> Prediction:
    return Prediction(
        level="model",
        unit="NPU",
        runtime=f"{record['runtime']}, {name.rpartition(', ')[2]}",
        device=record["device"],
        precision=record["precision"],
        op_class="",
        name=name,
        measured=measured,
        predicted=predicted,
        low=predicted / spread,
        high=predicted * spread,
        measure=measure,
        evidence="fitted",
    )


def _spread(preset: str) -> float:
    unit = load_soc(preset).unit_named(AT.unit)
    return (unit.spread if unit.npu_law is None else unit.npu_law.dtypes[PRECISION].spread).value


def run_us(sizes: Decoder, preset: str, tokens: int) -> float:
    """Time of one run of so many tokens that ends the context; all layers cost the same."""
    without, layer = _parts_us(sizes, preset, tokens)
    return without + sizes.layers * layer


@cache
def _parts_us(sizes: Decoder, preset: str, tokens: int) -> tuple[float, float]:
    """What is done once, and each layer: the difference of a decoder of two layers and one of a single layer."""
    soc = load_soc(preset)
    times_us = []
    for layers in (1, 2):
        graph = decoder_graph(replace(sizes, layers=layers), tokens, sizes.context - tokens)
        times_us.append(total_us(placed(graph, find_matches(graph), soc, AT, states=(PAST,)), soc))
    one_us, two_us = times_us
    return 2 * one_us - two_us, two_us - one_us


TABLE = Table("aihub_llm", COLUMNS, read, "large decoders through AI Hub's runtimes on Snapdragon phones")
