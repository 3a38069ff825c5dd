"""Links that carry one tensor at a time: against every order of operators and copies, and against the simulator."""

import itertools
import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import ProblemError
from partita.partitioner.engines.carrying import Copy
from partita.partitioner.engines.outcome import Limits, Outcome
from partita.partitioner.engines.solve import solve
from partita.partitioner.instance import Instance, Link, Operator, Tensor, Unit
from partita.simulator.run import simulate_on
from tests.partitioner.instances import choices, instances
from tests.simulator.plans import Fees, machine, make_plan, step

NEAR = pytest.approx
EXACT = Limits(gap=0.0, time_s=20.0)


@st.composite
def linked(draw: st.DrawFn) -> Instance:
    """Small instances in which every pair of units, or only pairs with the first, or each pair alone, has a link."""
    instance = draw(instances(most_operators=4, groups=False, calls=draw(st.booleans())))
    count = len(instance.units)
    pairs = [(a, b) for a in range(count) for b in range(count) if a != b]
    kind = draw(st.sampled_from(["bus", "star", "apart"]))
    if kind == "apart":
        return replace(instance, links=tuple(Link(f"{a}-{b}", ((a, b),)) for a, b in pairs))
    return replace(instance, links=(Link("bus", tuple(p for p in pairs if kind == "bus" or 0 in p)),))


Job = tuple[int, float, list[tuple[int, float]]]
"""The unit or link that it keeps busy, for how long, and (job that comes before, delay) of all that it needs."""


def jobs_of(instance: Instance, choice: tuple[int, ...]) -> list[Job]:
    """Operators, then copies over links."""
    copies: dict[tuple[int, int], int] = {}
    jobs: list[Job] = [(unit, float(instance.times[i, unit]), []) for i, unit in enumerate(choice)]
    for producer, consumer, tensor in instance.edges:
        a, b = choice[producer], choice[consumer]
        time = float(instance.moves[tensor][a, b])
        if a == b or not time or instance.link_table[a][b] < 0:
            jobs[consumer][2].append((producer, time))
            continue
        if (tensor, b) not in copies:
            copies[tensor, b] = len(jobs)
            jobs.append((len(instance.units) + instance.link_table[a][b], time, [(producer, 0.0)]))
        jobs[consumer][2].append((copies[tensor, b], 0.0))
    return jobs


def shortest(instance: Instance, choice: tuple[int, ...], best: float = inf) -> float:
    """The least end, if below `best`, over all orders in which operators and copies begin as soon as they can.

    An operator that reads from elsewhere what arrived after its unit's last call began waits for a call.
    """
    jobs = jobs_of(instance, choice)

    def go_on(ends: dict[int, float], free: dict[int, float], called: dict[int, float]) -> None:
        nonlocal best
        if max(ends.values(), default=0.0) >= best:
            return
        if len(ends) == len(jobs):
            best = max(ends.values())
        for number, (place, time, needs) in enumerate(jobs):
            if number not in ends and all(need in ends for need, _ in needs):
                start = max([free.get(place, 0.0), *(ends[need] + delay for need, delay in needs)])
                elsewhere = [ends[need] + delay for need, delay in needs if jobs[need][0] != place]
                calls = called
                if number < len(choice) and max(elsewhere, default=-1.0) > called.get(place, -1.0):
                    calls = {**called, place: start}
                    start += instance.units[place].call
                go_on({**ends, number: start + time}, {**free, place: start + time}, calls)

    go_on({}, {}, {})
    return best


@settings(max_examples=40, deadline=None, derandomize=True)
@given(linked())
def test_no_schedule_over_links_is_shorter_than_the_one_found(instance: Instance) -> None:
    found = solve(instance, "makespan", EXACT)
    best = inf
    for choice in choices(instance):
        best = shortest(instance, choice, best)
    assert found.bound <= best + 1e-6
    assert found.objective == NEAR(best, abs=1e-5)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(linked())
def test_links_carry_one_tensor_at_a_time_and_readers_wait_for_it(instance: Instance) -> None:
    found = solve(instance, "makespan", Limits(gap=0.01, time_s=2.0))
    spans: dict[int, list[tuple[float, float]]] = {}
    arrivals = {(copy.tensor, copy.unit): copy for copy in found.copies}
    for copy in found.copies:
        producer = instance.tensors[copy.tensor].producer
        assert copy.start >= found.ends[producer] - 1e-9
        assert copy.end - copy.start == NEAR(float(instance.moves[copy.tensor][found.choice[producer], copy.unit]))
        spans.setdefault(instance.link_table[found.choice[producer]][copy.unit], []).append((copy.start, copy.end))
    for producer, consumer, tensor in instance.edges:
        a, b = found.choice[producer], found.choice[consumer]
        move = float(instance.moves[tensor][a, b])
        is_carried = a != b and move > 0 and instance.link_table[a][b] >= 0
        arrival = arrivals[tensor, b].end if is_carried else found.ends[producer] + move
        assert found.starts[consumer] >= arrival - 1e-9
    for busy in spans.values():
        assert all(end <= start + 1e-9 for (_, end), (start, _) in itertools.pairwise(sorted(busy)))


