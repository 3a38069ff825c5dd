"""Which operators run on a CPU although the plan uses an accelerator, why, and what that costs."""

from dataclasses import dataclass

from partita.graph.plan import PlacedOperator, Refusal
from partita.reports.account import Account
from partita.reports.chip import HOST_KIND, UnitLabel

CHOSEN = "chosen"
"""The verdict of a fallback that no rule forces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Operators of one type that run away from the accelerator for one and the same reason."""

    op: str
    unit: UnitLabel
    """Where they run."""
    wanted: UnitLabel
    """The accelerator that did not get them."""
    verdict: str
    """As a Refusal's, or `chosen`: nothing forbids the accelerator, but this costs less."""
    reason: str
    source: str
    nodes: tuple[str, ...]
    """Operators of the model."""
    run_us: float
    """Time of the kernels that run them; a fused kernel's is divided evenly among its operators."""
    around_us: float
    """Their share of the calls and transfers that exist because they run here."""

    @property
    def cost_us(self) -> float:
        return self.run_us + self.around_us


def wanted_accelerator(account: Account) -> UnitLabel | None:
    """The accelerator that runs most operators; if none runs any, the one that refuses fewest; None without any."""
    refused = [refusal.unit for refusal in account.plan.refusals]
    best = max(
        (total for total in account.units if total.unit.kind != HOST_KIND),
        key=lambda total: (total.operators, -refused.count(total.unit.name)),
        default=None,
    )
    return best.unit if best is not None else None


def fallbacks_of(account: Account) -> tuple[Fallback, ...]:
    """Every operator that runs on a CPU, or was refused by the wanted accelerator and runs elsewhere; dearest first."""
    wanted = wanted_accelerator(account)
    if wanted is None:
        return ()
    refusals = {refusal.node: refusal for refusal in account.plan.refusals if refusal.unit == wanted.name}
    around_us = overhead_us_of_segments(account)
    covered = {segment.index: 0 for segment in account.plan.segments}
    for operator in account.plan.operators:
        covered[operator.segment] = covered.get(operator.segment, 0) + len(operator.covers)
    groups: dict[tuple[str, str, str, str, str], list[tuple[str, float, float]]] = {}
    for name, operator in account.call_of.items():
        refusal = refusals.get(name)
        if not _fell_back(account, operator, wanted, refusal):
            continue
        run_us = operator.cost.latency_us / len(operator.covers)
        share_us = around_us.get(operator.segment, 0.0) / covered[operator.segment]
        groups.setdefault(_group(account, name, operator, refusal), []).append((name, run_us, share_us))
    found = (_fallback(account, wanted, key, rows) for key, rows in groups.items())
    return tuple(sorted(found, key=lambda f: (-f.cost_us, f.op, f.reason)))


def _fell_back(account: Account, operator: PlacedOperator, wanted: UnitLabel, refusal: Refusal | None) -> bool:
    if operator.unit == wanted.name:
        return False
    return refusal is not None or _is_host(account, operator.unit)


def _group(
    account: Account, name: str, operator: PlacedOperator, refusal: Refusal | None
) -> tuple[str, str, str, str, str]:
    op = account.op_of(name)
    if refusal is None:
        return op, operator.unit, CHOSEN, "not refused: with calls and transfers counted, it costs less here", ""
    return op, operator.unit, refusal.verdict, refusal.reason, refusal.source


def _fallback(
    account: Account, wanted: UnitLabel, key: tuple[str, str, str, str, str], rows: list[tuple[str, float, float]]
) -> Fallback:
    op, unit, verdict, reason, source = key
    return Fallback(
        op=op,
        unit=account.chip.unit(unit),
        wanted=wanted,
        verdict=verdict,
        reason=reason,
        source=source,
        nodes=tuple(name for name, _, _ in rows),
        run_us=sum(run_us for _, run_us, _ in rows),
        around_us=sum(share_us for _, _, share_us in rows),
    )


def overhead_us_of_segments(account: Account) -> dict[int, float]:
    """What each segment costs beside its operators: its call, casts inside it, tensors on their way to and from it.

    A transfer between two segments counts once: for the one on a CPU, else for the one that reads. Model inputs and
    outputs count for none, as they travel wherever the operators run.
    """
    plan = account.plan
    total = {segment.index: segment.call_us for segment in plan.segments}
    for transfer in plan.transfers:
        producer = plan.graph.producer_of.get(transfer.tensor)
        if not transfer.before or (producer is None and transfer.crosses_units):
            continue
        index = plan.placed[transfer.before].segment
        if (
            producer is not None
            and _is_host(account, transfer.source.unit)
            and not _is_host(account, transfer.target.unit)
        ):
            index = plan.placed[producer.name].segment
        total[index] = total.get(index, 0.0) + transfer.latency_us
    return total


def _is_host(account: Account, unit: str) -> bool:
    return account.chip.unit(unit).kind == HOST_KIND
