"""Programs: graphs made ready to run many times."""

import gc
import sys
import weakref

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.kernels import program
from partita.kernels.arena import keep_freed_memory
from partita.kernels.executor import run
from partita.kernels.program import program_of
from partita.passes.random_feeds import random_feeds

SIDE = 512


def large() -> Graph:
    """A few operators on tensors of a MiB."""
    b = GraphBuilder()
    x = b.input("x", "float32", (SIDE, SIDE))
    w = b.constant("w", np.eye(SIDE, dtype=np.float32))
    for _ in range(4):
        x = b.node("Relu", b.node("Add", b.node("MatMul", x, w), w))
    b.output(x)
    return b.build()


def test_every_run_gives_the_same_bits() -> None:
    graph = large()
    feeds = random_feeds(graph)
    (first,) = run(graph, feeds).values()
    for _ in range(3):
        (again,) = run(graph, feeds).values()
        np.testing.assert_array_equal(again, first)


def test_a_graph_is_prepared_once_and_forgotten_with_it() -> None:
    graph = large()
    assert program_of(graph, graph.outputs) is program_of(graph, graph.outputs)
    assert program_of(graph, ()) is not program_of(graph, graph.outputs)
    reference = weakref.ref(graph)
    del graph
    gc.collect()
    assert reference() is None


def test_kernels_cannot_write_to_constants() -> None:
    array = np.zeros(3)
    view = program.read_only(array)
    assert not view.flags.writeable
    assert array.flags.writeable
    assert program.read_only(view) is view


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts page faults as Linux does")
def test_a_second_run_finds_its_memory_in_place() -> None:
    import resource

    if not keep_freed_memory():
        pytest.skip("the C library has no limits to raise")
    graph = large()
    feeds = random_feeds(graph)
    for _ in range(3):
        run(graph, feeds)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run(graph, feeds)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    one_tensor = SIDE * SIDE * 4 // resource.getpagesize()
    assert faults < one_tensor
