"""How near any law of sizes could come to kernels on phone GPUs: by kernels that occur in several networks.

Two measurements of the same kernel differ by the root of two times what each is off the kernel's own time, if errors
are independent and alike. So a perfect law is within 10 % of a measurement as often as two are within 10 % * sqrt(2).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from partita.devices.laws.gpu_kernels import KINDS
from partita.devices.laws.law import law_file
from partita.devices.laws.trees import Floats
from partita.studies.validation.report import percent
from partita.studies.validation.table import Record, read_records
from partita.studies.validation.tables import qed_ops
from partita.units import US_PER_MS

TABLE = "qed_ops_gpu.csv.gz"
NEAR = float(np.log(1.1))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Of one GPU, or of a kind of kernels on it; shares and medians as the kinds occur, pairs or not."""

    rows: int
    pairs_near: float
    """Share of pairs of the same kernel, in two networks, that are within 10 % of each other."""
    near: float
    """Share of measurements that a perfect law would be within 10 % of."""
    median: float
    """Its median error."""


def ceilings(data: Path) -> dict[str, dict[str, Ceiling]]:
    """GPU -> kind -> ceiling, with the kind "all"; empty if the table is not in the folder."""
    path = data / TABLE
    if not path.is_file():
        return {}
    own = [record for _, record in read_records(path) if not qed_ops.why_not(record)]
    chips = dict.fromkeys(record["chip"] for record in own)
    return {chip: of_gpu([record for record in own if record["chip"] == chip]) for chip in chips}


def of_gpu(records: Sequence[Record]) -> dict[str, Ceiling]:
    """By kind of kernel, where one occurs in two networks, and "all"."""
    kinds: dict[str, dict[str, list[tuple[str, float]]]] = {}
    counts: dict[str, int] = {}
    for record in records:
        row = qed_ops.base_row_of(record, record["chip"])
        kind = KINDS[int(row[0])]
        same = f"{row} {re.sub('_[0-9]+', '', record['gpu_kernel'])}"
        time_ms = float(record["latency_us"]) / US_PER_MS
        kinds.setdefault(kind, {}).setdefault(same, []).append((record["model"], float(np.log(time_ms))))
        counts[kind] = counts.get(kind, 0) + 1
    found = {kind: _differences(list(kernels.values())) for kind, kernels in kinds.items()}
    found = {kind: pair for kind, pair in found.items() if len(pair[0])}
    result = {kind: _ceiling(counts[kind], [pair], [1.0]) for kind, pair in found.items()}
    if result:
        shares = [float(counts[kind]) for kind in found]
        result["all"] = _ceiling(sum(counts.values()), list(found.values()), shares)
    return result


def _differences(kernels: Sequence[Sequence[tuple[str, float]]]) -> tuple[Floats, Floats]:
    """Between networks, each measurement weighing alike however many others there are of its kernel."""
    found, weights = [], []
    for kernel in kernels:
        for model, log in kernel:
            others = [other for name, other in kernel if name != model]
            found += [abs(log - other) for other in others]
            weights += [1 / max(len(others), 1)] * len(others)
    return np.array(found), np.array(weights)


def _ceiling(rows: int, parts: Sequence[tuple[Floats, Floats]], shares: Sequence[float]) -> Ceiling:
    differences = np.concatenate([part for part, _ in parts])
    weights = np.concatenate([part * share / part.sum() for (_, part), share in zip(parts, shares, strict=True)])
    order = np.argsort(differences)
    reached = np.cumsum(weights[order]) / weights.sum()
    median = float(differences[order][np.searchsorted(reached, 0.5)])
    near, pairs = (float(weights[differences <= limit].sum() / weights.sum()) for limit in (NEAR * np.sqrt(2), NEAR))
    return Ceiling(rows, pairs, near, float(np.expm1(median / np.sqrt(2))))


def table(found: Mapping[str, Mapping[str, Ceiling]]) -> Iterator[str]:
    """Markdown: a GPU a line with what its law reaches, then the kinds in a line each."""
    yield "| GPU | pairs within 10 % | a perfect law: within 10 % | median | ours: within 10 % | median |"
    yield "|---|---|---|---|---|---|"
    for chip, kinds in found.items():
        fit = law_file(f"gpu-{qed_ops.PRESET_OF_GPU[chip]}")["fit"]["kernels"]
        ours = (fit["cross_validated_within_10pct"], fit["cross_validated_median"])
        whole = kinds["all"]
        cells = " | ".join(map(percent, (whole.pairs_near, whole.near, whole.median, *ours)))
        yield f"| {chip} | {cells} |"
    yield ""
    names = [kind for kind in KINDS if any(kind in kinds for kinds in found.values())]
    yield "| a perfect law, within 10 % | " + " | ".join(name.replace("_", " ") for name in names) + " |"
    yield "|---|" + "---|" * len(names)
    for chip, kinds in found.items():
        cells = " | ".join(percent(kinds[name].near) if name in kinds else "" for name in names)
        yield f"| {chip} | {cells} |"
    yield ""
