"""One thread tells another that there is something to do."""

import threading
import time

import pytest

from partita.kernels import signals
from partita.kernels.signals import Signal

LONG_S = 10.0


@pytest.mark.parametrize("stand_by", [True, False])
def test_a_thread_goes_on_when_the_signal_is_set_and_not_before(stand_by: bool) -> None:
    signal, answer = Signal(), Signal()
    seen: list[int] = []

    def serve() -> None:
        for _ in range(3):
            signal.wait(stand_by=stand_by)
            seen.append(len(seen))
            answer.set()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    for count in range(3):
        time.sleep(0.01)  # by then the thread sleeps
        assert len(seen) == count
        signal.set()
        answer.wait(stand_by=True)
        assert len(seen) == count + 1
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_a_signal_that_was_set_before_is_not_missed() -> None:
    signal = Signal()
    for stand_by in (True, False):
        signal.set()
        signal.wait(stand_by=stand_by)


def test_a_signal_that_nobody_saw_can_be_taken_back_once() -> None:
    signal = Signal()
    assert not signal.take_back()
    signal.set()
    assert signal.take_back()
    assert not signal.take_back()


def test_who_stands_by_comes_back_without_a_signal() -> None:
    unset = signals._text(0, 2)
    look = signals._looks_at(unset)
    if look is None:
        pytest.skip("the C library has no linear search")
    began = time.perf_counter()
    assert look() is None
    assert time.perf_counter() - began < LONG_S


def test_who_stands_by_sees_a_signal_that_is_set() -> None:
    signal = signals._text(1, 2)
    look = signals._looks_at(signal)
    if look is None:
        pytest.skip("the C library has no linear search")
    assert look() is not None


def test_threads_without_a_linear_search_only_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "_search", lambda: None)
    test_a_thread_goes_on_when_the_signal_is_set_and_not_before(stand_by=True)
