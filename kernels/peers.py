"""Processes beside this one that share recorded numpy calls, where threads would wait for the interpreter's lock.

A recording lies whole in memory that all have in common: operands, results, scratch memory and packed weights. Every
process has its list of calls and meets the others after each phase. Only where the system has anonymous files of memory
and the processor shows stores to others in their order; elsewhere, and for what runs once, threads do (see `threads`).
"""

import atexit
import mmap
import os
import pickle
import platform
import socket
import subprocess
import sys
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from partita.kernels import peer, threads
from partita.kernels.arrays import Array
from partita.kernels.jobs import FLOAT_BYTES, address_of
from partita.kernels.peer import FORGET, LOAD, MESSAGE, RUN, Meeting, NumpyCall, meeting_bytes

SWITCH = "PARTITA_PROCESSES"
"""Environment variable: 0 leaves everything to threads."""
ORDERED_STORES = ("x86_64", "AMD64")
"""Processors on which whoever sees a number that was written also sees what was written before it."""
MOST_LANES = 4
ALIGNMENT_BYTES = 64
MOST_APART = 64
"""Runs without the other processes before they are tried again."""


@cache
def are_supported() -> bool:
    """Whether processes can be used here at all."""
    if not sys.platform.startswith("linux") or platform.machine() not in ORDERED_STORES:
        return False
    return hasattr(os, "memfd_create") and bool(sys.executable) and os.environ.get(SWITCH) != "0"


class Memory:
    """Common memory of a size that is only taken as it is written to; `floats` and `copy` take the next piece."""

    def __init__(self, size_bytes: int, lanes: int) -> None:
        self.descriptor = os.memfd_create("partita")
        self.close_file = weakref.finalize(self, os.close, self.descriptor)
        """What is mapped stays."""
        os.ftruncate(self.descriptor, size_bytes + meeting_bytes(lanes))
        self.map = mmap.mmap(self.descriptor, 0)
        self._floats = np.frombuffer(self.map, np.float32)
        self.address, self._used = address_of(self._floats), meeting_bytes(lanes)

    def floats(self, size: int) -> Array:
        start = self._used // FLOAT_BYTES
        self._used += -(-size * FLOAT_BYTES // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        if self._used > self._floats.nbytes:
            raise ValueError(f"common memory of {self._floats.nbytes} bytes is full")
        return self._floats[start : start + size]

    def copy(self, array: Array) -> Array:
        mine = self.floats(array.size).reshape(array.shape)
        mine[...] = array
        return mine

    def place_of(self, array: Array) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        offset = address_of(array) - self.address
        if array.dtype != np.float32 or not 0 <= offset < self._floats.nbytes:
            raise ValueError("an operand of a recorded call is not in the common memory")
        return offset, array.shape, array.strides


class _Writer(pickle.Pickler):
    """Writes calls with arrays as places in the common memory."""

    def __init__(self, file: BytesIO, memory: Memory) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._memory = memory

    def persistent_id(self, value: Any) -> Any:
        return self._memory.place_of(value) if isinstance(value, np.ndarray) else None


class _Crew:
    """The processes of this one, one for each lane but the first."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.forgotten: deque[int] = deque()
        """Numbers of recordings that are gone, for whoever sends next: the end of an object may come at any place."""
        self._started = [_started(lane, lanes) for lane in range(1, lanes)]

    def send(self, what: bytes, number: int, payloads: Sequence[bytes] = (), descriptor: int | None = None) -> None:
        while self.forgotten:
            self._send(FORGET, self.forgotten.popleft())
        self._send(what, number, payloads, descriptor)

    def _send(self, what: bytes, number: int, payloads: Sequence[bytes] = (), descriptor: int | None = None) -> None:
        for i, (_, connection) in enumerate(self._started):
            payload = payloads[i] if payloads else b""
            head = MESSAGE.pack(what, number, len(payload))
            if descriptor is None:
                connection.sendall(head)
            else:
                socket.send_fds(connection, [head], [descriptor])
                connection.sendall(payload)

    def check(self) -> None:
        """Raises ConnectionError if one of the processes has ended."""
        if any(process.poll() is not None for process, _ in self._started):
            raise ConnectionError("a process for kernels has ended")

    def end(self) -> None:
        for process, connection in self._started:
            connection.close()
            process.kill()
            process.wait()


def _started(lane: int, lanes: int) -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    environment = {**os.environ, **dict.fromkeys(threads.VARIABLES, "1")}
    environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    command = [sys.executable, "-P", str(Path(peer.__file__)), str(theirs.fileno()), str(lane), str(lanes)]
    with theirs:
        try:
            process = subprocess.Popen(
                command,
                pass_fds=[theirs.fileno()],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        except OSError:
            ours.close()
            raise
    return process, ours


_crews: list[_Crew] = []
_numbers = count()


def _crew(lanes: int) -> _Crew:
    """The one crew, started at its first use."""
    if _crews and _crews[0].lanes != lanes:
        dismiss()
    if not _crews:
        _crews.append(_Crew(lanes))
    return _crews[0]


@atexit.register
def dismiss() -> None:
    """End the processes; the next recording starts others."""
    while _crews:
        _crews.pop().end()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_crews.clear)


class Shared:
    """Phases of calls, in each of which every lane has a list, among this process and others."""

    def __init__(self, phases: Sequence[Sequence[Sequence[NumpyCall]]], memory: Memory, lanes: int) -> None:
        self._crew, self._number = _crew(lanes), next(_numbers)
        self._meeting = Meeting(memory.map, 0, lanes, self._crew.check)
        payloads = []
        for lane in range(1, lanes):
            file = BytesIO()
            _Writer(file, memory).dump([list(phase[lane]) for phase in phases])
            payloads.append(file.getvalue())
        self._crew.send(LOAD, self._number, payloads, memory.descriptor)
        memory.close_file()
        weakref.finalize(self, self._crew.forgotten.append, self._number)

    def are_ready(self) -> bool:
        """Whether the others have the calls, and are still there."""
        return self._crew in _crews and self._meeting.are_ready()

    def run(self, prepare: Callable[[], object], phases: Sequence[Callable[[], object]]) -> bool:
        """Run this process's share of every phase; `prepare` comes before the first, while the others wake up.

        False if one of the others has ended meanwhile: then results are not whole, and nobody is ready any more.
        """
        try:
            self._crew.send(RUN, self._number)
            prepare()
            self._meeting.meet()
            for phase in phases:
                phase()
                self._meeting.meet()
        except ConnectionError:
            dismiss()
            return False
        except BaseException:
            dismiss()  # they would wait for this one for ever
            raise
        return True


class Pace:
    """Whether to go together with the other processes: not for a while where that took longer than to go without them.

    On a busy machine lanes wait for each other while somebody else has the processor, after each phase anew.
    """

    def __init__(self) -> None:
        self._apart_s, self._left, self._pause = float("inf"), 0, 1

    def together(self) -> bool:
        self._left -= 1
        return self._left < 0 and self._apart_s < float("inf")

    def took(self, seconds: float, *, together: bool) -> None:
        """Learn from a run; after each failure twice as many runs go without, up to MOST_APART."""
        if not together:
            self._apart_s = seconds
        elif seconds > self._apart_s:
            self._left, self._pause = self._pause, min(2 * self._pause, MOST_APART)
        else:
            self._pause = 1
