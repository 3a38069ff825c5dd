"""Arenas that several threads ask for."""

import sys
import threading

from partita.kernels.arena import Arena, held_arena


def test_threads_that_make_arenas_at_the_same_time_each_hold_their_own() -> None:
    errors: list[Exception] = []

    def make_many() -> None:
        try:
            for _ in range(100):
                held: list[Arena] = [held_arena(16) for _ in range(20)]
                for arena in held:
                    arena.lock.release()
        except RuntimeError as error:
            errors.append(error)

    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=make_many) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(usual_s)
    assert errors == []
