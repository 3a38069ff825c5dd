"""A preset refitted from a table of measurements: which tables can be, and what comes out.

Every fit is deterministic and regularised, and says how far off it is on models that it left out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from partita.errors import StudyError
from partita.studies.validation.table import Progress, Records


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be fitted."""

    records: Records
    models: Path | None
    """The folder where NAME.onnx of the table's models lie."""
    device: str | None
    runtime: str | None
    soc: str | None
    """Preset or file to build on; None for the one that is known for the device."""
    name: str
    """Of the new Soc."""

    def models_needed(self) -> Path:
        if self.models is None or not self.models.is_dir():
            raise StudyError(f"{self.records.path}: its models are needed; give --models DIR, where NAME.onnx lie")
        return self.models


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """How far off the fit of one precision, or of one kind of figure, is; errors are fractions, None if not told."""

    what: str
    rows: int
    in_sample: float
    left_out: float
    """On models that were left out."""
    measure: str
    """Of both: "mean" or "median"."""
    within_10pct: float | None = None
    coverage: float | None = None
    """Share of left-out measurements inside their 90 % interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """A Soc file on top of another, with the files that lie beside it."""

    device: str
    runtime: str
    unit: str
    base: str
    source: str
    models: Sequence[str]
    parts: Sequence[Part]
    text: str
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """File name -> content."""


Fitter = Callable[[Asked, Progress], Refit]


def refit(table: str, asked: Asked, progress: Progress) -> Refit:
    """The unit of a device fitted to a table; StudyError if none can be, or if the table leaves open which."""
    fitters = _fitters()
    if table not in fitters:
        raise StudyError(
            f"{asked.records.path}: no law is fitted to tables of the kind {table}; those are {', '.join(fitters)}"
        )
    return fitters[table](asked, progress)


def _fitters() -> Mapping[str, Fitter]:
    from partita.studies.fitting import refit_npu, refit_phones

    return {
        "qed_e2e_real": refit_phones.cpu_of_phone,
        "qed_ops_gpu": refit_phones.gpu_of_phone,
        "nnmeter_block_lut": refit_phones.core_of_phone,
        "aihub_perf": refit_npu.npu_of_phone,
        "rknn_zoo": refit_npu.npu_of_board,
    }


def chosen(options: Sequence[str], given: str | None, option: str, asked: Asked) -> str:
    """The one that was given, or the only one there is; StudyError names the choice."""
    known = list(dict.fromkeys(options))
    if given is None and len(known) == 1:
        return known[0]
    if given is None:
        raise StudyError(f"{asked.records.path}: say which with {option}; it has: {', '.join(known)}")
    if given not in known:
        raise StudyError(
            f"{asked.records.path}: has no {option.removeprefix('--')} {given!r}; it has: {', '.join(known)}"
        )
    return given
