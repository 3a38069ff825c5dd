"""Random operators against onnxruntime: a small, fixed part of what `python benchmarks/kernel_fuzz.py` runs."""

import pytest

from tests.kernels.fuzzing.compare import differs
from tests.kernels.fuzzing.draw import GENERATORS, Draw

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
