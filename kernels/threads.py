"""One small pool of threads for all kernels, among which a kernel shares the blocks of its work.

The results do not depend on the number of threads, to the bit: blocks are cut where that changes no sum.
Threads stand by for a while when there is nothing to do, then they sleep. Only one kernel at a time has them: where
they are taken, as they are for what runs on one of them, the blocks run one after the other.
"""

import atexit
import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import cache, partial
from threading import Lock, Thread
from typing import TypeVar

from partita.kernels.meeting import MOST_THREADS, Meeting
from partita.kernels.signals import Signal

Part = TypeVar("Part")
VARIABLES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
"""Environment variables that say how many threads there are, the first of them that is a number."""

SWITCH_S = 5e-6
"""How long a thread may keep the interpreter while another waits for it. A block is some ten calls of 10 to 50 us, so
the usual 5 ms would let one thread stand still for most of another's work."""


STARTING_US = 6
"""How long a thread that gives out work takes before its own part lets go of the interpreter (measured: 4 to 7)."""


@cache
def threads() -> int:
    """How many threads a kernel may use: what BLAS was told by the environment, else the number of processors."""
    for name in VARIABLES:
        if os.environ.get(name, "").isdigit():
            return max(1, int(os.environ[name]))
    return os.cpu_count() or 1


def _may_stand_by() -> bool:
    """Whether each thread can have a processor, so that one that stands by is in nobody's way."""
    return threads() <= _processors()


@cache
def _processors() -> int:
    """How many this process may use, whichever of its threads asks."""
    return len(os.sched_getaffinity(os.getpid())) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _keep_away(thread: Thread) -> None:
    """Let a thread wake on another processor than the one that this thread runs on.

    Systems like to wake a thread where it was woken from, though another processor is idle: it then waits until the
    first one sleeps (measured: products of up to 2 ms were done before the other thread ran at all).
    """
    number = _number_of_processor()
    if number is None or thread.native_id is None:
        return
    others = os.sched_getaffinity(0) - {number()}
    if others:
        with suppress(OSError):  # a sandbox may not allow it
            os.sched_setaffinity(thread.native_id, others)


@cache
def _number_of_processor() -> Callable[[], int] | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    try:
        return ctypes.PyDLL(None).sched_getcpu
    except (AttributeError, OSError):
        return None


class _Helper:
    """A thread that runs what it is given; meanwhile it stands by for a while, then it sleeps."""

    def __init__(self) -> None:
        self._given, self._done = Signal(STARTING_US), Signal()
        self._run: Callable[[], object] = lambda: None
        self._error: BaseException | None = None
        self._recall: Callable[[], None] | None = None
        self._thread = Thread(target=self._serve, name="partita-kernel", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self._given.wait(stand_by=False)
        while True:
            try:
                self._run()
            except BaseException as error:
                self._error = error  # raised again by the thread that gave it out
            self._done.set_and_wait(self._given, stand_by=_may_stand_by())

    def start(self, run: Callable[[], object]) -> None:
        """Runs it in a copy of the caller's context, in which numpy keeps what it does about overflow."""
        if self._recall is not None:
            self._recall()
            self._recall = None
            error = self.finish(take_back=False)
            if error is not None:
                raise error
        context = copy_context()
        self._run = lambda: context.run(run)
        if self._given.has_sleeper:
            _keep_away(self._thread)
        self._given.set()

    def leave(self, recall: Callable[[], None]) -> None:
        """Let the next start call `recall`, wait for the end of what was started, and raise its error."""
        self._recall = recall

    def finish(self, *, take_back: bool) -> BaseException | None:
        """Wait for the end of what was started and return its error; perhaps take it back if it has not begun."""
        if not (take_back and self._given.take_back()):
            self._done.wait(stand_by=take_back and _may_stand_by())
        error, self._error, self._run = self._error, None, lambda: None
        return error


_free = Lock()
_helpers: list[_Helper] = []


def _forget_helpers() -> None:
    """A process that was forked off has none of its parent's threads."""
    global _free
    _free = Lock()  # the old one may be held by a thread that is not there
    _helpers.clear()
    _meeting.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)


def _first(count: int) -> list[_Helper]:
    """So many helpers; those that are missing are started."""
    while len(_helpers) < count:
        _helpers.append(_Helper())
    return _helpers[:count]


def are_taken() -> bool:
    """Whether a kernel has the threads: what another one shares meanwhile runs on its own thread."""
    return _free.locked()


def share(step: Callable[[Part], object], parts: Iterable[Part]) -> None:
    """Run `step` on each of the parts, of which none may write what another one reads or writes.

    An error in one of them is raised when those that have begun are done.
    """
    waiting = deque(parts)
    wanted = min(threads(), len(waiting))
    if wanted < 2 or not _free.acquire(blocking=False):
        for part in waiting:
            step(part)
        return
    lock = _free

    def work() -> None:
        while True:
            try:
                part = waiting.popleft()
            except IndexError:
                return
            step(part)

    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        _together([work] * wanted, waiting.clear)
    finally:
        sys.setswitchinterval(usual_s)
        lock.release()


@cache
def _meeting() -> Meeting:
    meeting = Meeting()
    atexit.register(meeting.recall_all)
    return meeting


def at_once(run: Callable[[int, int, int], object], wanted: int) -> None:
    """Run `run(i, n, meeting)` for each i below n at the same time: n threads that wait for each other at the end.

    n is `wanted`, or 1 if the threads are taken. `meeting` is the address of a `Meeting`. With i = -1, `run` tells the
    threads that still stand by, instead of waking them. That the others have come back from `run` is not waited for:
    it may hold them to stand by, and must hold all that they look at to the last.
    """
    if wanted < 2 or not _free.acquire(blocking=False):
        run(0, 1, 0)
        return
    lock = _free
    try:
        meeting = _meeting()
        wanted = min(wanted, MOST_THREADS)
        helpers = _first(wanted - 1)
        run(-1, wanted, meeting.address)
        for i, helper in enumerate(helpers, start=1):
            if meeting.is_missing(i):
                helper.start(partial(run, i, wanted, meeting.address))
                helper.leave(partial(meeting.recall, i))
        run(0, wanted, meeting.address)
    finally:
        lock.release()


def _together(jobs: Sequence[Callable[[], object]], give_up: Callable[[], None]) -> None:
    """The first job on this thread and each other one on a helper; the first error is raised at the end.

    `give_up` is called on an error. A job that has not begun when this thread's ends is left out.
    """
    helpers = _first(len(jobs) - 1)
    for helper, job in zip(helpers, jobs[1:], strict=True):
        helper.start(job)
    try:
        jobs[0]()
    except BaseException:
        give_up()
        raise
    finally:
        errors = [helper.finish(take_back=True) for helper in helpers]
    for error in errors:
        if error is not None:
            raise error


@contextmanager
def kept_apart() -> Iterator[None]:
    """Inside, every kernel runs on the thread that calls it: for callers that have a thread for each unit."""
    with _free:
        yield
