"""Operators split over CPU and GPU, whole networks on several chips (csu-eis/CoDL): what is gained over one unit.

The prediction sees the times on the CPU alone and on the GPU alone, what the Snapdragon 855's Soc file says of sharing,
and the sister table of sharing totals. Sharing through plain buffers goes by one number of a chip and method, how much
longer the GPU works on buffers than on images: times alone do not tell it, so it is calibrated with the other networks
of the chip, never with the one that is predicted.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from partita.devices import load_soc
from partita.devices.co_execution import CoExecution
from partita.simulator.memory import machine_of
from partita.simulator.sharing import law_of
from partita.simulator.split import SharedOperator, split_chain
from partita.simulator.steps import run_chains
from partita.studies.validation.prediction import Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, read_records, where
from partita.units import US_PER_MS, ms

COLUMNS = frozenset(("model", "chip", "method", "precision", "latency_ms", "how"))
SOC = "sd855-tflite"
CPU, GPU, IMAGE = "MACE CPU", "MACE GPU", "CoDL CPU+GPU (image)"
SISTER = "codl_sharing_total_per_model.csv"
FITTED_CHIPS = ("Snapdragon 855", "Snapdragon 865")
FEWEST_NETWORKS = 2
"""Of the same chip, to calibrate its buffers with."""
SPEED_UP = "times as fast as the better unit"

Facts = dict[str, dict[str, dict[str, float]]]
"""The content of codl.toml."""
Times = dict[tuple[str, str], dict[str, float]]
"""(chip, model) -> method -> ms."""


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """The rows in their order."""
    times: Times = {}
    for line, record in records:
        by_method = times.setdefault((record["chip"], record["model"]), {})
        by_method[record["method"]] = number(record, "latency_ms", where(records, line))
    sharing = _sharing_totals(records.path.parent / SISTER)
    facts = tomllib.loads(Path(__file__).with_name("codl.toml").read_text(encoding="utf-8"))
    for _, record in records:
        yield _row(record, times, sharing, facts)


def _sharing_totals(path: Path) -> dict[str, float]:
    """Model -> ms of sharing with operators chained, on the Snapdragon 855."""
    if not path.is_file():
        return {}
    column = "sharing_overhead_chained_ms"
    sister = read_records(path)
    return {r["model"]: number(r, column, where(sister, line)) for line, r in sister if {"model", column} <= set(r)}


def _row(record: Record, times: Times, sharing: dict[str, float], facts: Facts) -> Row:
    chip, model, method = record["chip"], record["model"], record["method"]
    name = f"{model}, {method}"
    found = times[chip, model]
    if method in (CPU, GPU):
        return Unpredicted(name, "one unit alone: what the prediction starts from")
    if method != IMAGE and method not in facts["buffer"]:
        return Unpredicted(name, "a bound, or a method that no law is known for")
    if min(found.get(CPU, 0.0), found.get(GPU, 0.0), found[method]) <= 0:
        return Unpredicted(name, "needs the times above 0 on the CPU alone and on the GPU alone, in the same table")
    best = min(found[CPU], found[GPU])
    if method == IMAGE:
        ratios = [t[CPU] / t[GPU] for (c, _), t in times.items() if c == chip and t.get(CPU, 0) > 0 < t.get(GPU, 0)]
        quick, usual, slow = (_shared_ms(found[CPU], found[GPU], median(ratios), sharing.get(model), facts, f)
                              for f in ("low", "value", "high"))  # fmt: skip
    else:
        factors = _buffer_factors(times, chip, model, method, facts)
        if factors is None:
            return Unpredicted(name, "buffers against images on a Mali GPU: not measured with two other networks")
        quick, usual, slow = (_both_ms(found) * factor for factor in factors)
    return Prediction(
        level="split",
        unit="CPU+GPU",
        runtime=method,
        device=chip,
        precision=record["precision"],
        op_class="convolutions split by channels or rows",
        name=name,
        measured=best / found[method],
        predicted=best / usual,
        low=best / slow,
        high=best / quick,
        measure=SPEED_UP,
        in_sample=chip in FITTED_CHIPS and method == IMAGE,
        evidence="fitted",
    )


def _both_ms(found: dict[str, float]) -> float:
    """Both units together, at their speeds on images, with shares that let them end at the same time."""
    return 1 / (1 / found[CPU] + 1 / found[GPU])


def _buffer_factors(
    times: Times, chip: str, model: str, method: str, facts: Facts
) -> tuple[float, float, float] | None:
    """Low, usual and high time through buffers over both units' on images.

    The shares are those that suit images, so the GPU, slower on buffers, ends long after the CPU: the factor is what
    its kernels lose. Power says the same (codl_power_sd855.csv): the phone draws 4.6 to 5.8 W while networks share by
    buffers, which leaves the CPU a quarter to a half of the time, and 8.4 to 8.6 W where both units are at work.
    """
    others = [t[method] / _both_ms(t) for (at, name), t in times.items()
              if at == chip and name != model and min(t.get(key, 0.0) for key in (CPU, GPU, method)) > 0]  # fmt: skip
    if len(others) >= FEWEST_NETWORKS:
        usual = median(others)
        spread = facts["buffer"]["among_networks"]
        return usual * spread["low"], usual, usual * spread["high"]
    if "Mali" in _gpu_family(chip):
        return None
    found = facts["buffer"][method]
    return found["low"], found["value"], found["high"]


def _gpu_family(chip: str) -> str:
    """Kirin, Exynos and Dimensity chips of these years have Mali GPUs, Snapdragons have Adrenos."""
    return "Adreno" if "Snapdragon" in chip else "Mali"


def _shared_ms(
    cpu_ms: float, gpu_ms: float, usual_ratio: float, sharing_ms: float | None, facts: Facts, field: str
) -> float:
    """A network's time with its operators shared, through the event engine; the better unit's if sharing does not pay.

    Where the CPU is slower than usual on this chip, it is because of operators that it has no quick kernel for; they
    stay on the GPU, so the CPU counts as slow as usual. Chained operators share once, so the network is one operator.
    """
    soc = load_soc(SOC)
    co = soc.co_execution
    assert co is not None, f"{SOC} has [co_execution]"
    co = _with_slowdown(co, field)
    operator = SharedOperator(
        name="network",
        first_us=gpu_ms * US_PER_MS,
        second_us=min(cpu_ms, gpu_ms * usual_ratio) * US_PER_MS,
        is_chained=True,
    )
    (run,) = run_chains([split_chain(operator, co)], machine_of(soc), law_of(soc))
    work_ms = ms(run.mean_latency_us)
    shared_ms = work_ms + (sharing_ms if sharing_ms is not None else work_ms * facts["sharing"]["share"][field])
    return min(shared_ms, cpu_ms, gpu_ms)


def _with_slowdown(co: CoExecution, field: str) -> CoExecution:
    slowdown = co.slowdown
    value = {"low": slowdown.least, "value": slowdown.value, "high": slowdown.most}[field]
    return co.model_copy(update={"slowdown": slowdown.model_copy(update={"value": value})})


TABLE = Table("codl_models", COLUMNS, read, "operators split over CPU and GPU, whole networks on phones")
