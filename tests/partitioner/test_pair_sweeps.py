"""Cutting anew what two units hold."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from partita.partitioner.engines.nets import nets_of
from partita.partitioner.engines.pair_sweeps import swept
from partita.partitioner.instance import Instance, Operator, Tensor, Unit
from tests.partitioner.instances import instances


def chain(count: int, memory: float) -> Instance:
    operators = tuple(Operator(str(i), (1.0, 1.0), memory=1.0) for i in range(count))
    tensors = tuple(Tensor(i, (i + 1,), (0.5, 0.5), (0.5, 0.5)) for i in range(count - 1))
    return Instance("chain", "ms", (Unit("a", memory=memory), Unit("b")), operators, tensors)


def test_a_chain_on_one_unit_is_halved() -> None:
    nets = nets_of(chain(20, memory=100.0))
    assert max(nets.loads(swept(nets, [0] * 20, 5, 0))) == 10.5


def test_memory_is_kept() -> None:
    nets = nets_of(chain(20, memory=4.0))
    found = swept(nets, [1] * 20, 10, 0)
    assert found.count(0) == 4
    assert nets.fits(found)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(instances(), st.integers(0, 3))
def test_no_load_grows_beyond_the_largest(instance: Instance, seed: int) -> None:
    nets, chance = nets_of(instance), random.Random(seed)
    allowed = [[u for u in range(nets.units) if nets.times[b, u] < float("inf")] for b in range(nets.blocks)]
    start = [chance.choice(row) for row in allowed]
    if nets.fits(start):
        assert max(nets.loads(swept(nets, start, 10, seed))) <= max(nets.loads(start)) * (1 + 1e-9)
