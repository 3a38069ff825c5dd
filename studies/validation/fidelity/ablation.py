"""What each part of the laws buys: fitted again without it, and the error on models that were left out.

Fitting takes minutes and, for CPUs and GPUs, the extra [fit]; the page shows what was measured last, with its date.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from partita.devices import load_soc
from partita.devices.laws.gpu_kernels import Columns
from partita.devices.laws.gpu_waves import KernelLaw
from partita.devices.laws.trees import Floats
from partita.files import write_atomically
from partita.studies.fitting import cpu, gpu, npu
from partita.studies.fitting.extra import check_installed
from partita.studies.fitting.npu_law import SPILL, read_priors
from partita.studies.fitting.phone_gpu import Timed, timed
from partita.studies.fitting.phones import FOLDS, measured_cpu, rows_of, shapes_by_model
from partita.studies.validation.aihub_rows import aihub_rows
from partita.studies.validation.report import percent
from partita.studies.validation.table import read_records

MEASURED = Path(__file__).parent / "ablation.json"
CHIP, FRAMEWORK = "Snapdragon 855", "TFLite v2.10"
NOT_AT_ALL = -20.0
"""A logarithm, or a logit, of nothing."""
OF_SETS = "factors of each set of cores"
OF_THE_CPU: Mapping[str, Mapping[str, float]] = {
    "nothing: the law as it is": {},
    "the unfolding of windows before a product": {"unfold": NOT_AT_ALL},
    "parts that run on one thread only": {"serial": NOT_AT_ALL, "serial_unfold": NOT_AT_ALL},
    "rates that depend on a kernel's depth, rows and columns": {"slopes": 0.0},
    "memory traffic": {"bandwidth": -NOT_AT_ALL, "shared_bandwidth": -NOT_AT_ALL},
    "costs per output": {"output_cost": NOT_AT_ALL, "hard_swish": NOT_AT_ALL},
    "fixed costs of a kernel and of its threads": {"dispatch": NOT_AT_ALL, "sync": NOT_AT_ALL},
    "a rate of each class on each type of core": {"class_on_core": 0.0},
}
OF_THE_GPU = ("Adreno 640", "Mali-G76 MP12")
OF_THE_NPU: Mapping[str, tuple[str, ...]] = {
    "nothing: the law as it is": (),
    "shifting and scaling an image by channel": ("channel_broadcast",),
    "dividing an image by channel": ("channel_division",),
    "broadcasts over images": ("image_broadcast",),
    "transposes and copies of tokens": ("token_move",),
    "element-wise work on tokens": ("token_elementwise", "token_broadcast"),
    "depthwise convolutions on the vector unit": ("depthwise", "strided_depthwise"),
    "traffic of what does not fit on chip": (SPILL,),
}
PARTS = 6
"""A sixth of the networks is left out at a time; the preset's own error is that of leaving out each alone."""
NPU_DEVICE, NPU_PRESET = "Samsung Galaxy S24", "sd8gen3-qnn"


def measured_anew(data: Path, models: Path | None, say: Callable[[str], None]) -> None:
    """Fits everything and writes it to where `table` finds it."""
    check_installed()
    folder = models or data
    lines = [*_of_cpu(data, folder, say), *_of_gpu(data, say), *_of_npu(data, folder, say)]
    content = {"measured": date.today().isoformat(), "lines": lines}
    write_atomically(MEASURED, (json.dumps(content, indent=1) + "\n").encode())


def table() -> Iterator[str]:
    """Markdown lines."""
    content = json.loads(MEASURED.read_text(encoding="utf-8"))
    yield f"Each line: fitted again without a part, and the error on models that were left out ({content['measured']})."
    yield ""
    yield "| law | without | MAPE | median | within 10 % |"
    yield "|---|---|---|---|---|"
    for line in content["lines"]:
        shares = " | ".join(percent(line[name]) for name in ("mape", "median", "within_10pct"))
        yield f"| {line['law']} | {line['without']} | {shares} |"
    yield ""


def _line(law: str, without: str, errors: Floats) -> dict[str, Any]:
    return {
        "law": law,
        "without": without,
        "mape": round(float(np.mean(errors)), 4),
        "median": round(float(np.median(errors)), 4),
        "within_10pct": round(float(np.mean(errors <= 0.1)), 4),
    }


def _of_cpu(data: Path, models: Path, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    rows = rows_of(read_records(data / "qed_e2e_real.csv"), FRAMEWORK, CHIP, "CPU")
    measured = measured_cpu(rows, shapes_by_model(rows, models, "cpu", lambda text: None), "fp32")
    for without, fixed in (*OF_THE_CPU.items(), (OF_SETS, cpu.NOTHING)):
        say(f"CPU without {without}")
        _, left_out = cpu.cross_validated(measured, FOLDS, fixed=fixed, has_sets=without != OF_SETS)
        errors = np.abs(left_out / measured.latency_ms - 1)
        yield _line(f"{CHIP}, CPU, float32, every set of cores", without, errors[np.isfinite(errors)])


def _of_gpu(data: Path, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    records = read_records(data / "qed_ops_gpu.csv.gz")
    for chip in OF_THE_GPU:
        say(f"kernels of {chip}")
        kernels = timed(records, chip)
        held_us = {name: np.zeros(len(kernels.base)) for name in ("nothing: the law as it is", "trees", "waves")}
        for held in gpu.folds_by_group(kernels.models, FOLDS):
            whole = kernels.but(held)
            known, asked = Columns(kernels.base[~held]), kernels.base[held]
            held_us["nothing: the law as it is"][held] = whole.us(asked)
            held_us["trees"][held] = KernelLaw(kernels.chip, whole.coefficients, None, {}).us(asked)
            held_us["waves"][held] = gpu.trees_alone_us(known, kernels.time_us[~held], Columns(asked), kernels.chip)
        yield from _lines_of_gpu(chip, kernels, held_us)


def _lines_of_gpu(chip: str, kernels: Timed, held_us: Mapping[str, Floats]) -> Iterator[dict[str, Any]]:
    names = {"trees": "the learned correction", "waves": "the physical part: trees on the logarithm of time alone"}
    for name, times_us in held_us.items():
        yield _line(f"{chip}, kernels", names.get(name, name), np.abs(times_us / kernels.time_us - 1))


def _of_npu(data: Path, models: Path, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    priors = read_priors("hexagon")
    measured = npu.measured_us(aihub_rows(read_records(data / "aihub_perf.csv")), NPU_DEVICE)
    whole = npu.gathered(measured, models, load_soc(NPU_PRESET), "npu", lambda text: None)
    for without, terms in OF_THE_NPU.items():
        say(f"NPU without {without}")
        less = npu.Data(tuple(stack.without(terms) for stack in whole.stacks), whole.log_us)
        parts = {model: str(index % PARTS) for index, model in enumerate(less.models)}
        for dtype, errors in npu.cross_validated(less, priors, parts).items():
            yield _line(f"8 Gen 3, NPU, {dtype}", without, np.abs(list(errors.values())))
