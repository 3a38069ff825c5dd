"""`python -m partita.studies.fitting.blocks TABLE`: the law of one core of four phones from nn-Meter's blocks.

Writes a file for each phone into `devices/fits` and prints its errors. Left out together are all blocks of one kind
with the same channels, whatever their size, expansion, stride or window.
"""

import argparse
import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from partita.devices.laws.law import FITS, FORMAT, SIZE_BYTES
from partita.devices.laws.parameters import shapes_of, unpack
from partita.devices.laws.thread_pool import KernelColumns, kernel_us
from partita.devices.laws.trees import Floats
from partita.errors import PartitaError, StudyError
from partita.studies.fitting.cpu import STRENGTH, start_of
from partita.studies.fitting.least_squares import Prior, fitted
from partita.studies.validation.blocks import Block, kernels, parse
from partita.studies.validation.table import Records, number, read_records, where
from partita.studies.validation.tables.nnmeter_blocks import CORE, DTYPE, NAME, PHONES, law_name
from partita.units import US_PER_MS

SOURCE = "microsoft/nn-Meter, branch dev/hybrid-transformer, block look-up tables; TensorFlow Lite"
TYPES, CORES = (CORE,), {CORE: 1}
ROWS_OF_TILE = 6
"""Blocks of 2x2, 4x4 and 5x5 pixels take the time of 6, 18 and 30 (XNNPACK's float kernels on Arm are 6x8)."""
FITTED = ("efficiency", "bandwidth", "dispatch", "element_rate", "slopes", "output_cost", "hard_swish", "unfold")
"""Parameters that one core can tell; the others stay where a fit begins."""
SCALE = 0.03
FOLDS = 5
TURNS, TURNS_AGAIN = 30, 6
PLENTIFUL, EVERY = "transds", 4
"""Two thirds of the table are blocks of this kind; the fit takes every fourth family of them."""
COVERED = (0.05, 0.95)
FEWEST = 40
"""Held-out blocks of a kind from which it gets an interval of its own."""
DIGITS = 4


@dataclass(frozen=True)
class Blocks:
    """Blocks with what a phone took, and their different kernels as columns."""

    blocks: Sequence[Block]
    latency_us: Floats

    @cached_property
    def _indexed(self) -> tuple[KernelColumns, NDArray[np.int64]]:
        index: dict[Any, int] = {}
        pairs = [(row, index.setdefault(s, len(index))) for row, b in enumerate(self.blocks) for s in kernels(b)]
        return KernelColumns(tuple(index), ROWS_OF_TILE), np.array(pairs, dtype=np.int64)

    def predicted_us(self, vector: Floats) -> Floats:
        columns, pairs = self._indexed
        times_us = kernel_us(columns, unpack(vector, TYPES), TYPES, CORES, CORES, SIZE_BYTES[DTYPE])
        total_us = np.zeros(len(self.blocks))
        np.add.at(total_us, pairs[:, 0], times_us[pairs[:, 1]])
        return total_us

    def part(self, rows: Sequence[int]) -> "Blocks":
        return Blocks([self.blocks[row] for row in rows], self.latency_us[list(rows)])


def gathered(records: Records, phone: str) -> Blocks:
    """The blocks that a fit takes, and their latencies on a phone."""
    blocks, latency_us = [], []
    for line, record in records:
        block = parse(record[NAME])
        if block.kind != PLENTIFUL or _digest(block) % EVERY == 0:
            blocks.append(block)
            latency_us.append(number(record, PHONES[phone], where(records, line)) * US_PER_MS)
    return Blocks(blocks, np.array(latency_us))


def _digest(block: Block) -> int:
    return zlib.crc32(block.family.encode())


def fit(data: Blocks, begin: Floats | None = None, turns: int = TURNS) -> Floats:
    """The law's whole vector of parameters; deterministic."""
    start = start_of(TYPES)
    strength = np.concatenate([np.full(int(np.prod(s)), STRENGTH[n]) for n, s in shapes_of(TYPES).items()])
    free = np.concatenate([np.full(int(np.prod(s)), n in FITTED) for n, s in shapes_of(TYPES).items()])
    measured = np.log(data.latency_us)

    def whole(x: Floats) -> Floats:
        vector = start.copy()
        vector[free] = x
        return vector

    def residuals(x: Floats) -> Floats:
        return (np.log(data.predicted_us(whole(x))) - measured) / SCALE

    first = None if begin is None else begin[free]
    return whole(fitted(residuals, Prior(start[free], 1 / strength[free]), first, turns))


