"""The engines against trying everything, and against one another."""

import itertools
import random
from dataclasses import replace
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partita.errors import ProblemError
from partita.partitioner.engines.balance import Balance
from partita.partitioner.engines.balance_program import BalanceProgram
from partita.partitioner.engines.budget import Budget
from partita.partitioner.engines.ideal_splits import difference_loads, ideals_of, serial_split
from partita.partitioner.engines.max_load_bound import set_load
from partita.partitioner.engines.nets import nets_of
from partita.partitioner.engines.outcome import Limits, Outcome
from partita.partitioner.engines.path_bound import path_bound
from partita.partitioner.engines.solve import solve
from partita.partitioner.engines.subgraph_bound import core_times, separator_bound
from partita.partitioner.engines.subgraph_latency import LatencyModel
from partita.partitioner.engines.sum_program import solve_program
from partita.partitioner.engines.sums import by_elimination
from partita.partitioner.instance import Instance, Operator, Tensor, Unit
from tests.partitioner.instances import choices, instances, largest_load, makespan, shuffled, total

EXACT = Limits(gap=0.0, time_s=20.0)
NEAR = pytest.approx


def chain(count: int, units: tuple[Unit, ...], move: float = 1.0) -> Instance:
    """count operators in a row, of time 1 everywhere."""
    operators = tuple(Operator(str(i), (1.0,) * len(units), memory=1.0) for i in range(count))
    sides = (move,) * len(units)
    tensors = tuple(Tensor(i, (i + 1,), sides, sides) for i in range(count - 1))
    return Instance("chain", "ms", units, operators, tensors)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(instances(calls=True))
def test_elimination_and_the_program_find_the_least_sum(instance: Instance) -> None:
    best = min(total(instance, choice) for choice in choices(instance))
    nets = nets_of(instance)
    unit_of, value = by_elimination(nets)
    assert value == NEAR(best)
    assert total(instance, nets.choice(unit_of)) == NEAR(best)
    program = solve_program(nets, EXACT, None)
    assert program.objective == NEAR(best, abs=1e-6)
    assert total(instance, program.choice) == NEAR(best, abs=1e-6)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances(memory=True))
def test_the_least_sum_keeps_the_memory(instance: Instance) -> None:
    found = solve(instance, "sum", EXACT)
    assert found.objective == NEAR(min(total(instance, choice) for choice in choices(instance)), abs=1e-6)
    assert found.choice in set(choices(instance))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(instances(memory=True, most_operators=5))
def test_the_bound_of_the_largest_load_holds_and_the_load_is_what_it_says(instance: Instance) -> None:
    found = solve(instance, "throughput", Limits(gap=1e-4, time_s=5.0))
    best = min(largest_load(instance, choice) for choice in choices(instance))
    assert found.bound <= best + 1e-9 <= found.objective + 2e-9
    assert largest_load(instance, found.choice) == NEAR(found.objective)
    assert found.choice in set(choices(instance))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(instances(memory=True, most_operators=5))
def test_where_units_differ_the_program_finds_the_least_largest_load(instance: Instance) -> None:
    nets = nets_of(instance)
    every = {choice: largest_load(instance, choice) for choice in choices(instance)}
    worst = max(every, key=lambda choice: every[choice])
    start = [worst[members[0]] for members in instance.groups]
    unit_of, bound = BalanceProgram(nets).solve(start, 0.0, 0.0, 10.0)
    best = min(every.values())
    assert max(nets.loads(unit_of)) == NEAR(best, abs=1e-4)
    assert bound <= best + 1e-9


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances(memory=True))
def test_no_load_is_less_than_weighted_sums_say(instance: Instance) -> None:
    balance = Balance(nets_of(instance))
    balance.run(1e-6, Budget(inf, inf))
    assert balance.bound <= min(largest_load(instance, choice) for choice in choices(instance)) + 1e-9


def test_weighted_sums_nearly_settle_a_long_chain_on_units_that_differ() -> None:
    chance = random.Random(0)
    operators = tuple(Operator(str(i), (chance.uniform(1, 2), chance.uniform(1, 3))) for i in range(80))
    tensors = tuple(Tensor(i, (i + 1,), (0.3, 0.3), (0.2, 0.2)) for i in range(79))
    found = solve(Instance("chain", "ms", (Unit("a"), Unit("b")), operators, tensors), "throughput", Limits(gap=0.01))
    assert found.status == "optimal"
    assert len(found.log) == 1


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances(most_operators=5) | instances(most_operators=5, calls=True))
def test_no_schedule_is_shorter_than_the_one_found(instance: Instance) -> None:
    found = solve(instance, "makespan", Limits(gap=1e-6, time_s=10.0))
    best = min(makespan(instance, choice) for choice in choices(instance))
    assert found.bound <= best + 1e-6
    assert found.objective >= best - 1e-6
    if found.status == "optimal":
        assert found.objective == NEAR(best, abs=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(instances(most_operators=12))
def test_schedules_respect_units_arrivals_and_groups(instance: Instance) -> None:
    found = solve(instance, "makespan", Limits(gap=0.01, time_s=2.0))
    assert all(len({found.choice[i] for i in members}) == 1 for members in instance.groups)
    assert max(found.ends) == NEAR(found.objective)
    for producer, consumer, tensor in instance.edges:
        move = float(instance.moves[tensor][found.choice[producer], found.choice[consumer]])
        assert found.starts[consumer] >= found.ends[producer] + move - 1e-9
    for unit in range(len(instance.units)):
        spans = sorted((found.starts[i], found.ends[i]) for i, u in enumerate(found.choice) if u == unit)
        assert all(end <= start + 1e-9 for (_, end), (start, _) in itertools.pairwise(spans))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances(most_operators=4, memory=True))
