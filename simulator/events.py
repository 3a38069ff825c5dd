"""The event engine: a whole-number clock and a heap of callbacks. It knows nothing of chips."""

import heapq
from collections.abc import Callable

Callback = Callable[[], None]


class Events:
    """Calls back in the order of time, and in the order of asking where times are equal, so that a run repeats itself.

    >>> events = Events()
    >>> events.at(20, lambda: print("second, at", events.now_ns))
    >>> events.at(10, lambda: events.after(10, lambda: print("third, at", events.now_ns)))
    >>> events.run()
    second, at 20
    third, at 20
    """

    def __init__(self) -> None:
        self.now_ns = 0
        self._heap: list[tuple[int, int, Callback]] = []
        self._asked = 0

    def at(self, time_ns: int, callback: Callback) -> None:
        """Call back at `time_ns`, which must not lie in the past."""
        if time_ns < self.now_ns:
            raise ValueError(f"cannot call back at {time_ns} ns: it is {self.now_ns} ns already")
        heapq.heappush(self._heap, (time_ns, self._asked, callback))
        self._asked += 1

    def after(self, delay_ns: int, callback: Callback) -> None:
        self.at(self.now_ns + delay_ns, callback)

    def run(self) -> None:
        """Go on until nothing is left to happen."""
        while self._heap:
            self.now_ns, _, callback = heapq.heappop(self._heap)
            callback()
