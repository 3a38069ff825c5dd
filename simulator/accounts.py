"""What runs come to: weights for the energy meter, busy times, how often each piece ran, what its time is made of."""

from collections.abc import Callable

from partita.simulator.meter import Meter
from partita.simulator.program import NO_UNIT, PART_OF, PARTS, PPM, Program
from partita.simulator.tables import Table
from partita.simulator.work import WORKING, PieceTotals, Run

NOTHING_LEFT_NS = 1e-6
"""Work below this is rounding."""

CONTENTION, THROTTLING = PART_OF["contention"], PART_OF["throttling"]
Recorder = Callable[[Run, int, int, int, float], None]
"""Takes a run, a piece, its start and end, and what contention cost it in ns."""


class Accounts:
    """Books on the engine's work, by program, piece and track."""

    def __init__(self, meter: Meter, tracks: int, units: int, record: Recorder | None) -> None:
        self.events = 0
        """Pieces that have ended, however many in one go."""
        self.busy_ns = [0] * tracks
        self.counts: dict[Table, list[int]] = {}
        """By table: how often its pieces ran within slices, as differences from piece to piece."""
        self.open_totals: dict[Program, list[PieceTotals]] = {}
        self.open_parts: dict[Program, list[int]] = {}
        """Times by PARTS that no table counts, of programs whose units take turns."""
        self.wake_quanta = 0
        self.meter = meter
        self._units = units
        self._record = record

    def add_program(self, program: Program) -> None:
        """Open books for a program."""
        self.open_totals[program] = [PieceTotals() for _ in program.pieces]
        self.open_parts[program] = [0] * len(PARTS)

    def end_piece(self, run: Run, now_ns: int) -> None:
        """A piece that ran by itself has ended, and is in the books.

        It is made of what it would have taken at top clocks, and what contention cost it; the rest is throttling.
        """
        program, elapsed_ns = run.table.program, now_ns - run.begin_ns
        totals = self.open_totals[program][run.piece]
        totals.count += 1
        totals.time_ns += elapsed_ns
        self.events += 1
        if self._record is not None:
            self._record(run, run.piece, run.begin_ns, now_ns, run.waited_ns)
        piece, scale, contended = program.pieces[run.piece], run.frame.scale, round(run.waited_ns)
        fixed, work = piece.fixed_ns, piece.work_ns
        if scale != 1.0:
            fixed, work = round(fixed * scale), round(work * scale)
        parts = self.parts_of(run)
        parts[piece.fixed_part] += fixed
        parts[piece.work_part] += work
        parts[CONTENTION] += contended
        parts[THROTTLING] += elapsed_ns - fixed - work - contended

    def parts_of(self, run: Run) -> list[int]:
        """Where the times of a run go: its task's, where units run side by side, else its program's."""
        return self.open_parts[run.table.program] if run.log is None else run.log.parts_ns

    def count(self, run: Run, first: int, end: int) -> None:
        """Pieces that have ended within a slice."""
        if first == end:
            return
        table = run.table
        counts = self.counts.get(table)
        if counts is None:
            counts = self.counts[table] = [0] * (len(table.program.pieces) + 1)
        counts[first] += 1
        counts[end] -= 1
        self.events += end - first
        if run.log is not None:
            for part in range(len(PARTS)):
                run.log.parts_ns[part] += table.total_parts_ns[end][part] - table.total_parts_ns[first][part]
        if self._record is not None:
            start_ns = run.begin_ns - run.offset_ns
            for piece in range(first, end):
                waited = table.work_ns[piece] - table.free_work_ns[piece]
                self._record(run, piece, start_ns + table.at_ns[piece], start_ns + table.at_ns[piece + 1], waited)

    def adopt(self, run: Run, piece: int) -> None:
        """What a piece has drawn within its slice counts as the open piece's."""
        start = run.table.readings[piece]
        units = self._units
        quanta = sum((run.seen[u] - start[u]) * self.meter.dynamic_uw[u] for u in range(units))
        quanta += (run.seen[units] - start[units]) * self.meter.host_uw * PPM
        run.bytes_done = run.seen[units + 1] - start[units + 1]
        quanta += run.bytes_done * self.meter.quanta_per_byte
        self.open_totals[run.table.program][piece].quanta += quanta

    def book_slice(self, run: Run, now_ns: int, *, overlaps: bool) -> None:
        """What a slice has drawn since it was booked last."""
        table, offset = run.table, run.offset_ns + now_ns - run.begin_ns
        at_end = offset == table.at_ns[run.end]
        if at_end and not overlaps and not run.solo and run.seen is table.readings[run.piece]:
            weights, host_ns, size, track, time_ns = table.slice_from(run.piece)
            self.meter.add_slice(weights, host_ns, size)
            self.busy_ns[track] += time_ns
            run.seen = table.readings[run.end]
            return
        reading = table.readings[run.end] if at_end else table.reading(offset)
        self.meter.add(reading, run.seen, overlaps=overlaps)
        for place in range(self._units + 2, len(reading)):
            if reading[place] != run.seen[place]:
                self.busy_ns[place - self._units - 2] += reading[place] - run.seen[place]
        run.seen = reading

    def progress(self, run: Run, now_ns: int) -> None:
        """How far a run has got in its phase; it goes into the books later."""
        elapsed_ns = now_ns - run.mark_ns
        if not elapsed_ns:
            return
        run.mark_ns = now_ns
        if run.phase == WORKING:
            done = elapsed_ns * run.speed
            run.spent_ns += elapsed_ns
            run.progress_ns += done
            run.left -= done
        else:
            run.fixed_ns += elapsed_ns
            run.left -= elapsed_ns

    def book_wake(self, run: Run) -> None:
        """A unit has been waking up."""
        self.busy_ns[run.table.program.tasks[run.task].track] += run.fixed_ns
        self.meter.add_host(run.fixed_ns)
        self.wake_quanta += run.fixed_ns * self.meter.host_uw * PPM
        run.fixed_ns = 0

    def book_piece(self, run: Run, *, overlaps: bool) -> None:
        """What a piece has drawn since it was booked last."""
        table, index, meter, elapsed_ns = run.table, run.piece, self.meter, run.spent_ns
        program = table.program
        piece, host_ns, quanta = program.pieces[index], run.fixed_ns, 0
        self.busy_ns[program.tasks[run.task].track] += elapsed_ns + host_ns
        run.waited_ns += elapsed_ns - run.progress_ns
        if piece.unit != NO_UNIT:
            weight = table.stalled_ppm[index] * elapsed_ns + round(table.computing_ppm[index] * run.progress_ns)
            meter.add_weight(piece.unit, weight, overlaps=overlaps)
            quanta += weight * meter.dynamic_uw[piece.unit]
        if table.host_works[index]:
            host_ns += elapsed_ns
        if host_ns:
            meter.add_host(host_ns)
            quanta += host_ns * meter.host_uw * PPM
        if piece.dram_bytes and run.phase == WORKING:
            done = piece.dram_bytes
            if run.left > NOTHING_LEFT_NS:
                total = table.free_work_ns[index] * run.frame.scale
                done = max(run.bytes_done, int(piece.dram_bytes * (1 - run.left / total)))
            meter.add_bytes(done - run.bytes_done)
            quanta += (done - run.bytes_done) * meter.quanta_per_byte
            run.bytes_done = done
        self.open_totals[program][index].quanta += quanta
        run.fixed_ns, run.spent_ns, run.progress_ns = 0, 0, 0.0
