"""What a placement was chosen for, in words and in the units that people read: ms, frames per second, mJ."""

from partita.graph.plan import Proof
from partita.reports.wording import ms_text, significant
from partita.units import US_PER_MS, US_PER_S

MICROSECONDS = "us"


def unit_text(proof: Proof) -> str:
    """The unit of measure of `figure`."""
    return "ms" if proof.unit == MICROSECONDS else proof.unit


def figure(value: float, proof: Proof) -> float:
    """A value of the objective, times in milliseconds."""
    return value / US_PER_MS if proof.unit == MICROSECONDS else value


def figure_text(proof: Proof) -> str:
    """The objective's value: "8.1 ms", "3.2 mJ", "12.4"."""
    if proof.unit == MICROSECONDS:
        return ms_text(proof.value)
    unit = "" if proof.unit == "score" else f" {proof.unit}"
    return f"{significant(proof.value)}{unit}"


def aim_text(proof: Proof) -> str:
    """What the value is: "between two frames (123 a second)", "of energy"."""
    if proof.objective == "throughput":
        rate = f" ({significant(US_PER_S / proof.value)} a second)" if proof.value > 0 else ""
        return f"between two frames{rate}"
    if proof.objective == "makespan":
        return "with units side by side"
    named = {"energy": "of energy", "edp": "of energy times delay"}
    return named.get(proof.objective, f"of {proof.objective}")
