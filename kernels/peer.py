"""A process that does its lane of recorded numpy calls, in memory that it has in common with its parent.

Started as a script by `peers`, so that it imports numpy and nothing of this package. It sleeps until its parent says
what to run; while calls run, the lanes wait for each other by looking at numbers in the common memory.
"""

import mmap
import os
import pickle
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np

MESSAGE = struct.Struct("<cqq")
"""What to do, the number of a recording, and how many bytes follow."""
LOAD, RUN, FORGET = b"L", b"R", b"F"
WORD_BYTES = 64
"""Each number that lanes look at has a line of the cache to itself."""
LOOKS = 2000
"""Looks at a number, some 0.1 ms, before the processor is offered to others after each."""
YIELD_S, NAP_S = 2e-3, 1e-4
"""For how long that goes on before this process sleeps between looks, and for how long each time."""
NumpyCall = tuple[Callable[..., Any], tuple[Any, ...], Any]
"""A function, its operands and, unless it is None, the array for the result."""


class Meeting:
    """A barrier between lanes of a recording. Two words of common memory per lane: meetings so far, and readiness."""

    def __init__(self, memory: mmap.mmap, lane: int, lanes: int, check: Callable[[], None]) -> None:
        self._words = memoryview(memory)[: meeting_bytes(lanes)].cast("q")[:: WORD_BYTES // 8]
        self._lane, self._lanes, self._check = lane, lanes, check
        self._others = [other for other in range(lanes) if other != lane]
        self._count = 0

    def say_ready(self) -> None:
        self._words[self._lanes + self._lane] = 1

    def are_ready(self) -> bool:
        return all(self._words[self._lanes + other] for other in self._others)

    def meet(self) -> None:
        """Wait until every lane has come here as often. `check` raises if another one never will."""
        words = self._words
        self._count = count = self._count + 1
        words[self._lane] = count
        for other in self._others:
            looks = 0
            while words[other] < count:
                looks += 1
                if looks > LOOKS:
                    self._rest_until(other, count)

    def _rest_until(self, other: int, count: int) -> None:
        began = time.perf_counter()
        while self._words[other] < count:
            if time.perf_counter() - began < YIELD_S:
                os.sched_yield()
            else:
                self._check()
                time.sleep(NAP_S)


def meeting_bytes(lanes: int) -> int:
    """How much of the memory's begin is for the meeting."""
    return 2 * lanes * WORD_BYTES


def do_all(calls: Sequence[NumpyCall]) -> None:
    for function, operands, out in calls:
        if out is None:
            function(*operands)
        else:
            function(*operands, out=out)


class Reader(pickle.Unpickler):
    """Reads calls whose arrays are (offset, shape, strides) in the common memory, all of float32."""

    def __init__(self, payload: bytes, memory: mmap.mmap) -> None:
        super().__init__(BytesIO(payload))
        self._memory = memory

    def persistent_load(self, place: tuple[int, tuple[int, ...], tuple[int, ...]]) -> Any:
        offset, shape, strides = place
        return np.ndarray(shape, np.float32, self._memory, offset, strides)


class Recording:
    """The calls of this process's lane, phase by phase."""

    def __init__(self, descriptor: int, payload: bytes, lane: int, lanes: int, check: Callable[[], None]) -> None:
        memory = mmap.mmap(descriptor, 0)
        self._phases: list[list[NumpyCall]] = Reader(payload, memory).load()
        self._meeting = Meeting(memory, lane, lanes, check)
        self._meeting.say_ready()

    def run(self) -> None:
        self._meeting.meet()
        with np.errstate(all="ignore"):
            for calls in self._phases:
                do_all(calls)
                self._meeting.meet()


def _received(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise SystemExit
        parts += part
    return bytes(parts)


def serve(connection: socket.socket, lane: int, lanes: int) -> None:
    """Do what the parent says until it closes the connection or is gone."""
    parent = os.getppid()

    def check() -> None:
        if os.getppid() != parent:
            raise SystemExit

    recordings: dict[int, Recording] = {}
    while True:
        head, descriptors, _, _ = socket.recv_fds(connection, MESSAGE.size, 1)
        if not head:
            return
        head += _received(connection, MESSAGE.size - len(head))
        what, number, size = MESSAGE.unpack(head)
        if what == LOAD:
            recordings[number] = Recording(descriptors[0], _received(connection, size), lane, lanes, check)
            os.close(descriptors[0])
        elif what == RUN:
            recordings[number].run()
        else:
            recordings.pop(number, None)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent, whose end ends this process
    serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]))
