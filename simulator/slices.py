"""How runs go on in slices: from which piece, by which table, in one go or as a flow, and what is booked of them."""

from collections import defaultdict

from partita.simulator.accounts import Accounts
from partita.simulator.events import Act, Events
from partita.simulator.flows import Flows
from partita.simulator.speeds import Speeds
from partita.simulator.tables import State, Table
from partita.simulator.work import FLOW, SLICE, WAKING, Run, resume


class Slices:
    """The runs that occupy tracks, each in the middle of a slice or waking up its unit."""

    def __init__(self, events: Events, flows: Flows, speeds: Speeds, accounts: Accounts, *, in_one_go: bool) -> None:
        self.runs: list[Run] = []
        self.ended: Act = lambda run, version: None
        """Called at the end of what goes in one go, and of waking up, with the version it was begun with."""
        self.never_short = False
        """Whether the memory suffices for everything that can ever run at the same time."""
        self.counts_overlap = accounts.meter.counts_overlap
        """Whether units at work together draw something else than the sum of each alone."""
        self.at_work = 0
        """Units that run tasks, where that makes a difference."""
        self._events, self._flows, self._speeds, self._accounts = events, flows, speeds, accounts
        self._in_one_go = in_one_go

    def look_ahead(self) -> None:
        """Find out whether the memory can ever be short for the programs that are known."""
        self.never_short = self._in_one_go and self._speeds.never_short(tuple(self._accounts.open_parts))

    # From the beginning

    def begin(self, run: Run) -> None:
        """Start a slice with the piece `run.piece`: in one go if nothing can disturb it, else as a flow."""
        piece = run.piece
        program = run.table.program
        table = run.table = self._speeds.table(program)
        goes = self._goes(table, piece)
        if not goes:
            table = run.table = self._speeds.free_table(program)
        run.first, run.end, run.seen = piece, program.stop[piece], table.readings[piece]
        run.base_ns = self._events.now_ns - table.at_ns[piece]
        self._go(run, in_one_go=goes)

    def is_current(self, run: Run) -> bool:
        """Whether a run goes by the table of the clocks, loads and traffic that hold now."""
        program = run.table.program
        return run.table is (self._speeds.free_table(program) if run.phase == FLOW else self._speeds.table(program))

    def _goes(self, table: Table, piece: int) -> bool:
        """Whether nothing can slow the slice that begins with a piece, whatever begins beside it."""
        return self._in_one_go and (self.never_short or table.most_demand[piece] == 0)

    def _go(self, run: Run, *, in_one_go: bool) -> None:
        """Run a slice from where it is."""
        run.version += 1
        run.extra_ns = run.extra_seen_ns = 0
        if self._accounts.records or run.odd is not None:
            run.extras = defaultdict(int)
        if in_one_go:
            run.phase = SLICE
            self._events.at(run.base_ns + run.table.at_ns[run.end], self.ended, run, run.version)
            return
        self._flows.join(run, self._events.now_ns)
        if not self._accounts.records and run.odd is None:
            run.extras = run.row.extra_ns

    def wake(self, run: Run, wake_ns: int) -> None:
        """Its unit wakes up first."""
        now_ns = self._events.now_ns
        run.phase, run.wake_ns = WAKING, now_ns
        run.version += 1
        self._events.at(now_ns + wake_ns, self.ended, run, run.version)

    # In the middle

    def change(self, state: State, background_gb_per_s: float) -> None:
        """Other clocks, loads or background traffic from now on; what runs, and is booked, goes on at its new speed."""
        self._speeds.change(state, background_gb_per_s)
        self._flows.change(background_gb_per_s, self._events.now_ns)
        self.look_ahead()
        for run in list(self.runs):
            if run.phase != WAKING and not run.solo:
                self._move(run)

    def narrow(self, run: Run, piece: int) -> None:
        """A run that had the machine to itself goes on with the slice of the piece that is under way."""
        table, program = run.table, run.table.program
        self._accounts.count(run, piece)
        run.first, run.piece, run.end = piece, piece, program.stop[piece]
        goes = self._goes(table, piece)
        if table.wakes or not (goes or table is self._speeds.free_table(program)):
            self._move(run)
        else:
            self._go(run, in_one_go=goes)

    def _move(self, run: Run) -> None:
        """Go on by the table that holds now, from the middle of a slice that is in the books."""
        old, now_ns = run.table, self._events.now_ns
        offset, _ = run.position(now_ns)
        piece = old.piece_at(offset)
        if piece >= run.end:
            return  # it ends at this very moment
        odd = self._accounts.open(run, now_ns)
        if run.odd is None:
            self._accounts.count(run, piece)
        if run.phase == FLOW:
            self._flows.leave(run)
        wake_ns = dict(old.wakes).get(piece, 0)
        into_ns = offset - old.at_ns[piece] - wake_ns
        run.version += 1
        run.first = run.piece = piece
        if into_ns < 0:
            self.wake(run, -into_ns)
            return
        run.odd = odd
        table = self._speeds.table(old.program)
        goes = self._goes(table, piece)
        if not goes:
            table = self._speeds.free_table(old.program)
        resume(run, odd, table, into_ns, wake_ns, now_ns)
        self._go(run, in_one_go=goes)

    # The books

    def close(self, run: Run) -> None:
        """Book the rest of a slice that has ended."""
        self._accounts.close(run, self._events.now_ns, overlaps=self._overlaps())

    def account(self) -> None:
        """Book everything that runs, up to now."""
        now_ns = self._events.now_ns
        for run in self.runs:
            if run.phase == WAKING:
                self._accounts.book_wake(run, now_ns)
            else:
                self._accounts.book(run, now_ns, overlaps=self._overlaps())

    def count_at_work(self, by: int) -> None:
        """What runs is booked before several units are at work, or no longer are."""
        after = self.at_work + by
        if (after > 1) != (self.at_work > 1):
            self.account()
        self.at_work = after

    def _overlaps(self) -> bool:
        """Whether several units are at work, and that makes a difference."""
        return self.counts_overlap and self.at_work > 1