def test_a_schedule_keeps_the_memory(instance: Instance) -> None:
    """Unit 0 has room for all."""
    found = solve(instance, "makespan", Limits(gap=1e-6, time_s=10.0))
    assert found.choice in set(choices(instance))
    assert found.bound <= min(makespan(instance, choice) for choice in choices(instance)) + 1e-6


@settings(max_examples=40, deadline=None, derandomize=True)
@given(instances(most_operators=6, memory=True, callers=True))
def test_a_sample_with_subgraphs_takes_no_less_than_its_bound(instance: Instance) -> None:
    found = solve(instance, "latency", Limits(gap=0.01, time_s=2.0))
    assert found.bound <= found.objective
    assert found.objective < inf
    assert found.choice in set(choices(instance))
    if len(instance.units) > 1:
        assert max(found.ends) == NEAR(found.objective)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(instances(most_operators=6, memory=True, callers=True))
def test_no_placement_is_through_sooner_than_the_bound_by_separators(instance: Instance) -> None:
    model = LatencyModel(instance)
    bound = separator_bound(model.nets, model.callers, model.free)
    best = min(model.latency([choice[g[0]] for g in instance.groups]) for choice in choices(instance))
    assert bound <= best + 1e-9


@settings(max_examples=200, deadline=None, derandomize=True)
@given(instances(most_operators=7, memory=True, callers=True, groups=False))
def test_no_placement_is_through_sooner_than_the_bound_by_a_path(instance: Instance) -> None:
    model = LatencyModel(instance)
    bound = path_bound(model.nets, model.callers, core_times(model.nets, model.free), instance.order)
    best = min(model.latency(choice) for choice in choices(instance))
    assert bound <= best + 1e-9


def test_a_path_says_more_than_separators_where_a_shortcut_has_operators_of_its_own() -> None:
    """0 -> 1 -> 2 -> 4 and 0 -> 3 -> 4; a subgraph holds three of 1 and tensors are dear, so one call is not enough."""
    units = (Unit("cpu"), Unit("a", memory=3.0, subgraphs=1), Unit("b", memory=3.0, subgraphs=1))
    operators = tuple(Operator(str(i), (30.0, 1.0, 1.0), memory=1.0) for i in range(5))
    sides = (0.0, 5.0, 5.0)
    tensors = (Tensor(0, (1, 3), sides, sides), *(Tensor(i, (j,), sides, sides) for i, j in ((1, 2), (2, 4), (3, 4))))
    model = LatencyModel(Instance("shortcut", "ms", units, operators, tensors))
    best = min(model.latency(choice) for choice in choices(model.instance))
    bound = path_bound(model.nets, model.callers, core_times(model.nets, model.free), model.instance.order)
    assert separator_bound(model.nets, model.callers, model.free) < bound <= best + 1e-9
    assert bound == NEAR(best)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(instances(most_operators=6, memory=True, callers=True, groups=False))
def test_what_one_ideal_has_more_than_another_is_a_load_as_any_set(instance: Instance) -> None:
    model = LatencyModel(instance)
    ideals = ideals_of(model.before, 1000)
    assert ideals is not None
    for unit in model.callers:
        loads = difference_loads(model.nets, unit, ideals)
        for i, small in enumerate(ideals.members):
            for j, large in enumerate(ideals.members):
                members = frozenset(int(b) for b in (large & ~small).nonzero()[0])
                held = sum(instance.operators[b].memory for b in members)
                is_call = members and not (small & ~large).any() and held <= instance.units[unit].memory
                load = set_load(model.nets, members, unit) if is_call else inf
                assert loads[i, j] == NEAR(load)


def test_the_best_cut_over_all_ideals_takes_both_branches_where_no_order_of_the_file_does() -> None:
    """0 feeds 1 and 2; 1 and 3 are dear to part, 2 alone is refused by the accelerator."""
    units = (Unit("cpu"), Unit("acc", subgraphs=1))
    operators = tuple(Operator(str(i), (9.0, inf if i == 2 else 1.0)) for i in range(4))
    sides = (0.0, 2.0)
    tensors = (Tensor(0, (1, 2), sides, sides), Tensor(1, (3,), sides, sides))
    model = LatencyModel(Instance("branch", "ms", units, operators, tensors))
    ideals = ideals_of(model.before, 100)
    assert ideals is not None
    assert serial_split(model.nets, model.callers, model.free, ideals) == [1, 1, 0, 1]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(instances(most_operators=6), st.randoms(use_true_random=False))
