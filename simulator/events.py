"""The clock of a phone, and what is to happen at which time."""

import heapq
from collections.abc import Callable
from typing import Any

Act = Callable[[Any, int], None]


class Events:
    """Calls to come; those of the same time come in the order of asking."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.heap: list[tuple[int, int, Act, Any, int]] = []
        """(time in ns, order, what is called, with what): `Engine.run` goes through it."""
        self._asked = 0

    def at(self, time_ns: int, act: Act, subject: Any = None, version: int = 0) -> None:
        """Call `act(subject, version)` at `time_ns`."""
        heapq.heappush(self.heap, (time_ns, self._asked, act, subject, version))
        self._asked += 1
