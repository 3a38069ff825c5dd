"""Rows of a plan for the charts: units' roofs with its kernels beneath them, and its placement by depth."""

from partita.devices import Soc
from partita.graph.plan import Plan
from partita.graph.work import work_of
from partita.reports.account import Account
from partita.reports.charts import Roof, RoofPoint, Share
from partita.reports.depth import stripes_of
from partita.reports.wording import printable

OPS_PER_MAC = 2
"""A multiply-accumulate counts as a multiplication and an addition, as in the makers' TOPS."""


def roofline_rows(plan: Plan) -> tuple[tuple[Roof, ...], tuple[RoofPoint, ...]]:
    """Roofs in the order of the Soc, in each unit's preferred type; one point for each kernel call that takes time.

    Operations are the multiply-accumulates, twice each, and the element operations; bytes are the traffic that the cost
    model lets the DRAM see. SocError if the plan does not hold its whole Soc.
    """
    units = Soc.from_json(plan.soc_json).units
    labels = {unit.name: unit.label for unit in Account(plan).chip.units}
    roofs = tuple(
        Roof(
            title=f"{printable(labels[unit.name])}, {unit.dtypes[0]}",
            kind=unit.kind,
            peak_gop_per_s=OPS_PER_MAC * unit.peak_gmac_per_s[unit.dtypes[0]].value,
            bandwidth_gb_per_s=unit.bandwidth_gb_per_s.value,
        )
        for unit in units
    )
    number_of = {unit.name: number for number, unit in enumerate(units)}
    points = []
    for operator in plan.operators:
        if operator.cost.latency_us <= 0:
            continue
        work = work_of(plan.graph, plan.graph.node_named[operator.node], operator.dtype)
        ops = OPS_PER_MAC * work.macs + work.element_ops
        points.append(
            RoofPoint(
                roof=number_of[operator.unit],
                ops=ops,
                dram_bytes=operator.cost.dram_bytes,
                latency_us=operator.cost.latency_us,
            )
        )
    return roofs, tuple(points)


def depth_rows(plan: Plan) -> tuple[Share, ...]:
    """Shares of the units by depth, in the order of the Soc."""
    labels = {unit.name: unit for unit in Account(plan).chip.units}
    return tuple(
        Share(
            start=stripe.start, end=stripe.end, kind=labels[unit].kind, title=printable(labels[unit].label), share=share
        )
        for stripe in stripes_of(plan, tuple(labels))
        for unit, share in stripe.shares
    )