def phone(seed: int) -> Instance:
    """A cpu, a gpu and an npu that meet at the cpu; whole microseconds; every tensor takes 3 on its way."""
    chance = random.Random(seed)
    units = (Unit("cpu"), Unit("gpu"), Unit("npu"))
    times = [(9.0 * t, 4.0 * t, 2.0 * t if chance.random() < 0.8 else inf) for t in (1, 2, 1, 3, 2, 1, 2)]
    operators = tuple(Operator(f"o{i}", row) for i, row in enumerate(times))
    readers: dict[int, set[int]] = {}
    for i in range(1, len(times)):
        for producer in chance.sample(range(i), k=min(i, chance.randint(1, 2))):
            readers.setdefault(producer, set()).add(i)
    move = ((0.0, 3.0, 3.0), (3.0, 0.0, 3.0), (3.0, 3.0, 0.0))
    tensors = tuple(Tensor(p, tuple(sorted(c)), move=move) for p, c in sorted(readers.items()))
    links = tuple(Link(f"{a}-{b}", ((a, b),)) for a in range(3) for b in range(3) if a != b)
    return Instance("phone", "us", units, operators, tensors, links)


def simulated_us(instance: Instance, found: Outcome) -> float:
    """The same placement and order on the simulator, each operator a segment."""
    reads: dict[int, list[str]] = {}
    for producer, consumer, _ in instance.edges:
        reads.setdefault(consumer, []).append(instance.operators[producer].name)
    order = sorted(found.order, key=lambda i: (found.starts[i], found.ends[i], i))
    steps = []
    for i in order:
        unit = found.choice[i]
        inputs = " ".join(reads.get(i, []))
        made = step(instance.operators[i].name, instance.units[unit].name, inputs, instance.operators[i].times[unit])
        steps.append(replace(made, new_segment=True))
    plan = make_plan(steps, (), Fees(copy_us=3.0))
    return simulate_on(plan, machine(), overlap=True).latency_us


def takes_turns(instance: Instance, found: Outcome) -> bool:
    """Whether no link rests, or carries what is needed later, while another tensor waits for it."""

    def needed(copy: Copy) -> float:
        readers = instance.tensors[copy.tensor].consumers
        return min(found.starts[c] for c in readers if found.choice[c] == copy.unit)

    def link(copy: Copy) -> tuple[int, int]:
        return found.choice[instance.tensors[copy.tensor].producer], copy.unit

    def made(copy: Copy) -> float:
        return found.ends[instance.tensors[copy.tensor].producer]

    pairs = [(a, b) for a in found.copies for b in found.copies if a != b and link(a) == link(b)]
    in_turn = all(not (made(b) <= a.start < b.start and needed(b) <= needed(a)) for a, b in pairs)
    busy = all(
        sum(min(a.end, b.start) - max(a.start, made(b)) for a in found.copies if link(a) == link(b) and a.end > made(b)
            and a.start < b.start) == NEAR(b.start - made(b))
        for b in found.copies
    )  # fmt: skip
    return in_turn and busy


def test_the_simulator_takes_as_long_and_never_less() -> None:
    agreed = 0
    for seed in range(16):
        instance = phone(seed)
        found = solve(instance, "makespan", EXACT)
        assert found.status == "optimal"
        assert simulated_us(instance, found) >= found.objective - 1e-3
        if takes_turns(instance, found):
            agreed += 1
            assert simulated_us(instance, found) == NEAR(found.objective, abs=1e-3)
    assert agreed >= 10


def test_two_tensors_that_leave_at_once_arrive_one_after_the_other() -> None:
    """Two readers on another unit each wait for 4; one link makes the second wait for 8."""
    units = (Unit("a"), Unit("b"), Unit("c"))
    operators = (Operator("0", (1.0, inf, inf)), Operator("1", (inf, 1.0, inf)), Operator("2", (inf, inf, 1.0)))
    move = ((0.0, 4.0, 4.0), (4.0, 0.0, 4.0), (4.0, 4.0, 0.0))
    free = Instance("fork", "us", units, operators, (Tensor(0, (1, 2), move=move),))
    assert solve(free, "makespan", EXACT).objective == 1 + 4 + 1
    bus = replace(free, links=(Link("bus", ((0, 1), (0, 2))),))
    found = solve(bus, "makespan", EXACT)
    assert found.objective == NEAR(1 + 4 + 4 + 1)
    assert found.bound == NEAR(1 + 4 + 4 + 1)
    assert [copy.start for copy in found.copies] == [NEAR(1.0), NEAR(5.0)]
    apart = replace(free, links=(Link("one", ((0, 1),)), Link("two", ((0, 2),))))
    assert solve(apart, "makespan", EXACT).objective == 1 + 4 + 1


def test_throughput_refuses_links() -> None:
    with pytest.raises(ProblemError, match="throughput knows no links"):
        solve(phone(0), "throughput", EXACT)
