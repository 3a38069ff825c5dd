"""A unit's speed by what it and the others ask of the memory, on a Jetson AGX Xavier (processorcentricmodel/PCCS)."""

from collections.abc import Iterator
from pathlib import Path

from partita.devices import load_soc
from partita.simulator.memory import machine_of
from partita.simulator.sharing import FairShare, Law, law_of
from partita.simulator.speeds import BACKGROUND
from partita.studies.validation.prediction import SHARE, Prediction, Row, Unpredicted
from partita.studies.validation.table import Progress, Record, Records, Table, number, where

COLUMNS = frozenset(("standalone_GBps", "external_demand_GBps", "achieved_GBps", "relative_speed"))
SOC = "xavier-agx-tensorrt"
UNIT = "gpu"
ERROR = 0.06
"""Half the width of the interval told: nine of ten cells left out of a fit lie within it."""


def read(records: Records, models: Path | None, progress: Progress) -> Iterator[Row]:
    """Each cell by the law of the Soc file, then each by fair shares alone."""
    soc = load_soc(SOC)
    laws: tuple[tuple[str, Law], ...] = (
        ("three-region law", law_of(soc)),
        ("max-min fair share", FairShare(machine_of(soc).memory)),
    )
    for name, law in laws:
        for line, record in records:
            yield _row(record, name, law, where(records, line))


def _row(record: Record, law_name: str, law: Law, at: str) -> Row:
    own, others = number(record, "standalone_GBps", at), number(record, "external_demand_GBps", at)
    name = f"{own:g} GB/s beside {others:g} GB/s"
    if own <= 0 or others < 0:
        return Unpredicted(name, "what it asks for must be above 0, what others ask for not below 0")
    asked = [(UNIT, own), (BACKGROUND, others)] if others else [(UNIT, own)]
    speed = law.divide(asked)[0] / own
    return Prediction(
        level="contention",
        unit="GPU",
        runtime=law_name,
        device="Jetson AGX Xavier",
        precision="",
        op_class="minor" if own <= 42 else "normal" if own < 75 else "intensive",
        name=name,
        measured=number(record, "relative_speed", at),
        predicted=speed,
        low=max(0.0, speed - ERROR),
        high=speed + ERROR,
        measure=SHARE,
        in_sample=cell_is_fitted(own, others),
        evidence="fitted",
    )


FITTED_CELLS = {
    9.3: (12.7, 38.1, 92.8, 127.4),
    18.6: (12.7, 38.1, 63.1, 76.8, 92.8, 98.7, 112.3),
    28.1: (12.7, 51.3, 63.1, 76.8, 92.8, 98.7, 127.4),
    37.6: (12.7, 25.6, 38.1, 51.3, 63.1, 76.8, 92.8, 98.7, 112.3),
    46.8: (25.6, 38.1, 63.1, 76.8, 92.8, 98.7, 112.3, 127.4),
    55.1: (12.7, 38.1, 51.3, 63.1, 92.8, 98.7, 112.3, 127.4),
    65.7: (25.6, 38.1, 51.3, 63.1, 76.8, 92.8),
    71.3: (25.6, 38.1, 51.3, 63.1, 76.8, 98.7),
    84.7: (12.7, 25.6, 38.1, 63.1, 76.8, 98.7, 127.4),
    93.1: (25.6, 51.3, 63.1, 98.7, 112.3, 127.4),
}
"""What the unit asks for alone -> what the others ask for, of the cells behind the Soc file's parameters."""


def cell_is_fitted(own_gb_per_s: float, others_gb_per_s: float) -> bool:
    """Whether the Soc file's parameters were fitted on this cell too."""
    return others_gb_per_s in FITTED_CELLS.get(own_gb_per_s, ())


TABLE = Table("pccs_xavier_matrix", COLUMNS, read, "speed of a unit by its own and the others' demand, Jetson Xavier")
