"""A guess why a prediction is far off, from the rows around it."""

from collections.abc import Sequence
from statistics import median

from partita.studies.validation.prediction import Prediction

OFF = 1.25
"""A class whose median is off by this factor is wrong as a whole."""
FEW = 2
"""So many rows of a class say nothing of it."""


def guess(row: Prediction, rows: Sequence[Prediction]) -> str:
    """The first explanation that fits, as a sentence that begins small; a guess, not a finding."""
    ratio = row.predicted / row.measured
    same_name = [r.predicted / r.measured for r in rows if r.name == row.name and r.device != row.device]
    same_class = [r.predicted / r.measured for r in rows if r.op_class == row.op_class and r.device == row.device]
    if row.evidence == "roofline":
        return "nothing like it was fitted: the estimate is the analytic roofline"
    if len(same_name) > 1 and _agrees(ratio, median(same_name)):
        return "as far off on the other devices: the law lacks what is particular about it"
    if len(same_class) > FEW and _agrees(ratio, median(same_class)):
        return f"all of {row.op_class} is off on this device"
    if row.baseline is not None and _agrees(ratio, row.baseline / row.measured):
        return "off by as much as FLOPs are: the measurement stands apart from its neighbours"
    if len(same_name) > 1 and 1 / OFF < median(same_name) < OFF:
        return "right on the other devices: this runtime chose another kernel here, or the run was disturbed"
    return "no pattern: an uncommon shape, or a disturbed run"


def _agrees(ratio: float, other: float) -> bool:
    """Whether both are off in one direction, the other by half as much or more on a logarithmic scale."""
    if ratio >= 1:
        return other >= max(ratio**0.5, OFF)
    return other <= min(ratio**0.5, 1 / OFF)
