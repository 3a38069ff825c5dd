import pytest

from partita.devices import load_soc
from partita.devices.co_execution import CoExecution
from partita.simulator.memory import machine_of
from partita.simulator.sharing import law_of
from partita.simulator.split import SharedOperator, balanced_share, pays, shared_us, split_chain
from partita.simulator.steps import run_chains

SOC = load_soc("sd855-tflite")
BIG = SharedOperator(name="conv", first_us=20_000.0, second_us=30_000.0, size_bytes=4_000_000)
SMALL = SharedOperator(name="conv", first_us=1_126.0, second_us=1_505.0, size_bytes=4 * 52 * 52 * 256)


def costs() -> CoExecution:
    assert SOC.co_execution is not None
    return SOC.co_execution


@pytest.mark.parametrize("share", [None, 0.0, 0.3, 1.0])
def test_the_engine_takes_as_long_as_the_formula(share: float | None) -> None:
    (run,) = run_chains([split_chain(BIG, costs(), share)], machine_of(SOC), law_of(SOC))
    assert run.mean_latency_us == pytest.approx(shared_us(BIG, costs(), share), abs=0.01)


def test_both_units_work_on_one_operator_side_by_side() -> None:
    (run,) = run_chains([split_chain(BIG, costs())], machine_of(SOC), law_of(SOC))
    parts = [span for span in run.spans if span.kind == "split"]
    assert {span.track for span in parts} == {"cpu", "gpu"}
    assert len({(span.name, span.start_ns) for span in parts}) == 1
    assert parts[0].end_ns == pytest.approx(parts[1].end_ns, abs=2)
    assert {span.kind for span in run.spans} == {"transform", "map", "pre_sync", "split", "post_sync"}


def test_no_share_is_better_than_the_balanced_one() -> None:
    balanced = balanced_share(BIG)
    best = shared_us(BIG, costs(), balanced)
    assert all(shared_us(BIG, costs(), share) >= best for share in (0.0, balanced - 0.05, balanced + 0.05, 1.0))


def test_a_small_operator_is_not_worth_sharing_and_a_chained_one_may_be() -> None:
    assert not pays(SMALL, costs())  # measured: 0.60 ms of work and 1.07 of sharing against 1.13 on the GPU
    assert pays(BIG, costs())
    chained = SharedOperator(name="conv", first_us=1_126.0, second_us=1_505.0, is_chained=True)
    assert pays(chained, costs())
