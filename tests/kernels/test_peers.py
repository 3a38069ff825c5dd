"""Processes that share recorded calls: the same bits, and nobody waits for one that is gone."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from partita.graph.ir import Graph
from partita.kernels import compiled, conv_recording, peers, threads
from partita.kernels.arrays import Array
from partita.kernels.executor import run
from partita.kernels.peers import Memory, Pace, Shared
from tests.kernels.test_stretch import inverted_residuals, noise

pytestmark = pytest.mark.skipif(not peers.are_supported(), reason="no common memory for processes here")
READY_S = 20


@pytest.fixture
def _two_lanes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    monkeypatch.setattr(threads, "threads", lambda: 2)
    monkeypatch.setattr(conv_recording, "LEAST_WORK", 0)
    monkeypatch.setattr(conv_recording, "LEAST_DEPTHWISE_WORK", 0)
    monkeypatch.setattr(Pace, "together", lambda self: True)
    yield
    peers.dismiss()


@pytest.fixture
def done_together(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each run among processes whether it came to its end."""
    results: list[bool] = []
    whole = Shared.run

    def watched(self: Shared, *arguments: object) -> bool:
        results.append(whole(self, *arguments))  # type: ignore[arg-type]
        return results[-1]

    monkeypatch.setattr(Shared, "run", watched)
    return results


def outputs(graph: Graph, x: Array) -> list[Array]:
    return list(run(graph, {"x": x}).values())


def run_until_together(graph: Graph, x: Array, done: list[bool]) -> list[Array]:
    """The outputs of the first run in which the others take part."""
    before, deadline = len(done), time.monotonic() + READY_S
    while len(done) == before:
        assert time.monotonic() < deadline
        results = outputs(graph, x)
    return results


@pytest.mark.usefixtures("_two_lanes")
def test_processes_change_no_bit_of_a_tape(done_together: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    graph, inputs = inverted_residuals((25, 21)), [noise(seed, 1, 3, 25, 21) for seed in range(3)]
    with monkeypatch.context() as alone:
        alone.setattr(threads, "threads", lambda: 1)
        expected = [outputs(graph, x) for x in inputs]
    run_until_together(graph, inputs[0], done_together)
    for x, each in zip(inputs, expected, strict=True):
        for y, wanted in zip(outputs(graph, x), each, strict=True):
            np.testing.assert_array_equal(y, wanted)
    assert done_together == [True] * 4


@pytest.mark.usefixtures("_two_lanes")
def test_a_run_goes_on_without_processes_that_have_ended(done_together: list[bool]) -> None:
    graph, x = inverted_residuals((24, 24)), noise(1, 1, 3, 24, 24)
    expected = run_until_together(graph, x, done_together)
    for process, _ in peers._crews[0]._started:
        process.kill()
    for y, wanted in zip(outputs(graph, x), expected, strict=True):
        np.testing.assert_array_equal(y, wanted)
    outputs(graph, x)
    assert done_together == [True, False]


@pytest.mark.usefixtures("_two_lanes")
def test_a_tape_that_has_them_taken_does_without(done_together: list[bool]) -> None:
    graph, x = inverted_residuals((24, 24)), noise(1, 1, 3, 24, 24)
    expected = run_until_together(graph, x, done_together)
    with threads.kept_apart():
        for y, wanted in zip(outputs(graph, x), expected, strict=True):
            np.testing.assert_array_equal(y, wanted)
    assert done_together == [True]


@pytest.mark.usefixtures("_two_lanes")
def test_processes_end_with_their_parent(done_together: list[bool]) -> None:
    run_until_together(inverted_residuals((24, 24)), noise(1, 1, 3, 24, 24), done_together)
    processes = [process for process, _ in peers._crews[0]._started]
    for _, connection in peers._crews[0]._started:
        connection.close()  # what the system does at the end of the parent
    assert [process.wait(READY_S) for process in processes] == [0]


@pytest.mark.usefixtures("_two_lanes")
def test_where_no_process_can_start_threads_go_on(done_together: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError("no more processes")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    graph, x = inverted_residuals((24, 24)), noise(1, 1, 3, 24, 24)
    expected = outputs(graph, x)
    for _ in range(3):
        for y, wanted in zip(outputs(graph, x), expected, strict=True):
            np.testing.assert_array_equal(y, wanted)
    assert done_together == []


def test_a_variable_leaves_processes_aside() -> None:
    program = "from partita.kernels import peers; print(peers.are_supported())"
    environment = {**os.environ, peers.SWITCH: "0"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_common_memory_has_an_end_and_knows_its_arrays() -> None:
    memory = Memory(4096, lanes=2)
    mine = memory.copy(noise(0, 3, 5))
    assert memory.place_of(mine.T)[1:] == ((5, 3), (4, 20))
    with pytest.raises(ValueError, match="not in the common memory"):
        memory.place_of(noise(0, 3))
    with pytest.raises(ValueError, match="is full"):
        memory.floats(2000)


def test_runs_go_apart_for_twice_as_long_after_each_failure() -> None:
    pace, choices = Pace(), []
    for _ in range(20):
        together = pace.together()
        choices.append(together)
        pace.took(2.0 if together else 1.0, together=together)
    assert [i for i, together in enumerate(choices) if together] == [1, 3, 6, 11]


def test_runs_stay_together_while_that_is_faster() -> None:
    pace = Pace()
    pace.took(2.0, together=False)
    for _ in range(9):
        assert pace.together()
        pace.took(1.0, together=True)
