"""Where operators can run and what they cost: Socs, operator support, fusions and the cost model."""

from partita.devices.cost import TransferCost, operator_cost, transfer_cost
from partita.devices.facts import Fact, facts
from partita.devices.fusion import fuses
from partita.devices.load import load_soc, preset_names
from partita.devices.soc import Link, Number, Soc, Unit
from partita.devices.support import Verdict, verdict

__all__ = [
    "Fact",
    "Link",
    "Number",
    "Soc",
    "TransferCost",
    "Unit",
    "Verdict",
    "facts",
    "fuses",
    "load_soc",
    "operator_cost",
    "preset_names",
    "transfer_cost",
    "verdict",
]
