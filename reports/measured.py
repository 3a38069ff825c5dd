"""What a run on this machine took, in the form that the simulator gives its own timelines."""

from partita.graph.plan import Plan
from partita.kernels.placed import Execution
from partita.simulator.memory import link_name
from partita.simulator.timeline import HOST_TRACK, MEASURED, Span, Timeline


def measured_timeline(plan: Plan, execution: Execution) -> Timeline:
    """When each kernel call and each move really ran; the clock starts with the first of them."""
    spans = [
        Span(
            track=run.unit,
            kind="operator",
            name=run.node,
            start_ns=run.start_ns,
            end_ns=run.end_ns,
            segment=run.segment,
        )
        for run in execution.operators
    ]
    for move in execution.moves:
        crosses = move.source != move.target
        spans.append(
            Span(
                track=link_name(move.source, move.target) if crosses else move.target,
                kind="transfer" if crosses else "convert",
                name=move.tensor,
                start_ns=move.start_ns,
                end_ns=move.end_ns,
                segment=move.segment,
                dram_bytes=move.size_bytes,
            )
        )
    units = (segment.unit for segment in plan.segments)
    tracks = tuple(dict.fromkeys((HOST_TRACK, *units, *(span.track for span in spans))))
    order = {track: position for position, track in enumerate(tracks)}
    return Timeline(
        soc_name=plan.soc_name,
        model_name=plan.graph.name,
        graph_digest=plan.graph_digest,
        scenario=MEASURED,
        tracks=tracks,
        spans=tuple(sorted(spans, key=lambda s: (s.start_ns, order[s.track], s.end_ns))),
    )