def left_out(data: Blocks, everything: Floats) -> Floats:
    """What each block is predicted to take by a fit without its family; a fifth of the families at a time."""
    fold = np.array([_digest(block) // EVERY % FOLDS for block in data.blocks])
    result = np.zeros(len(fold))
    for number_of in np.unique(fold):
        held, others = np.flatnonzero(fold == number_of), np.flatnonzero(fold != number_of)
        vector = fit(data.part(others.tolist()), everything, TURNS_AGAIN)
        result[held] = data.part(held.tolist()).predicted_us(vector)
    return result


def law_of(data: Blocks) -> dict[str, Any]:
    """The content of a phone's law file; StudyError if no part of the blocks can be left out."""
    if len({_digest(block) // EVERY % FOLDS for block in data.blocks}) < 2:
        raise StudyError(
            f"{len(data.blocks)} blocks are of too few channels to leave a part of them out; give more rows"
        )
    vector = fit(data)
    vector = np.round(vector, DIGITS)
    outside, inside = left_out(data, vector), data.predicted_us(vector)
    errors = np.abs(outside / data.latency_us - 1)
    intervals, covered = intervals_of(data, outside)
    record = {
        "rows": len(errors),
        "mape": round(float(np.abs(inside / data.latency_us - 1).mean()), DIGITS),
        "cross_validated_mape": round(float(errors.mean()), DIGITS),
        "cross_validated_median": round(float(np.median(errors)), DIGITS),
        "cross_validated_within_10pct": round(float((errors <= 0.1).mean()), DIGITS),
        "cross_validated_coverage": round(covered, DIGITS),
    }
    part = {
        "parameters": {name: values.tolist() for name, values in unpack(vector, TYPES).items()},
        "interval": {"all": [0.6, 1.7]},
        "model_interval": intervals["all"],
        "block_interval": intervals,
        "fit": record,
    }
    families = sorted({block.family for block in data.blocks})
    return {
        "format": FORMAT, "law": "thread_pool", "types": list(TYPES), "whole": CORES, "cores": CORES,
        "rows_of_tile": ROWS_OF_TILE, "fit": {"source": SOURCE, "models": families}, "dtypes": {DTYPE: part},
    }  # fmt: skip


def intervals_of(data: Blocks, outside: Floats) -> tuple[dict[str, list[float]], float]:
    """Factors between which 90 % of the held-out blocks of a kind lie, and how many do by the other folds' factors."""
    ratio = data.latency_us / outside
    kinds = np.array([block.kind for block in data.blocks])
    fold = np.array([_digest(block) // EVERY % FOLDS for block in data.blocks])
    found = {"all": _quantiles(ratio)}
    inside = np.zeros(len(ratio), dtype=bool)
    for kind in dict.fromkeys(kinds.tolist()):
        members = kinds == kind
        if members.sum() >= FEWEST:
            found[kind] = _quantiles(ratio[members])
        for number_of in np.unique(fold):
            held = members & (fold == number_of)
            others = (members if members.sum() >= FEWEST else fold >= 0) & (fold != number_of)
            low, high = _quantiles(ratio[others])
            inside[held] = (ratio[held] >= low) & (ratio[held] <= high)
    return found, float(inside.mean())


def _quantiles(ratio: Floats) -> list[float]:
    """Around 1, for a prediction lies in its own interval."""
    low, high = np.quantile(ratio, COVERED)
    return [round(min(float(low), 1.0), DIGITS), round(max(float(high), 1.0), DIGITS)]


def say(phone: str, record: Mapping[str, float]) -> None:
    sys.stdout.write(
        f"{phone}: {record['rows']} blocks, MAPE {record['mape']:.1%} in sample, {record['cross_validated_mape']:.1%} "
        f"cross-validated by family ({record['cross_validated_within_10pct']:.0%} within 10 %), "
        f"{record['cross_validated_coverage']:.0%} in the interval\n"
    )
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m partita.studies.fitting.blocks", description=__doc__)
    parser.add_argument("table", help="nnmeter_block_lut.csv")
    given = parser.parse_args(arguments)
    records = read_records(given.table)
    for phone in PHONES:
        content = law_of(gathered(records, phone))
        (FITS / f"{law_name(phone)}.json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
        say(phone, content["dtypes"][DTYPE]["fit"])


if __name__ == "__main__":
    try:
        main()
    except PartitaError as error:
        sys.exit(f"error: {error}")
