"""Plans whose units run side by side."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import partita as pt
from partita.errors import KernelError, PlanError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.plan import PlacedOperator, Plan
from partita.kernels import placed
from partita.kernels.placed import Execution, execute
from partita.passes.random_feeds import random_feeds

BRANCHES = 4


def branching() -> Graph:
    """Branches of a convolution and a Tanh each, which end in a sum."""
    rng = np.random.default_rng(0)
    b = GraphBuilder()
    x = b.input("x", "float32", (1, 8, 32, 32))
    total = x
    for i in range(BRANCHES):
        w = b.constant(f"w{i}", rng.standard_normal((8, 8, 3, 3), np.float32) / 8)
        y = b.node("Conv", x, w, name=f"conv{i}", pads=(1, 1, 1, 1))
        total = b.node("Add", total, b.node("Tanh", y, name=f"tanh{i}"), name=f"add{i}")
    b.output(total)
    return b.build()


@pytest.fixture(scope="module")
def plan() -> Plan:
    pins = [pt.Rule(f"conv{i}", "npu" if i % 2 else "gpu") for i in range(BRANCHES)]
    return pt.partition(branching(), pt.soc("sd8gen3-qnn"), pins=[*pins, pt.Rule("tanh*", "cpu")])


def same_bits(a: Execution, b: Execution) -> bool:
    return all(np.array_equal(a.outputs[name], b.outputs[name]) for name in a.outputs)


def test_side_by_side_gives_the_same_bits_every_time(plan: Plan) -> None:
    feeds = random_feeds(plan.graph)
    assert len({segment.unit for segment in plan.segments}) == 3
    one_by_one = execute(plan, feeds)
    for _ in range(25):
        assert same_bits(execute(plan, feeds, concurrent=True), one_by_one)


@pytest.mark.parametrize("concurrent", [False, True])
def test_what_was_run_is_recorded_in_the_plan_s_order(plan: Plan, concurrent: bool) -> None:
    execution = execute(plan, random_feeds(plan.graph), concurrent=concurrent)
    assert [run.node for run in execution.operators] == [operator.node for operator in plan.operators]
    assert [move.tensor for move in execution.moves] == [transfer.tensor for transfer in plan.transfers]
    assert all(0 <= run.start_ns <= run.end_ns for run in execution.operators)
    assert all(0 <= move.start_ns <= move.end_ns for move in execution.moves)
    by_unit: dict[str, int] = {}
    for run in execution.operators:
        assert by_unit.get(run.unit, 0) <= run.start_ns
        by_unit[run.unit] = run.end_ns
    arrived = {(move.tensor, move.target): move.end_ns for move in execution.moves}
    for run in execution.operators:
        needed = [arrived.get((name, run.unit), 0) for name in plan.graph.node_named[run.node].inputs]
        assert max(needed) <= run.start_ns


def test_nothing_is_held_in_the_end(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[placed._Tensors] = []

    class Watched(placed._Tensors):
        def __init__(self, uses: Counter[placed.Key]) -> None:
            super().__init__(uses)
            made.append(self)

    monkeypatch.setattr(placed, "_Tensors", Watched)
    for concurrent in (False, True):
        execute(plan, random_feeds(plan.graph), concurrent=concurrent)
    assert [tensors._held for tensors in made] == [{}, {}]


def test_an_error_on_one_unit_ends_the_others(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    original = placed._Run.call

    def failing(run: placed._Run, operator: PlacedOperator) -> None:
        if operator.unit == "npu":
            raise KernelError("node 'conv1': broken")
        original(run, operator)

    monkeypatch.setattr(placed._Run, "call", failing)
    with pytest.raises(KernelError, match="broken"):
        execute(plan, random_feeds(plan.graph), concurrent=True)


def test_a_plan_that_lacks_a_transfer_is_refused_rather_than_waited_for(plan: Plan) -> None:
    broken = replace(plan, transfers=plan.transfers[1:])
    with pytest.raises(PlanError, match="where it never arrives"):
        execute(broken, random_feeds(plan.graph), concurrent=True)
