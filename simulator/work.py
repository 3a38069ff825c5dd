"""What the engine moves: inferences under way, and the runs that occupy tracks."""

from dataclasses import dataclass, field
from typing import Any

from partita.simulator.program import Program
from partita.simulator.tables import Reading, Table

WAKING = 0
FIXED = 1
WORKING = 2
SLICE = 3
"""Phases of a run: its unit wakes up; the fixed time of a piece; its work; or several pieces in one go."""


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
    scale: float = 1.0
    """Factor on all its times."""
    in_turn: bool = False
    """Whether its tasks queue by when they became ready, as on a unit that divides its time among networks."""
    left: int = 0
    """Tasks that have not ended."""
    missing: list[int] = field(default_factory=list)
    """Pieces that each task still waits for."""
    cause: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Of each task that became ready: when, and by which piece."""
    logs: dict[int, TaskLog] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Run:
    """A task that occupies its track, or a whole inference that has the machine to itself."""

    frame: Frame
    table: Table
    task: int
    piece: int
    end: int
    """Where its slice ends, in phase SLICE."""
    phase: int
    left: float
    """Of its phase, in ns at full speed."""
    mark_ns: int
    """Up to when its progress is known."""
    begin_ns: int
    """When the piece, or the slice, began."""
    speed: float = 1.0
    version: int = 0
    """Events of earlier versions no longer count."""
    seen: Reading = ()
    """The reading at the mark, in phase SLICE."""
    offset_ns: int = 0
    """Where its slice begins in the table."""
    fixed_ns: int = 0
    """Fixed or waking time that is not yet in the books."""
    spent_ns: int = 0
    """Time of work that is not yet in the books, and how far it got in that time, in ns."""
    progress_ns: float = 0.0
    bytes_done: int = 0
    waited_ns: float = 0.0
    """What contention has cost the piece so far."""
    log: TaskLog | None = None
    solo: bool = False


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
