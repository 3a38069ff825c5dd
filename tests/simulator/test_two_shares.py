"""Two streams are divided by a short cut, which gives what the general filling gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.simulator.memory import fair_shares

DEMANDS = st.tuples(st.floats(0.1, 200.0), st.floats(0.1, 8.0))


@given(DEMANDS, DEMANDS, st.floats(0.0, 400.0))
def test_two_get_what_they_would_get_beside_one_that_asks_for_nothing(
    first: tuple[float, float], second: tuple[float, float], capacity: float
) -> None:
    idle = (0.0, 0.0625)
    three = fair_shares([first, second, idle], capacity)
    assert fair_shares([first, second], capacity) == [pytest.approx(share, rel=1e-12) for share in three[:2]]
