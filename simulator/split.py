"""One operator on two units at once, split by channels or rows: what it costs to share, and when it pays.

Before the work the input changes its form (`transform`), is mapped for the other unit (`map`), and that unit waits
until the first has drained its queue (`pre_sync`); then both compute their shares side by side (`split`), each slower
than alone; at the end both outputs are joined (`post_sync`). Source of the form: Jia et al., "CoDL: Efficient CPU-GPU
Co-execution for Deep Learning Inference on Mobile Devices", MobiSys 2022.
"""

from dataclasses import dataclass

from partita.devices.co_execution import CoExecution
from partita.simulator.steps import Chain, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedOperator:
    """An operator that two units could share."""

    name: str
    first_us: float
    """All of it on `CoExecution.first` alone."""
    second_us: float
    """All of it on `CoExecution.second` alone."""
    size_bytes: int = 0
    """What changes hands; with `is_chained` the units hold their parts from the operator before, and nothing does."""
    is_chained: bool = False

    @property
    def best_us(self) -> float:
        """On the better unit alone."""
        return min(self.first_us, self.second_us)


def balanced_share(operator: SharedOperator) -> float:
    """The share of `first` with which both units end at the same time.

    >>> balanced_share(SharedOperator(name="conv", first_us=100.0, second_us=300.0))
    0.75
    """
    return operator.second_us / (operator.first_us + operator.second_us)


def sharing_us(operator: SharedOperator, co: CoExecution) -> float:
    """What sharing costs beside the work."""
    return sum(time_us for _, _, time_us in _before(operator, co)) + co.post_sync_us.value


def shared_us(operator: SharedOperator, co: CoExecution, share: float | None = None) -> float:
    """Time of the operator with `share` of it (by default the balanced one) on `first`, the rest on `second`."""
    first = balanced_share(operator) if share is None else share
    work_us = max(operator.first_us * first, operator.second_us * (1 - first)) * co.slowdown.value
    return work_us + sharing_us(operator, co)


def pays(operator: SharedOperator, co: CoExecution) -> bool:
    """Whether sharing is quicker than the better unit alone."""
    return shared_us(operator, co) < operator.best_us


def split_chain(operator: SharedOperator, co: CoExecution, share: float | None = None) -> Chain:
    """The operator as steps for the engine: sharing costs in a row, then both parts side by side, then the joint."""
    first = balanced_share(operator) if share is None else share
    before = [
        Step(unit=unit, name=operator.name, kind=kind, work_us=0.0, fixed_us=time_us, after=(i - 1,) if i else ())
        for i, (kind, unit, time_us) in enumerate(_before(operator, co))
    ]
    ready = (len(before) - 1,) if before else ()
    parts = [
        Step(unit=unit, name=operator.name, kind="split", work_us=time_us * co.slowdown.value, after=ready)
        for unit, time_us in ((co.first, operator.first_us * first), (co.second, operator.second_us * (1 - first)))
    ]
    joint = Step(unit=co.second, name=operator.name, kind="post_sync", work_us=0.0, fixed_us=co.post_sync_us.value,
                 after=(len(before), len(before) + 1))  # fmt: skip
    return (*before, *parts, joint)


def _before(operator: SharedOperator, co: CoExecution) -> list[tuple[str, str, float]]:
    """(kind, unit, us) of what precedes the work."""
    if operator.is_chained:
        return []
    transform_us, map_us, pre_sync_us = co.before_us(operator.size_bytes)
    return [("transform", co.first, transform_us), ("map", co.second, map_us), ("pre_sync", co.second, pre_sync_us)]
