"""A plan run on other runtimes: what each segment took, and whether the outputs agree with the model's."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from partita.backends import Backend
from partita.backends.run import BackendRun, run_on_backends
from partita.graph.dtypes import FLOATING
from partita.graph.plan import Plan
from partita.graph.quantisation import SCHEMES, Range
from partita.kernels.compare import Difference, differences
from partita.kernels.executor import run
from partita.kernels.placed import execute
from partita.passes.random_feeds import random_feeds
from partita.reports.checking import SMALLEST, TOLERANCE, ranges_of, read_inputs
from partita.reports.summary import plain_table, row
from partita.reports.wording import count_text
from partita.units import MS_PER_S

ROUNDINGS = 16
"""An output may be off by this many roundings of the coarsest dtype computed in, relative to its largest value."""
AMPLIFIED = 2.0
"""Some models amplify roundings: an output may also be off by this many times what our own kernels are, computing as
the plan says."""


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Agreement:
    """A run on backends and, if it was checked, how far its outputs are from the unplaced float32 model's."""

    run: BackendRun
    outputs: tuple[Difference, ...] | None
    tolerance: float | None
    """What the dtypes explain; None if the plan quantises, for then that depends on the model."""

    @property
    def is_right(self) -> bool | None:
        """None if nothing was compared, or nothing can be said."""
        if self.outputs is None or self.tolerance is None:
            return None
        return all(d.max_relative <= self.tolerance or d.max_absolute <= SMALLEST for d in self.outputs)


def run_and_compare(
    plan: Plan, backends: Mapping[str, Backend], inputs: Sequence[str], *, seed: int, check: bool
) -> Agreement:
    """Runs on the given files (texts NAME=FILE.npy) and random data for the rest; with `check`, compares."""
    given = read_inputs(plan.graph, inputs)
    feeds = {**random_feeds(plan.graph, seed), **given}
    return agreement(plan, backends, feeds, ranges_of(plan, feeds if given else None, seed), check=check)


def agreement(
    plan: Plan, backends: Mapping[str, Backend], feeds: Mapping[str, Any], ranges: Mapping[str, Range], *, check: bool
) -> Agreement:
    """A run on `feeds`, compared with the unplaced model in float32."""
    result = run_on_backends(plan, feeds, backends, ranges)
    if not check:
        return Agreement(run=result, outputs=None, tolerance=None)
    reference = run(plan.graph, feeds)
    found = differences(reference, result.outputs)
    tolerance = tolerance_of(plan, backends)
    if tolerance is not None and tolerance > TOLERANCE:
        own = differences(reference, execute(plan, feeds, ranges).outputs)
        tolerance = max(tolerance, AMPLIFIED * max((d.max_relative for d in own), default=0.0))
    return Agreement(run=result, outputs=found, tolerance=tolerance)


def tolerance_of(plan: Plan, backends: Mapping[str, Backend]) -> float | None:
    """What the dtypes computed in explain, were no rounding amplified; None if something is quantised."""
    computed = {dtype for operator in plan.operators for dtype in _computed_in(operator.dtype, backends[operator.unit])}
    if computed & set(SCHEMES):
        return None
    return max((_tolerance(dtype) for dtype in computed if dtype in FLOATING), default=TOLERANCE)


def _computed_in(dtype: str, backend: Backend) -> tuple[str, ...]:
    """What a backend computes an operator in that the plan has in `dtype`."""
    return (dtype,) if backend.precision is None else (backend.precision,)


def _tolerance(dtype: str) -> float:
    if dtype == "float32":
        return TOLERANCE
    bits = {"float16": 11, "bfloat16": 8}[dtype]
    return ROUNDINGS * 2.0**-bits


def agreement_document(plan: Plan, result: Agreement) -> dict[str, Any]:
    """`partita run --backend --json`; described by templates/backend_run.schema.json."""
    return {
        "format": "partita-backend-run/1",
        "model": plan.graph.name,
        "soc": plan.soc_name,
        "is_right": result.is_right,
        "tolerance": result.tolerance,
        "segments": [
            {"segment": s.segment, "unit": s.unit, "backend": s.backend, "load_ms": s.load_s * MS_PER_S,
             "wall_ms": s.wall_s * MS_PER_S}
            for s in result.run.segments
        ],
        "outputs": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in result.run.outputs.items()
            if isinstance(array, np.ndarray)
        },
        "differences": None
        if result.outputs is None
        else {d.output: {"max_relative": _finite(d.max_relative), "snr_db": _finite(d.snr_db),
                         "top1_agrees": d.top1_agrees} for d in result.outputs},
    }  # fmt: skip


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def agreement_table(plan: Plan, result: Agreement) -> RenderableType:
    """What `partita run --backend` prints."""
    segments = count_text(len(result.run.segments), "segment")
    head = f"{plan.graph.name} ran as placed on {plan.soc_name}, {segments} on other runtimes."
    parts: list[RenderableType] = [Text(head, style="bold")]
    table = plain_table("Segments", "segment", "unit", "backend", "load ms", "run ms", numbers=2)
    for s in result.run.segments:
        row(table, str(s.segment), s.unit, s.backend, f"{s.load_s * MS_PER_S:.1f}", f"{s.wall_s * MS_PER_S:.1f}")
    parts.append(table)
    if result.outputs is not None:
        parts.append(_differences_table(result, result.outputs))
    if result.is_right is False:
        parts.append(Text("An output is further off than its dtypes explain.", style="bold red"))
    return Group(*parts)


def _differences_table(result: Agreement, outputs: Sequence[Difference]) -> RenderableType:
    limit = "not judged, the plan quantises" if result.tolerance is None else f"at most {result.tolerance:.1e}"
    table = plain_table(f"Unplaced float32 model against ({limit})", "output", "max error", "SNR", "top-1", numbers=0)
    for d in outputs:
        snr = "equal" if d.snr_db == math.inf else f"{d.snr_db:.1f} dB"
        row(table, d.output, f"{d.max_relative:.1e}", snr, "same" if d.top1_agrees else "differs")
    return table
