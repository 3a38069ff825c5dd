import pytest

from partita.simulator.memory import Machine, MemoryLimits
from partita.simulator.sharing import FairShare
from partita.simulator.steps import ChainRun, Step, in_a_row, joined, run_chains, sliced

MACHINE = Machine(
    name="two", units=("cpu", "gpu"), links=(), memory=MemoryLimits(one_gb_per_s=50.0, several_gb_per_s=60.0)
)
LAW = FairShare(MACHINE.memory)


def run(*chains: tuple[Step, ...], repetitions: int | None = None, in_turn: bool = False) -> tuple[ChainRun, ...]:
    return run_chains(chains, MACHINE, LAW, repetitions=repetitions, in_turn=in_turn)


def test_streams_slow_each_other_only_while_both_run() -> None:
    long = (Step(unit="gpu", name="long", work_us=100.0, gb_per_s=40.0),)
    short = (Step(unit="cpu", name="short", work_us=30.0, gb_per_s=40.0),)
    first, second = run(long, short)
    assert second.times_us[0][1] == pytest.approx(40.0)  # 30 of 40 GB/s
    assert first.times_us[0][1] == pytest.approx(40.0 + 70.0)
    assert first.spans[0].waited_ns == pytest.approx(10_000)


def test_a_step_waits_for_the_steps_it_names_and_for_its_unit() -> None:
    chain = in_a_row([Step(unit="gpu", name="a", work_us=10.0), Step(unit="cpu", name="b", work_us=5.0, fixed_us=1.0)])
    (alone,) = run(chain)
    assert [(span.track, span.start_ns, span.end_ns) for span in alone.spans] == [
        ("gpu", 0, 10_000),
        ("cpu", 10_000, 16_000),
    ]
    first, second = run(chain, chain)
    assert (first.times_us[0][1], second.times_us[0][1]) == (16.0, 26.0)


def test_steps_in_a_row_on_one_unit_are_one_unless_something_lies_between() -> None:
    gpu = Step(unit="gpu", name="a", work_us=10.0)
    handed_over = Step(unit="gpu", name="b", work_us=5.0, fixed_us=1.0)
    other = Step(unit="cpu", name="c", work_us=2.0)
    found = list(joined([gpu, gpu, handed_over, gpu, other]))
    assert [(step.name, step.work_us, step.fixed_us) for step in found] == [
        ("a", 20.0, 0.0),
        ("b", 15.0, 1.0),
        ("c", 2.0, 0.0),
    ]


def test_networks_that_repeat_in_turn_divide_a_unit_evenly() -> None:
    chains = [in_a_row(tuple(sliced([Step(unit="gpu", name="n", work_us=us)], 10.0))) for us in (100.0, 1_000.0)]
    small, large = run(*chains, repetitions=3, in_turn=True)
    assert len(large.times_us) == 3
    assert large.mean_latency_us == pytest.approx(2_000.0, rel=0.02)
    assert len(small.times_us) >= 29


def test_slices_keep_the_work_and_pay_the_fixed_cost_once() -> None:
    slices = tuple(sliced([Step(unit="gpu", name="n", work_us=95.0, fixed_us=7.0)], 10.0))
    assert sum(step.work_us for step in slices) == pytest.approx(95.0)
    assert [step.fixed_us for step in slices] == [7.0, *[0.0] * (len(slices) - 1)]
