"""What runs come to: weights for the energy meter, busy times, how often each piece ran, what its time is made of."""

from collections.abc import Callable

from partita.simulator.meter import Meter
from partita.simulator.program import NO_UNIT, PART_OF, PARTS, PPM, Program
from partita.simulator.tables import Table
from partita.simulator.work import WAKING, WORKING, PieceTotals, Run

NOTHING_LEFT_NS = 1e-6
"""Work below this is rounding."""

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
        self.open_totals: dict[Program, dict[int, PieceTotals]] = {}
        self.open_parts: dict[Program, list[int]] = {}
        """Times by PARTS that no table counts, of programs whose units take turns."""
        self.wake_quanta = 0
        self.meter = meter
        self._units = units
        self._record = record

    def totals_of(self, program: Program, piece: int) -> PieceTotals:
        return self.open_totals.setdefault(program, {}).setdefault(piece, PieceTotals())

    def end_piece(self, run: Run, now_ns: int) -> None:
        """A piece that ran by itself has ended, and is accounted for."""
        totals, elapsed_ns = self.totals_of(run.table.program, run.piece), now_ns - run.begin_ns
        totals.count += 1
        totals.time_ns += elapsed_ns
        self.events += 1
        if self._record is not None:
            self._record(run, run.piece, run.begin_ns, now_ns, run.waited_ns)
        self._add_piece_parts(run, elapsed_ns)

    def _add_piece_parts(self, run: Run, elapsed_ns: int) -> None:
        """What the piece would have taken at top clocks, then what contention cost it; the rest is throttling."""
        program = run.table.program
        piece = program.pieces[run.piece]
        scale, contended = run.frame.scale, round(run.waited_ns)
        fixed, work = round(piece.fixed_ns * scale), round(piece.work_ns * scale)
        self.add_part(program, piece.fixed_part, fixed, run)
        self.add_part(program, piece.work_part, work, run)
        self.add_part(program, PART_OF["contention"], contended, run)
        self.add_part(program, PART_OF["throttling"], elapsed_ns - fixed - work - contended, run)

    def add_part(self, program: Program, part: int, time_ns: int, run: Run | None = None) -> None:
        if run is not None and run.log is not None:
            run.log.parts_ns[part] += time_ns
            return
        if program not in self.open_parts:
            self.open_parts[program] = [0] * len(PARTS)
        self.open_parts[program][part] += time_ns

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
        start = run.table.reading_at(piece)
        units = self._units
        quanta = sum((run.seen[u] - start[u]) * self.meter.dynamic_uw[u] for u in range(units))
        quanta += (run.seen[units] - start[units]) * self.meter.host_uw * PPM
        run.bytes_done = run.seen[units + 1] - start[units + 1]
        quanta += run.bytes_done * self.meter.quanta_per_byte
        self.totals_of(run.table.program, piece).quanta += quanta

    def account_slice(self, run: Run, now_ns: int, *, overlaps: bool) -> None:
        offset = run.offset_ns + now_ns - run.begin_ns
        table = run.table
        reading = table.reading_at(run.end) if offset == table.at_ns[run.end] else table.reading(offset)
        self.meter.add(reading, run.seen, overlaps=overlaps)
        for place in range(self._units + 2, len(reading)):
            if reading[place] != run.seen[place]:
                self.busy_ns[place - self._units - 2] += reading[place] - run.seen[place]
        run.seen = reading

    def account_piece(self, run: Run, elapsed_ns: int, *, overlaps: bool) -> None:
        table, index, meter = run.table, run.piece, self.meter
        piece = table.program.pieces[index]
        self.busy_ns[table.program.tasks[run.task].track] += elapsed_ns
        if run.phase != WORKING:
            run.left = max(0.0, run.left - elapsed_ns)
            meter.add_host(elapsed_ns)
            quanta = elapsed_ns * meter.host_uw * PPM
            if run.phase == WAKING:
                self.wake_quanta += quanta
            else:
                self.totals_of(table.program, index).quanta += quanta
            return
        quanta = 0
        total = table.free_work_ns[index] * run.frame.scale
        progress = min(elapsed_ns * run.speed, run.left) if run.left else elapsed_ns * run.speed
        run.left = max(0.0, run.left - progress)
        run.waited_ns += elapsed_ns - progress
        if piece.unit != NO_UNIT:
            weight = table.stalled_ppm[index] * elapsed_ns + round(table.computing_ppm[index] * progress)
            meter.add_weight(piece.unit, weight, overlaps=overlaps)
            quanta += weight * meter.dynamic_uw[piece.unit]
        if table.host_works[index]:
            meter.add_host(elapsed_ns)
            quanta += elapsed_ns * meter.host_uw * PPM
        if piece.dram_bytes:
            done = int(piece.dram_bytes * (1 - run.left / total)) if run.left > NOTHING_LEFT_NS else piece.dram_bytes
            meter.add_bytes(done - run.bytes_done)
            quanta += (done - run.bytes_done) * meter.quanta_per_byte
            run.bytes_done = done
        self.totals_of(table.program, index).quanta += quanta
