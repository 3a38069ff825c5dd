"""The event engine."""

import pytest

from partita.simulator.events import Events


def test_callbacks_come_in_the_order_of_time_and_then_of_asking() -> None:
    events, log = Events(), list[str]()
    events.at(5, lambda: log.append("b"))
    events.at(1, lambda: log.append("a"))
    events.at(5, lambda: log.append("c"))
    events.run()
    assert log == ["a", "b", "c"]


def test_a_callback_may_ask_for_more_at_the_same_time() -> None:
    events, log = Events(), list[int]()
    events.at(3, lambda: events.after(0, lambda: log.append(events.now_ns)))
    events.run()
    assert log == [3]


def test_the_past_cannot_be_asked_for() -> None:
    events = Events()
    events.at(4, lambda: events.at(3, lambda: None))
    with pytest.raises(ValueError, match="cannot call back at 3 ns: it is 4 ns already"):
        events.run()
