"""Partita: place a neural network on the units of a mobile SoC, with proof; run the placement; simulate its timeline.

import partita as pt

graph = pt.load("model.onnx", shapes={"batch": 1})
soc = pt.soc("sd8gen3-qnn")
plan = pt.partition(graph, soc)
execution = pt.execute(plan, inputs)
timeline = pt.simulate(plan)
pt.report(plan, timeline).save("report.html")
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from partita.api import (
        calibrate,
        execute,
        load,
        load_plan,
        partition,
        report,
        save_plan,
        simulate,
        simulate_scenario,
        soc,
    )
    from partita.errors import PartitaError
    from partita.partitioner import Rule
    from partita.torch_export import from_torch

__version__ = version("partita")
__all__ = [
    "PartitaError", "Rule", "calibrate", "execute", "from_torch", "load", "load_plan", "partition", "report",
    "save_plan", "simulate", "simulate_scenario", "soc",
]  # fmt: skip

_HOMES = {"PartitaError": "partita.errors", "Rule": "partita.partitioner", "from_torch": "partita.torch_export"}


def __getattr__(name: str) -> Any:
    """Public names load when they are first used, so that `partita --help` need not wait for solvers and plots."""
    if name not in __all__:
        raise AttributeError(f"module 'partita' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "partita.api")), name)
