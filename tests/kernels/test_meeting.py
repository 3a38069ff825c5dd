"""Threads that stand by in compiled code take the tables that follow, and come back when something else is to run."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from partita.kernels import compiled, threads
from partita.kernels.arrays import Array

pytest.importorskip("numba")


@pytest.fixture(autouse=True)
def two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads", lambda: 2)


def large() -> Array:
    return np.random.default_rng(0).standard_normal((40, 2000), np.float32)


def starts_of(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    started: list[object] = []
    start = threads._Helper.start

    def noted(helper: threads._Helper, run: Callable[[], object]) -> None:
        started.append(run)
        start(helper, run)

    monkeypatch.setattr(threads._Helper, "start", noted)
    return started


def test_a_table_that_follows_soon_wakes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    x, started = large(), starts_of(monkeypatch)
    expected = compiled.softmax(x)
    results = [compiled.softmax(x) for _ in range(200)]
    assert len(started) < 200
    assert all(np.array_equal(result, expected) for result in results)


def test_after_a_rest_the_threads_are_woken_again(monkeypatch: pytest.MonkeyPatch) -> None:
    x, started = large(), starts_of(monkeypatch)
    compiled.softmax(x)
    limit_s = time.monotonic() + 30  # where others use the processors, to look around takes long
    while threads._meeting().stands_by(1) and time.monotonic() < limit_s:
        time.sleep(0.01)
    before = len(started)
    compiled.softmax(x)
    assert len(started) == before + 1


def test_tables_and_blocks_in_python_take_turns() -> None:
    x, used = large(), set[int]()
    for _ in range(100):
        compiled.softmax(x)
        threads.share(lambda _: used.add(threading.get_ident()), range(20))
    assert len(used) <= 2


def test_a_table_within_a_block_runs_on_one_thread() -> None:
    x = large()
    expected, results = compiled.softmax(x), []
    threads.share(lambda _: results.append(compiled.softmax(x)), range(8))
    assert all(np.array_equal(result, expected) for result in results)


def test_a_table_for_fewer_threads_may_follow_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = large()
    expected = compiled.softmax(x)
    for i in range(300):
        monkeypatch.setattr(threads, "threads", lambda count=3 - i % 2: count)
        assert np.array_equal(compiled.softmax(x), expected)
