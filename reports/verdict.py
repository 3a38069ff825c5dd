"""The verdict: one sentence that says how fast, on what, how much better than without, how sure, and what it costs."""

from dataclasses import dataclass, replace

from partita.graph.plan import Baseline, Plan, Proof
from partita.reports.account import Account
from partita.reports.aim import aim_text, figure_text
from partita.reports.chip import HOST_KIND
from partita.reports.fallbacks import fallbacks_of
from partita.reports.wording import (
    count_text,
    ms_text,
    percent_at_most,
    percent_text,
    printable,
    ratio_text,
    shortened,
)
from partita.simulator.timeline import Timeline

PROVEN_GAP = 0.01
"""Above this gap the verdict says what may be missed, not what is proven."""
EXACT_GAP = 1e-6
"""Below this gap, which is within a solver's own tolerance, the plan is called the best."""
EVEN = 0.005
"""Latencies that differ by less than this share are called equal."""
CLEARLY = 1.1
"""From this ratio on a difference is told as a multiple, below as a percentage."""
NAME_SHOWN = 30
"""Characters of an operator's name."""
SAME_TIMELINE = 0.001
"""A timeline that differs from the plan by less than this share is not mentioned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The numbers behind the sentence. Times in microseconds."""

    latency_us: float
    aim: str
    """What it was chosen for and how well it does, if that is not the latency: "3.2 mJ of energy, "."""
    chip: str
    soc: str
    placement: str
    """What runs where, as the end of the sentence."""
    only_unit: str
    """The unit that runs everything, within a sentence ("the NPU"); empty if several work."""
    host_alone: bool
    """The best plan leaves every accelerator idle."""
    host_unit: str
    host: str
    """The host within a sentence ("the CPU")."""
    reference: Baseline | None
    """What the speed is compared with: the host alone, or the quickest if that was not tried."""
    best_baseline: Baseline | None
    gap: float
    is_ruled: bool
    """The user pinned or banned operators."""
    status: str
    simulated_us: float | None
    """The timeline's latency, if it tells another story than the plan."""
    scenario: str

    @property
    def speedup(self) -> float | None:
        """How many times faster than the reference."""
        if self.reference is None or self.latency_us <= 0:
            return None
        return self.reference.latency_us / self.latency_us

    @property
    def headline(self) -> str:
        """The first half: "17.2 ms on Snapdragon 8 Gen 3 (sd8gen3-qnn)"."""
        name = self.chip if self.chip == self.soc else f"{self.chip} ({self.soc})"
        return f"{self.aim}{ms_text(self.latency_us)} on {name}"

    @property
    def comparison(self) -> str:
        """How the plan compares with the reference; empty if there is nothing to compare with."""
        if self.host_alone:
            return f"{self.host} alone is the {'best' if self.aim else 'quickest'} placement found"
        where = f"all of it on {self.only_unit}, " if self.only_unit else ""
        if self.reference is None or self.speedup is None:
            return where.removesuffix(", ")
        return f"{where}{self._compared(self.reference, self.speedup)}"

    def _compared(self, reference: Baseline, speedup: float) -> str:
        title = f"{self.host} alone" if reference.name == host_only(self.host_unit) else f"“{reference.title}”"
        if abs(speedup - 1) <= EVEN:
            return f"no faster than {title}"
        word = "faster" if speedup > 1 else "slower"
        times = speedup if speedup > 1 else 1 / speedup
        if times >= CLEARLY:
            return f"{ratio_text(times)} {word} than {title}"
        return f"{(times - 1) * 100:.0f} % {word} than {title}"

    @property
    def certainty(self) -> str:
        """What is proven about it, in words that claim no more than the bound does."""
        if self.gap <= EXACT_GAP:
            return "proven the best" + (" under your rules" if self.is_ruled else "")
        if self.gap >= 1:
            return "with no proof of how good it is"
        if self.gap <= PROVEN_GAP:
            return f"proven within {percent_at_most(self.gap)} of the best"
        cause = "stopped at the time limit" if self.status == "time_limit" else "not proven the best"
        return f"{cause}: up to {percent_at_most(self.gap)} less may be possible"

    @property
    def sentence(self) -> str:
        claims = ", ".join(part for part in (self.comparison, self.certainty) if part)
        parts = "; ".join(part for part in (f"{self.headline}: {claims}", self.placement, self._simulated()) if part)
        return f"{parts}."

    def _simulated(self) -> str:
        if self.simulated_us is None:
            return ""
        how = "independent segments overlap" if self.scenario == "overlap" else f"simulated as {self.scenario!r}"
        return f"{ms_text(self.simulated_us)} when {how}"


