"""The books of a run: energy and time of every operator, call and transfer, and whether they add up."""

from collections.abc import Sequence
from dataclasses import dataclass

from partita.simulator.engine import Engine
from partita.simulator.meter import QUANTA_PER_MJ, Meter
from partita.simulator.outcome import Energy, OperatorEnergy, StreamOutcome
from partita.simulator.program import NO_UNIT, PARTS, Program
from partita.simulator.streams import Source
from partita.simulator.work import PieceTotals
from partita.units import NS_PER_US, US_PER_MS

HOST = "host"


@dataclass(frozen=True, slots=True)
class Books:
    """What the run came to."""

    streams: tuple[StreamOutcome, ...]
    energy: Energy


def books_of(engine: Engine, meter: Meter, sources: Sequence[Source], units: Sequence[str]) -> Books:
    """Everything that was counted, by stream, and the energy by kind."""
    settled = {program: engine.accounts.settled(program) for program in engine.accounts.open_totals}
    totals = {program: rows for program, (rows, _) in settled.items()}
    parts = {program: found for program, (_, found) in settled.items()}
    streams = tuple(_stream(source, index, engine, totals, parts, units)
                    for index, source in enumerate(sources))  # fmt: skip
    charged = sum(row.quanta for rows in totals.values() for row in rows)
    return Books(streams, _energy(meter, charged, engine.accounts.wake_quanta, units))


def _stream(
    source: Source,
    index: int,
    engine: Engine,
    totals: dict[Program, list[PieceTotals]],
    parts: dict[Program, list[int]],
    units: Sequence[str],
) -> StreamOutcome:
    rows = totals.get(source.program, [])
    path = [a + b for a, b in zip(source.parts_ns, parts.get(source.program, [0] * len(PARTS)), strict=True)]
    count = max(1, source.inferences)
    source.settle()
    stream, plan = source.stream, source.program.plan
    assert plan is not None, "streams run plans"
    return StreamOutcome(
        name=stream.name or f"{index + 1} {plan.graph.name}",
        plan=plan,
        mode=stream.mode,
        asked=source.asked,
        answered=source.answered,
        dropped=source.dropped,
        missed=source.missed,
        deadline_us=None if stream.deadline_ms is None else stream.deadline_ms * US_PER_MS,
        inferences=source.inferences,
        latency=source.latency,
        mean_waiting=source.waiting_ns / engine.now_ns if engine.now_ns else 0.0,
        parts_us={part: time_ns / count / NS_PER_US for part, time_ns in zip(PARTS, path, strict=True)},
        operators=tuple(
            OperatorEnergy(
                kind=piece.kind,
                name=piece.name,
                unit=units[piece.unit] if piece.unit != NO_UNIT else HOST,
                count=row.count,
                time_us=row.time_ns / NS_PER_US,
                energy_mj=row.quanta / QUANTA_PER_MJ,
            )
            for piece, row in zip(source.program.pieces, rows, strict=False)
        ),
    )


def _energy(meter: Meter, charged: int, wake: int, units: Sequence[str]) -> Energy:
    ledger = meter.ledger
    drawn = sum(ledger.dynamic) + ledger.host + ledger.dram
    return Energy(
        base_mj=ledger.base / QUANTA_PER_MJ,
        idle_mj={u: e / QUANTA_PER_MJ for u, e in zip(units, ledger.idle, strict=True)},
        dynamic_mj={u: e / QUANTA_PER_MJ for u, e in zip(units, ledger.dynamic, strict=True)},
        leakage_mj={u: e / QUANTA_PER_MJ for u, e in zip(units, ledger.leakage, strict=True)},
        host_mj=ledger.host / QUANTA_PER_MJ,
        dram_mj=ledger.dram / QUANTA_PER_MJ,
        together_mj=ledger.together / QUANTA_PER_MJ,
        background_mj=ledger.background / QUANTA_PER_MJ,
        wake_mj=wake / QUANTA_PER_MJ,
        total_mj=ledger.total / QUANTA_PER_MJ,
        rest_quanta=drawn - charged - wake,
    )
