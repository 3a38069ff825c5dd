"""`python -m partita.studies.fitting.handed_over TABLE --models DIR`: fits `studies.validation.handed_over` anew.

Prints the file of its rates; they are fitted once to all networks and once without each of them, whose errors are the
ones that count. Rows of one network on several phones are one network.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from partita.devices import load_soc
from partita.errors import PartitaError
from partita.studies.fitting.least_squares import Prior, fitted
from partita.studies.validation.aihub_rows import aihub_rows, lines
from partita.studies.validation.handed_over import Fallen, Rates, fallen
from partita.studies.validation.models import graph_of, model_path
from partita.studies.validation.table import read_records
from partita.studies.validation.tables.aihub import is_handed_over, settings, whole_us, why_not

Array = NDArray[np.float64]

CENTER = Rates(operator_us=100.0, weight_ns=5.0, element_ns=0.3, matmul_gmac_per_s=53.0)
"""A hand-over between CPU and NPU, a byte that is converted, copied and packed, two passes over an element in float32,
the peak of one Cortex-X4."""
DEVIATION = Rates(operator_us=2.0, weight_ns=2.0, element_ns=1.5, matmul_gmac_per_s=0.7)
"""Of the logarithms: all are known loosely."""
PRIOR = Prior(np.log(astuple(CENTER)), np.array(astuple(DEVIATION)))
NOISE = 0.35
"""Of a logarithm: which of alike operators fell is not known."""
RATED_AT = "sd8gen3-qnn"
FAMILIES = ("bert", "quicksrnet", "resn")
"""Parts of AI Hub's names: networks whose names share one are sisters, and are left out together. A network whose name
has none of them is a family of its own, so one that is new to the table may need its part here."""
HEAD = """\
# What ONNX Runtime leaves to the CPU of quantised networks on an NPU: rates of studies/validation/handed_over.py.
# Made by `python -m partita.studies.fitting.handed_over aihub_perf.csv --models DIR`, not by hand: quic/ai-hub-models
# 52c080d245, w8a8 and w8a16 rows through `onnx` with layers on the NPU and on the CPU. Other memories go by their peak.
# [left_out]: the rates as fitted without that network and its sisters; it is predicted by these.
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """One row: what was measured, what of it the network wholly on the NPU takes, and what fell."""

    model: str
    latency_us: float
    whole_us: float
    slowness: float
    fallen: Fallen


def gathered(table: Path, models: Path) -> Iterator[Measured]:
    rows = aihub_rows(read_records(table))
    known, rated = lines(rows), load_soc(RATED_AT).dram.peak_gb_per_s.value
    for row in sorted(rows, key=lambda row: row.model):
        path = model_path(models, row.model)
        if path is None or row.device not in settings()["presets"] or why_not(row, path, known, has_folder=True):
            continue
        if is_handed_over(row):
            preset = settings()["presets"][row.device]
            memory = load_soc(preset).dram.peak_gb_per_s.value
            what = fallen(graph_of(path)[0], row.cpu_layers)
            yield Measured(row.model, row.time_us, whole_us(path, preset, row), rated / memory, what)


def predicted_us(rows: Sequence[Measured], rates: Rates) -> Array:
    return np.array([row.whole_us + row.slowness * rates.us(row.fallen) for row in rows])


def fit(rows: Sequence[Measured]) -> Rates:
    measured = np.log([row.latency_us for row in rows])

    def residuals(x: Array) -> Array:
        error: Array = (np.log(predicted_us(rows, Rates(*np.exp(x)))) - measured) / NOISE
        return error

    return Rates(*np.exp(fitted(residuals, PRIOR)).tolist())


def left_out(rows: Sequence[Measured]) -> dict[str, Rates]:
    """The rates without each network and its sisters."""
    families = dict.fromkeys(map(_family, _names(rows)))
    found = {family: fit([row for row in rows if _family(row.model) != family]) for family in families}
    return {name: found[_family(name)] for name in _names(rows)}


def _names(rows: Sequence[Measured]) -> list[str]:
    return sorted({row.model for row in rows})


def _family(model: str) -> str:
    return next((part for part in FAMILIES if part in model), model)


def spread(rows: Sequence[Measured], errors: Array, share: float = 0.9) -> float:
    """The factor either way that holds this share, every network counting as one however many rows it has."""
    networks = [row.model for row in rows]
    weights = np.array([1 / networks.count(name) for name in networks])
    order = np.argsort(np.abs(errors))
    reached = np.cumsum(weights[order]) / len(set(networks))
    return float(np.exp(np.abs(errors)[order][min(int(np.searchsorted(reached, share)), len(rows) - 1)]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m partita.studies.fitting.handed_over", description=__doc__)
    parser.add_argument("table", help="aihub_perf.csv")
    parser.add_argument("--models", required=True, help="the folder where NAME.onnx of the table's models lie")
    given = parser.parse_args(arguments)
    rows = list(gathered(Path(given.table), Path(given.models)))
    without = left_out(rows)
    measured = np.log([row.latency_us for row in rows])
    errors = np.array([np.log(predicted_us([row], without[row.model])[0]) for row in rows]) - measured
    sys.stdout.write(f"{HEAD}{_comment(rows, errors)}\n{text_of(fit(rows), without, spread(rows, errors))}")


def _comment(rows: Sequence[Measured], errors: Array) -> str:
    size = np.exp(np.abs(errors))
    return (
        f"# {len(rows)} rows of {len(_names(rows))} networks. On networks left out with their sisters, predicted over\n"
        f"# measured is {np.exp(np.median(errors)):.2f} in the median, half the rows are within x/÷ "
        f"{np.median(size):.2f}, nine of ten within x/÷ {np.quantile(size, 0.9):.2f}.\n"
    )


def text_of(rates: Rates, without: Mapping[str, Rates], factor: float) -> str:
    """The file's content behind its comment."""
    memory = load_soc(RATED_AT).dram.peak_gb_per_s.value
    text = f"memory_gb_per_s = {memory:g}\nspread = {factor:.2f}\n\n[rates]\n"
    text += "".join(f"{line}\n" for line in _assignments(rates))
    text += "\n[left_out]\n"
    for model, own in without.items():
        text += f"{model} = {{ {', '.join(_assignments(own))} }}\n"
    return text


def _assignments(rates: Rates) -> list[str]:
    return [f"{name} = {value:.3g}" for name, value in asdict(rates).items()]


if __name__ == "__main__":
    try:
        main()
    except PartitaError as error:
        sys.exit(f"error: {error}")
