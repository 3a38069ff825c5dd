"""Laws of the engine, over random plans that run again and again on one phone."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.graph.plan import Plan
from partita.simulator.memory import MemoryLimits
from partita.simulator.program import NO_UNIT
from tests.simulator.phones import Diary, phone, start_at
from tests.simulator.plans import ROOMY, TIGHT, Fees, machine, make_plan, plans, step

LAWS = settings(max_examples=40, deadline=None, derandomize=True)
ROUNDING_NS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Plans, and when an inference of which begins."""

    plans: tuple[Plan, ...]
    starts: tuple[tuple[int, int], ...]
    memory: MemoryLimits
    sequential: bool

    def run(self, *, in_one_go: bool) -> Diary:
        diary = phone(self.plans, machine(self.memory), sequential=self.sequential, in_one_go=in_one_go)
        for number, (time_ns, program) in enumerate(self.starts):
            start_at(diary, time_ns, number, program)
        diary.engine.run()
        return diary


@st.composite
def cases(draw: st.DrawFn) -> Case:
    found = tuple(draw(st.lists(plans(most_operators=6), min_size=1, max_size=2)))
    start = st.tuples(st.integers(0, 12_000), st.integers(0, len(found) - 1))
    return Case(
        plans=found,
        starts=tuple(draw(st.lists(start, min_size=1, max_size=4))),
        memory=draw(st.sampled_from((ROOMY, TIGHT))),
        sequential=draw(st.booleans()),
    )


@LAWS
@given(cases())
def test_going_on_in_one_go_changes_nothing(case: Case) -> None:
    slices, pieces = case.run(in_one_go=True), case.run(in_one_go=False)
    assert slices.ended_ns.keys() == pieces.ended_ns.keys()
    for number, end_ns in slices.ended_ns.items():
        assert end_ns == pytest.approx(pieces.ended_ns[number], abs=ROUNDING_NS * len(pieces.intervals))
    assert slices.engine.accounts.events == pieces.engine.accounts.events == len(pieces.intervals)


@LAWS
@given(cases(), st.booleans())
def test_every_law_holds(case: Case, in_one_go: bool) -> None:
    diary = case.run(in_one_go=in_one_go)
    check_exclusion(diary)
    check_causality(diary, case)
    check_work(diary, case)
    check_diligence(diary, case)


def check_exclusion(diary: Diary) -> None:
    """A track does one thing at a time, and its busy time is that of its intervals."""
    for index, track in enumerate(diary.tracks):
        spans = sorted((start, end) for _, place, *_, start, end in diary.intervals if place == track)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        assert diary.engine.accounts.busy_ns[index] == sum(end - start for start, end in spans)


def check_causality(diary: Diary, case: Case) -> None:
    """Nothing begins before its inference, or before what it waits for has ended."""
    for number, (time_ns, which) in enumerate(case.starts):
        program = diary.programs[which]
        spans = _in_order(diary, number, case)
        assert all(start >= time_ns for start, _ in spans)
        assert diary.ended_ns[number] == max(end for _, end in spans)
        for piece, tasks in enumerate(program.releases):
            for task in tasks:
                assert spans[program.tasks[task].first][0] >= spans[piece][1]


def check_work(diary: Diary, case: Case) -> None:
    """No piece takes less than alone; where the memory suffices, none takes more."""
    for number, (_, which) in enumerate(case.starts):
        for piece, (start, end) in zip(diary.programs[which].pieces, _in_order(diary, number, case), strict=True):
            alone = piece.fixed_ns + piece.work_ns
            assert end - start >= alone
            if case.memory is ROOMY or piece.demand_gb_per_s == 0:
                assert end - start == alone


def check_diligence(diary: Diary, case: Case) -> None:
    """No track is idle while a task that waits for nothing else could use it: no task starts late."""
    for number, (time_ns, which) in enumerate(case.starts):
        program, spans = diary.programs[which], _in_order(diary, number, case)
        for index, task in enumerate(program.tasks):
            needs = [piece for piece, tasks in enumerate(program.releases) if index in tasks]
            ready = max((spans[piece][1] for piece in needs), default=time_ns)
            start = spans[task.first][0]
            track = diary.tracks[task.track]
            busy = sorted(
                (a, b) for _, place, *_, a, b in diary.intervals if place == track and b > ready and a < start
            )
            reached = ready
            for a, b in busy:
                assert a <= reached
                reached = max(reached, b)
            assert reached >= start


def _in_order(diary: Diary, number: int, case: Case) -> list[tuple[int, int]]:
    """(start, end) of each piece of an inference."""
    program = diary.programs[case.starts[number][1]]
    left = [entry for entry in diary.intervals if entry[0] == number]
    left.sort(key=lambda entry: entry[-2:])
    spans = []
    for piece, task in zip(program.pieces, program.task_of, strict=True):
        track, segment = diary.tracks[program.tasks[task].track], program.tasks[task].segment
        entry = next(e for e in left if e[1:5] == (track, piece.kind, piece.name, segment))
        left.remove(entry)
        spans.append(entry[-2:])
    assert not left
    return spans


def test_two_inferences_pipeline_across_units() -> None:
    steps = [step("a", "cpu", "x", 10.0), step("b", "npu", "a", 10.0)]
    diary = phone([make_plan(steps, [], Fees(sync_us=1.0))], machine(), sequential=True)
    for number in range(3):
        start_at(diary, 0, number)
    diary.engine.run()
    assert diary.ended_ns == {0: 21_000, 1: 31_000, 2: 41_000}


def test_a_higher_priority_goes_first_but_interrupts_nothing() -> None:
    plan = make_plan([step("a", "cpu", "x", 10.0)], [])
    diary = phone([plan, plan, plan], machine(), sequential=True)
    for number, (time_ns, program) in enumerate(((0, 0), (1_000, 2), (2_000, 1))):
        start_at(diary, time_ns, number, program, key=(float(program), 0.0, 0.0))
    diary.engine.run()
    assert diary.ended_ns == {0: 10_000, 2: 20_000, 1: 30_000}


def test_what_runs_alone_is_one_event_until_another_comes() -> None:
    steps = [step(f"n{i}", "cpu" if i % 2 else "npu", f"n{i - 1}" if i else "x", 10.0) for i in range(10)]
    diary = phone([make_plan(steps, [])], machine(), sequential=True)
    start_at(diary, 0, 0)
    start_at(diary, 45_000, 1)
    diary.engine.run()
    assert diary.ended_ns[0] == 100_000
    assert all(program.tasks[0].unit == NO_UNIT for program in diary.programs)