def host_only(unit: str) -> str:
    """The name of the baseline that uses the host alone."""
    return f"{unit}_only"


def verdict_of(account: Account, timeline: Timeline | None = None) -> Verdict:
    """The verdict on a plan, and on what the simulator says of it."""
    plan, chip = account.plan, account.chip
    used = [total for total in account.units if total.operators]
    is_shared = any(operator.shared is not None for operator in plan.operators)
    latency_us = plan.latency_us
    told = timeline is not None and abs(timeline.latency_us - latency_us) > SAME_TIMELINE * latency_us
    return Verdict(
        latency_us=latency_us,
        aim="" if plan.proof.objective == "latency" else f"{figure_text(plan.proof)} {aim_text(plan.proof)}, ",
        chip=printable(chip.short_title),
        soc=printable(chip.name),
        placement="; ".join(part for part in (_placement(account), _sharing(plan)) if part),
        only_unit=chip.place(used[0].unit.name) if len(used) == 1 and not is_shared else "",
        host_alone=[total.unit.name for total in used] == [plan.host.unit] and not is_shared,
        host_unit=plan.host.unit,
        host=chip.place(plan.host.unit),
        reference=_reference(account),
        best_baseline=min(labelled_baselines(account), key=lambda baseline: baseline.latency_us, default=None),
        gap=plan.proof.gap,
        is_ruled=bool(plan.limits) or any(option in plan.options for option in ("pin", "ban")),
        status=plan.proof.status,
        simulated_us=timeline.latency_us if timeline is not None and told else None,
        scenario=timeline.scenario if timeline is not None else "",
    )


def solver_text(proof: Proof) -> str:
    """Who solved it, in how long (a plan from a file does not know), and how it ended."""
    took = f", {proof.solve_s:.2f} s" if proof.solve_s > 0 else ""
    return f"{printable(proof.solver)}{took}, {printable(proof.status)}"


def labelled_baselines(account: Account) -> list[Baseline]:
    """The baselines, quickest first, with short titles fit to be shown."""
    ordered = sorted(account.plan.baselines, key=lambda baseline: (baseline.latency_us, baseline.name))
    return [replace(baseline, title=printable(account.chip.labelled(baseline.title))) for baseline in ordered]


def _reference(account: Account) -> Baseline | None:
    baselines = labelled_baselines(account)
    alone = [baseline for baseline in baselines if baseline.name == host_only(account.plan.host.unit)]
    return next(iter(alone + baselines), None)


def _placement(account: Account) -> str:
    """What the units that are not the main one do; empty if one unit runs everything."""
    used = [total for total in account.units if total.operators]
    main = account.busiest
    if len(used) < 2 or main is None:
        return ""
    on_cpu = [total for total in used if total.unit.kind == HOST_KIND]
    if main.kind == HOST_KIND or not on_cpu:
        shares = (
            f"{total.operators:,} of {account.operators:,} operators on {account.chip.place(total.unit.name)}"
            for total in used
            if total.unit != main
        )
        return ", ".join(shares)
    count = sum(total.operators for total in on_cpu)
    verb = "costs" if count == 1 else "cost"
    detour_us = sum(fallback.cost_us for fallback in fallbacks_of(account) if fallback.unit.kind == HOST_KIND)
    where = " and ".join(account.chip.place(total.unit.name) for total in on_cpu)
    return f"{count_text(count, 'operator')} on {where} {verb} {ms_text(detour_us, 2)}"


def _sharing(plan: Plan) -> str:
    """How many operators two units compute together; empty if each has one."""
    count = sum(operator.shared is not None for operator in plan.operators)
    return f"{count_text(count, 'operator')} shared by two units" if count else ""


def sure_text(account: Account) -> str:
    """What the times rest on, "61 % roofline, 39 % table", and what they leave out."""
    total_us = sum(account.us_by_evidence.values())
    shares = [f"{percent_text(us / total_us)} {evidence}" for evidence, us in account.us_by_evidence.items()]
    sure = ", ".join(shares) if shares else "no operator takes time"
    if not account.uncounted:
        return sure
    name, why = next(iter(account.uncounted.items()))
    others = len(account.uncounted) - 1
    more = f"; so it is with {count_text(others, 'operator')} more" if others else ""
    return f"{sure} (of {shortened(printable(name), NAME_SHOWN)}, {why}{more})"
