"""Random operators against onnxruntime: a small, fixed part of what `python -m benchmarks.kernel_fuzz` runs."""

import pytest
from hypothesis import HealthCheck, assume, given, settings

from tests.kernels.fuzzing.compare import differs
from tests.kernels.fuzzing.draw import GENERATORS, Case, Draw
from tests.kernels.fuzzing.strategies import cases

CASES = 12


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_random_operators_come_out_as_in_onnxruntime(kind: str) -> None:
    for seed in range(CASES):
        case = GENERATORS[kind](Draw(seed))
        assert differs(case) in ("", "refused"), f"seed {seed}: {case}"


@pytest.mark.parametrize("kind", sorted(GENERATORS))
def test_most_of_what_is_drawn_can_be_compared(kind: str) -> None:
    compared = [differs(GENERATORS[kind](Draw(seed))) != "refused" for seed in range(CASES)]
    assert sum(compared) > CASES / 2


@settings(
    deadline=None,
    derandomize=True,
    max_examples=300,
    database=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
@given(cases())  # fmt: skip
def test_operators_that_hypothesis_draws_come_out_as_in_onnxruntime(case: Case) -> None:
    difference = differs(case)
    assume(difference != "refused")
    assert difference == "", str(case)
