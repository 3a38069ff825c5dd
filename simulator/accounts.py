"""What runs come to: weights for the energy meter, busy times, how often each piece ran, what its time is made of."""

from collections.abc import Callable

from partita.simulator.meter import Meter
from partita.simulator.program import NO_UNIT, PART_OF, PARTS, PPM, Program
from partita.simulator.rows import Rows
from partita.simulator.tables import Reading, Table
from partita.simulator.work import OddPiece, PieceTotals, Run

WAKE, CONTENTION, THROTTLING = PART_OF["wake"], PART_OF["contention"], PART_OF["throttling"]
Recorder = Callable[[Run, int, int, int, float], None]
"""Takes a run, a piece, its start and end, and what contention cost it in ns."""


class Accounts:
    """Books on the engine's work, by program, piece and track."""

    def __init__(self, meter: Meter, rows: Rows, tracks: int, units: int, record: Recorder | None) -> None:
        self.events = 0
        """Pieces that have ended, however many in one go."""
        self.busy_ns = [0] * tracks
        self.counts: dict[Program, dict[Table, list[int]]] = {}
        """How often the pieces of a table ran within slices, as differences from piece to piece."""
        self.open_totals: dict[Program, list[PieceTotals]] = {}
        self.open_parts: dict[Program, list[int]] = {}
        """Times by PARTS that no table counts, of programs whose units take turns."""
        self.wake_quanta = 0
        self.meter = meter
        self.rows = rows
        self._units = units
        self._record = record

    @property
    def records(self) -> bool:
        """Whether somebody is told of every piece."""
        return self._record is not None

    def add_program(self, program: Program) -> None:
        """Open books for a program."""
        self.open_totals[program] = [PieceTotals() for _ in program.pieces]
        self.open_parts[program] = [0] * len(PARTS)
        self.counts[program] = {}

    def parts_of(self, run: Run) -> list[int]:
        """Where the times of a run go: its task's, where units run side by side, else its program's."""
        return self.open_parts[run.table.program] if run.log is None else run.log.parts_ns

    # Energy and busy times

    def book(self, run: Run, now_ns: int, *, overlaps: bool) -> None:
        """What a slice has drawn since it was booked last."""
        offset, extra_ns = run.position(now_ns)
        self._draw(run, run.table.reading(offset), overlaps=overlaps)
        self.draw_extra(run, extra_ns, overlaps=overlaps)

    def _draw(self, run: Run, reading: Reading, *, overlaps: bool) -> None:
        self.meter.add(reading, run.seen, overlaps=overlaps)
        for place in range(self._units + 2, len(reading)):
            if reading[place] != run.seen[place]:
                self.busy_ns[place - self._units - 2] += reading[place] - run.seen[place]
        run.seen = reading

    def draw_extra(self, run: Run, extra_ns: int, *, overlaps: bool) -> None:
        """The time that contention cost: the unit, of which a slice has but one that is slowed, waits for memory."""
        more_ns = extra_ns - run.extra_seen_ns
        if not more_ns:
            return
        run.extra_seen_ns = extra_ns
        table, last = run.table, run.end - 1
        self.busy_ns[run.track] += more_ns
        if table.stalled_ppm[last]:
            self.meter.add_weight(table.program.pieces[last].unit, table.stalled_ppm[last] * more_ns, overlaps=overlaps)
        if table.host_works[last]:
            self.meter.add_host(more_ns)

    def book_wake(self, run: Run, now_ns: int) -> None:
        """A unit has been waking up."""
        woken_ns, run.wake_ns = now_ns - run.wake_ns, now_ns
        self.busy_ns[run.track] += woken_ns
        self.meter.add_host(woken_ns)
        self.wake_quanta += woken_ns * self.meter.host_uw * PPM

    # Slices and pieces

    def close(self, run: Run, now_ns: int, *, overlaps: bool) -> None:
        """A slice has ended."""
        table, first = run.table, run.first
        if run.seen is table.readings[first] and run.odd is None and not overlaps:
            weights, host_ns, size, busy = table.drawn(first, run.end)
            self.meter.add_slice(weights, host_ns, size)
            for track, time_ns in busy:
                self.busy_ns[track] += time_ns
        else:
            self._draw(run, table.readings[run.end], overlaps=overlaps)
        if run.extra_ns != run.extra_seen_ns:
            self.draw_extra(run, run.extra_ns, overlaps=overlaps)
        if run.odd is None:
            self.count(run, run.end)
        else:
            self._end_odd(run, run.odd, now_ns)

    def count(self, run: Run, end: int) -> None:
        """The pieces up to `end` have ended."""
        table, first = run.table, run.first
        if first == end:
            return
        tables = self.counts[table.program]
        counts = tables.get(table)
        if counts is None:
            counts = tables[table] = [0] * (len(table.program.pieces) + 1)
        counts[first] += 1
        counts[end] -= 1
        self.events += end - first
        if run.log is not None:
            for part in range(len(PARTS)):
                run.log.parts_ns[part] += table.total_parts_ns[end][part] - table.total_parts_ns[first][part]
            run.log.parts_ns[CONTENTION] += run.extra_ns
        if self._record is not None:
            self._tell(run, end, self._record)

    def _tell(self, run: Run, end: int, record: Recorder) -> None:
        table, extras = run.table, run.extras
        time_ns = run.base_ns - run.extra_ns + table.at_ns[run.first]
        for piece in range(run.first, end):
            extra_ns, begin_ns = extras[piece], time_ns
            time_ns += table.at_ns[piece + 1] - table.at_ns[piece] + extra_ns
            record(run, piece, begin_ns, time_ns, table.work_ns[piece] - table.free_work_ns[piece] + extra_ns)
            if extra_ns:
                run.row.extra_ns[piece] += extra_ns

    def open(self, run: Run, now_ns: int) -> OddPiece:
        """What is known of the piece under way in a slice that is in the books up to now, before its table changes."""
        offset, extra_ns = run.position(now_ns)
        table, odd = run.table, run.odd
        piece = table.piece_at(offset)
        late_ns = extra_ns - run.extra_ns
        if odd is None:
            at_ns, wake_ns = table.at_ns[piece], dict(table.wakes).get(piece, 0)
            odd = OddPiece(now_ns - (offset - at_ns) - late_ns + wake_ns, at_ns, table.readings[piece])
            self._move_wake(run, wake_ns, min(wake_ns, offset - at_ns), piece)
        self._charge(run, odd, piece, late_ns)
        odd.waited_ns += late_ns + self._waited_ns(table, piece, odd.offset_ns, offset)
        return odd

    def _move_wake(self, run: Run, wake_ns: int, woken_ns: int, piece: int) -> None:
        """Waking up, of which `woken_ns` are over, belongs to no piece."""
        quanta = woken_ns * self.meter.host_uw * PPM
        self.wake_quanta += quanta
        self.open_totals[run.table.program][piece].quanta -= quanta
        self.parts_of(run)[WAKE] += wake_ns

    def _end_odd(self, run: Run, odd: OddPiece, now_ns: int) -> None:
        """It is made of what it would have taken at top clocks, and what contention cost it; the rest is throttling."""
        table, index = run.table, run.piece
        program, elapsed_ns = table.program, now_ns - odd.begin_ns
        self._charge(run, odd, index, run.extra_ns)
        piece, totals = program.pieces[index], self.open_totals[program][index]
        waited = run.extra_ns + odd.waited_ns + self._waited_ns(table, index, odd.offset_ns, table.at_ns[run.end])
        contended = round(waited)
        totals.count += 1
        totals.time_ns += elapsed_ns
        self.events += 1
        if self._record is not None:
            self._record(run, index, odd.begin_ns, now_ns, waited)
        parts = self.parts_of(run)
        parts[piece.fixed_part] += piece.fixed_ns
        parts[piece.work_part] += piece.work_ns
        parts[CONTENTION] += contended
        parts[THROTTLING] += elapsed_ns - piece.fixed_ns - piece.work_ns - contended
        run.odd = None

    def _charge(self, run: Run, odd: OddPiece, piece: int, extra_ns: int) -> None:
        """What a piece has drawn between two readings counts as its own."""
        units, table, meter, start = self._units, run.table, self.meter, odd.start
        drawn = [now - before for now, before in zip(run.seen, start, strict=True)]
        if table.stalled_ppm[piece]:
            drawn[table.program.pieces[piece].unit] += table.stalled_ppm[piece] * extra_ns
        if table.host_works[piece]:
            drawn[units] += extra_ns
        quanta = sum(drawn[unit] * meter.dynamic_uw[unit] for unit in range(units))
        quanta += drawn[units] * meter.host_uw * PPM + drawn[units + 1] * meter.quanta_per_byte
        self.open_totals[table.program][piece].quanta += quanta

    @staticmethod
    def _waited_ns(table: Table, piece: int, first_ns: int, end_ns: int) -> float:
        """What the background's traffic costs a piece between two offsets."""
        work_ns, free_ns = table.work_ns[piece], table.free_work_ns[piece]
        if work_ns == free_ns:
            return 0.0
        begin_ns = table.at_ns[piece + 1] - work_ns
        return max(0, end_ns - max(first_ns, begin_ns)) * (1 - free_ns / work_ns)

    # Sums

    def settled(self, program: Program) -> tuple[list[PieceTotals], list[int]]:
        """What all runs of a program have come to: by piece, and by PARTS where its units take turns."""
        rows = [PieceTotals(row.count, row.time_ns, row.quanta) for row in self.open_totals[program]]
        parts = list(self.open_parts[program])
        for table, differences in self.counts[program].items():
            row = self.rows.of.get(table)
            extras = [0] * len(rows) if row is None else row.extra_ns
            self._add_table(rows, parts, table, differences, extras)
        return rows, parts

    def _add_table(
        self, rows: list[PieceTotals], parts: list[int], table: Table, differences: list[int], extras: list[int]
    ) -> None:
        count, meter = 0, self.meter
        for index, piece in enumerate(table.program.pieces):
            count += differences[index]
            if not count:
                continue
            fixed, work, extra = table.fixed_ns[index], table.work_ns[index], extras[index]
            host_ns = count * fixed + (count * work + extra if table.host_works[index] else 0)
            quanta = host_ns * meter.host_uw * PPM + count * piece.dram_bytes * meter.quanta_per_byte
            if piece.unit != NO_UNIT:
                weight = count * table.weight(index, work, 1.0) + extra * table.stalled_ppm[index]
                quanta += weight * meter.dynamic_at_uw(piece.unit, table.state.steps[piece.unit])
            _add(rows[index], count, count * (fixed + work) + extra, quanta)
            if table.program.sequential:
                parts[CONTENTION] += extra
                for part, time_ns in enumerate(table.parts_ns[index]):
                    parts[part] += count * time_ns

    def fold(self, program: Program, whole: Program) -> None:
        """Close the books of a program that ran once; what it came to is that of `whole`, of which it is a variant."""
        rows, parts = self.settled(program)
        for row, found in zip(self.open_totals[whole], rows, strict=True):
            _add(row, found.count, found.time_ns, found.quanta)
        for part, time_ns in enumerate(parts):
            self.open_parts[whole][part] += time_ns
        for table in self.counts.pop(program):
            self.rows.of.pop(table, None)
        del self.open_totals[program], self.open_parts[program]


def _add(row: PieceTotals, count: int, time_ns: int, quanta: int) -> None:
    row.count += count
    row.time_ns += time_ns
    row.quanta += quanta