def test_the_order_of_the_file_does_not_change_the_least_sum(free: Instance, chance: random.Random) -> None:
    assert solve(shuffled(free, chance), "sum", EXACT).objective == NEAR(solve(free, "sum", EXACT).objective)


def test_throughput_may_use_a_unit_twice_where_that_is_better() -> None:
    units = (Unit("a"), Unit("b"))
    times = ((5.0, 5.0), (3.0, 3.0), (4.0, 4.0))
    operators = tuple(Operator(str(i), row) for i, row in enumerate(times))
    instance = Instance("apart", "ms", units, operators, (Tensor(0, (1,)), Tensor(1, (2,))))
    found = solve(instance, "throughput", EXACT)
    assert found.objective == 7.0
    assert found.bound == NEAR(7.0)


def test_a_subgraph_pays_for_sending_once_and_for_each_tensor_it_receives() -> None:
    units = (Unit("cpu"), Unit("acc", subgraphs=1))
    operators = (
        Operator("0", (1.0, inf)),
        Operator("1", (inf, 2.0)),
        Operator("2", (4.0, inf)),
        Operator("3", (5.0, inf)),
    )
    tensors = (Tensor(0, (1,), (0.0, 3.0), (0.0, 3.0)), Tensor(1, (2, 3), (0.0, 0.5), (0.0, 0.5)))
    found = solve(Instance("calls", "ms", units, operators, tensors), "latency", EXACT)
    assert found.objective == NEAR(1 + 3 + 2 + 0.5 + 5)


@pytest.mark.parametrize("objective", ["sum", "throughput", "makespan"])
def test_operators_that_fit_nowhere_together_are_an_error(objective: str) -> None:
    with pytest.raises(ProblemError, match="fit"):
        solve(chain(3, (Unit("a", memory=1.0), Unit("b", memory=1.0))), objective, EXACT)


@pytest.mark.parametrize("objective", ["sum", "throughput", "makespan", "latency"])
def test_the_same_problem_gives_the_same_answer(objective: str) -> None:
    instance = chain(12, (Unit("a"), Unit("b", subgraphs=1)), move=0.25)
    first, second = (solve(instance, objective, Limits()) for _ in range(2))
    assert (first.choice, first.bound, first.starts) == (second.choice, second.bound, second.starts)


@pytest.mark.parametrize("objective", ["sum", "throughput", "makespan", "latency"])
def test_no_operators_cost_nothing(objective: str) -> None:
    assert solve(Instance("empty", "us", (Unit("a"),), (), ()), objective, EXACT) == Outcome(
        (), 0.0, 0.0, "optimal", "nothing to place"
    )


def test_when_time_is_up_the_best_so_far_comes_with_its_gap() -> None:
    found = solve(chain(40, (Unit("a"), Unit("b")), move=0.01), "makespan", Limits(gap=0.0, time_s=1e-6))
    assert found.objective >= found.bound > 0
    assert found.gap == NEAR((found.objective - found.bound) / found.objective)


def test_an_operator_may_be_read_by_many_that_have_one_unit_each() -> None:
    readers = range(1, 71)
    instance = Instance(
        "fan",
        "us",
        (Unit("cpu"), Unit("npu")),
        (Operator("first", (5.0, 1.0)), *(Operator(f"reader{i}", (1.0, inf)) for i in readers)),
        tuple(Tensor(0, (i,), receive=(0.01, 0.01)) for i in readers),
    )
    outcome = solve(instance, "sum", EXACT)
    assert outcome.objective == NEAR(1.0 + 70 * 1.01)
    assert outcome.choice[0] == 1


def ladder(steps: int) -> Instance:
    """Three chains side by side, joined every four operators, of times that no pattern repeats."""
    chance = random.Random(0)
    operators, tensors = [Operator("0", (1.0, 1.0))], []
    for _ in range(steps):
        first = len(operators) - 1
        for lane in range(3):
            for k in range(4):
                at = len(operators)
                tensors.append(Tensor(first if not k else at - 1, (at,), (0.2, 0.2), (0.2, 0.2)))
                operators.append(Operator(f"{at}:{lane}", (chance.uniform(1, 3), chance.uniform(1, 3))))
        tensors += [Tensor(first + 4 * (lane + 1), (len(operators),)) for lane in range(3)]
        operators.append(Operator(str(len(operators)), (0.5, 0.5)))
    return Instance("ladder", "ms", (Unit("a"), Unit("b")), tuple(operators), tuple(tensors))


def test_what_is_found_within_a_piece_of_work_does_not_depend_on_the_time_that_it_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = Limits(gap=0.0, time_s=1e9, work_s=0.02)
    found = solve(ladder(6), "makespan", limits)
    assert found.status == "time_limit"
    now = itertools.count(0.0, 100.0)
    monkeypatch.setattr("partita.partitioner.engines.budget.time.perf_counter", lambda: next(now))
    assert solve(ladder(6), "makespan", limits) == found
    assert solve(ladder(6), "makespan", replace(limits, work_s=1.0)).objective <= found.objective
