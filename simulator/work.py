"""What the engine moves: inferences under way, and the runs that occupy tracks."""

import math
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

from partita.simulator.program import Program
from partita.simulator.rows import NO_ROW, Row
from partita.simulator.tables import Reading, Table

WAKING = 0
SLICE = 1
FLOW = 2
"""Phases of a run: its unit wakes up; pieces in one go that nothing slows; or pieces that others may slow."""


@dataclass(slots=True, eq=False)
class Query:
    """Something asked for: one inference, or several of a multi_stream."""

    arrival_ns: int
    left: int = 1


@dataclass(slots=True, eq=False)
class TaskLog:
    """When a task of an inference could start, started and ended, and which piece it waited for last."""

    ready_ns: int
    start_ns: int
    end_ns: int
    cause: int
    parts_ns: list[int]


@dataclass(slots=True, eq=False)
class Frame:
    """One inference."""

    stream: int
    number: int
    query: Query
    program: Program
    key: tuple[float, ...]
    """What is served first where several wait."""
    start_ns: int
    in_turn: bool = False
    """Whether its tasks queue by when they became ready, as on a unit that divides its time among networks."""
    left: int = 0
    """Tasks that have not ended."""
    missing: list[int] = field(default_factory=list)
    """Pieces that each task still waits for."""
    cause: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each task that became ready: when, and by which piece."""
    logs: dict[int, TaskLog] = field(default_factory=dict)
    run: "Run | None" = None
    """Of an inference whose units take turns, once it has waited for a track."""


@dataclass(slots=True, eq=False)
class OddPiece:
    """The rest of a piece whose speed has changed for good in the middle: it is a slice of its own."""

    begin_ns: int
    """When the piece began."""
    offset_ns: int
    """Where the rest begins in its table."""
    start: Reading
    """The reading there."""
    waited_ns: float = 0.0
    """What contention had cost the piece before."""


@dataclass(slots=True, eq=False)
class Run:
    """A task that occupies its track, or a whole inference that has the machine to itself.

    It goes on in slices: pieces in a row of its table. How far it has got is an offset in ns from the table's start.
    """

    frame: Frame
    table: Table
    task: int
    track: int
    piece: int = 0
    """Where its slice begins, and ends."""
    end: int = 0
    first: int = 0
    """The first piece that is not counted yet: that of its slice, or of an earlier task's."""
    phase: int = SLICE
    base_ns: int = 0
    """When the table's offset 0 was, or would have been but for contention."""
    version: int = 0
    """Events of earlier versions no longer count."""
    seen: Reading = ()
    """The reading up to which the energy is in the books."""
    extra_ns: int = 0
    """What contention has cost since the first of these pieces, in stretches that have ended."""
    extra_seen_ns: int = 0
    """How much of it, and of the stretch under way, is in the books."""
    extras: MutableMapping[int, int] | list[int] = field(default_factory=dict)
    """Where that time is counted by piece."""
    odd: OddPiece | None = None
    log: TaskLog | None = None
    solo: bool = False
    wake_ns: int = 0
    """When it began to wake up."""
    row: Row = NO_ROW
    """In phase FLOW: its stretches."""
    stretch: int = 0
    """The present one, or the next."""
    stop_ns: int = 0
    """The offset at which the slice ends."""
    most_code: int = 0
    """The code of the most that the slice asks for, which `Flows` adds up."""
    is_closed: bool = False
    """Whether nothing can slow the slice as long as nobody else begins one."""
    speed: float = 0.0
    """In a stretch, at most 1; 0 outside of any."""
    left: float = 0.0
    """Of the stretch at `mark_ns`, in ns at full speed."""
    mark_ns: int = 0
    until_ns: int = 0
    """When the stretch ends, or the time before the next."""

    def position(self, now_ns: int) -> tuple[int, int]:
        """How far it has got as an offset in its table, and what contention has cost the slice."""
        since = now_ns - self.base_ns
        if self.phase != FLOW or not self.speed:
            return since, self.extra_ns
        end = self.row.ends_ns[self.stretch]
        left = self.left - (now_ns - self.mark_ns) * self.speed
        late = max(0, since - end + (now_ns < self.until_ns), int(since - end + left))
        return since - late, self.extra_ns + late


@dataclass(slots=True, eq=False)
class Lane:
    """A track and who waits for it."""

    run: Run | None = None
    waiting: list[Any] = field(default_factory=list)
    """Heap of (key, number, task, frame, since ns)."""


@dataclass(slots=True)
class PieceTotals:
    """What all runs of one piece have come to, beside those that tables count."""

    count: int = 0
    time_ns: int = 0
    quanta: int = 0


def resume(run: Run, odd: OddPiece, table: Table, into_ns: int, wake_ns: int, now_ns: int) -> None:
    """Put a run into the same piece of another table, as far as it got in `into_ns` of it after waking up."""
    old, piece = run.table, run.piece
    fixed_ns, work_ns, left_ns = old.fixed_ns[piece] - wake_ns, old.work_ns[piece], table.work_ns[piece]
    if into_ns < fixed_ns:
        left_ns += math.ceil(table.fixed_ns[piece] * (1 - into_ns / fixed_ns))
    elif work_ns:
        left_ns = min(left_ns, math.ceil(left_ns * (1 - (into_ns - fixed_ns) / work_ns)))
    run.table, run.end = table, piece + 1
    odd.offset_ns = table.at_ns[piece + 1] - left_ns
    odd.start = run.seen = table.reading(odd.offset_ns)
    run.base_ns = now_ns - odd.offset_ns
