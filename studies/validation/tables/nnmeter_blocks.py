"""Blocks of hybrid networks on the CPUs of four phones (microsoft/nn-Meter, MIT), one row a block."""

from collections.abc import Iterator
from pathlib import Path

from partita.devices.laws.law import law_file, threads_us
from partita.errors import StudyError
from partita.studies.validation.blocks import Block, kernels, macs, parse
from partita.studies.validation.models import FLOP_PER_MAC
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where
from partita.units import US_PER_MS

NAME = "block_key"
PHONES = {"Pixel 1": "pixel1_ms", "Pixel 4": "pixel4_ms", "Pixel 6": "pixel6_ms", "Xiaomi 11": "xiaomi11_ms"}
"""Phone -> column of its latencies."""
DTYPE, CORE = "float32", "large"
RUNTIME = "TFLite"


def law_name(phone: str) -> str:
    """Of the phone's fitted law.

    >>> law_name("Pixel 4")
    'cpu-pixel4-nnmeter'
    """
    return f"cpu-{phone.lower().replace(' ', '')}-nnmeter"


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Four predictions a row: the table names no number of threads, so each phone is taken as one core."""
    del models  # a block's name says all of it
    progress(f"{len(records.rows)} blocks")
    blocks: list[tuple[Block, Record, str]] = []
    for line, record in records:
        found = _parsed(record[NAME])
        if isinstance(found, Unpredicted):
            yield from [found] * len(PHONES)
        else:
            blocks.append((found, record, where(records, line)))
    shapes = [kernels(block) for block, _, _ in blocks]
    different = list(dict.fromkeys(shape for of_block in shapes for shape in of_block))
    for phone in PHONES:
        law = law_name(phone)
        times_us = threads_us(law, DTYPE, law_file(law)["cores"], different)
        us_of = dict(zip(different, times_us.tolist(), strict=True))
        for (block, record, at), of_block in zip(blocks, shapes, strict=True):
            latency_us = sum(us_of[shape] for shape in of_block)
            yield _prediction(block, record, at, phone, latency_us, FLOP_PER_MAC * macs(of_block))


def _parsed(name: str) -> Block | Unpredicted:
    try:
        return parse(name)
    except StudyError:
        return Unpredicted(name, "no block of a known kind and size")


def _prediction(block: Block, record: Record, at: str, phone: str, latency_us: float, flops: float) -> Prediction:
    content = law_file(law_name(phone))
    intervals = content["dtypes"][DTYPE]["block_interval"]
    low, high = intervals.get(block.kind, intervals["all"])
    latency_ms = latency_us / US_PER_MS
    return Prediction(
        level="block", unit="CPU", runtime=RUNTIME, device=phone, precision="fp32", op_class=block.kind,
        name=record[NAME], measured=number(record, PHONES[phone], at), predicted=latency_ms, low=latency_ms * low,
        high=latency_ms * high, work=flops, in_sample=block.family in content["fit"]["models"], evidence="fitted",
    )  # fmt: skip


TABLE = Table("nnmeter_block_lut", frozenset((NAME, *PHONES.values())), read, "blocks of hybrid networks on phone CPUs")
