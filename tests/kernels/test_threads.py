"""Kernels share their blocks among threads, and no bit depends on how many there are."""

import os
import threading
from collections.abc import Callable

import numpy as np
import pytest

from partita.kernels import blas, compiled, products, threads
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel_for
from partita.kernels.windows import make_windows
from partita.kernels.winograd import conv_winograd


def noise(*shape: int) -> Array:
    array = np.random.default_rng(0).standard_normal(shape, np.float32)
    array.flags.writeable = False
    return array


def attention() -> Array:
    q, k, v = (noise(1, 12, 128, 64) for _ in range(3))
    return kernel_for("Attention").function(q, k, v)[0]


def conv(*shape: int, group: int = 1, channels: int = 64, size: int = 30) -> Array:
    return kernel_for("Conv").function(noise(1, channels, size, size), noise(*shape), noise(shape[0]), group=group)


def constant_conv(*shape: int, size: int = 30) -> Array:
    """Of an image whose channels lie last, by weights that nobody writes to."""
    x, w = np.moveaxis(noise(1, size, size, shape[1]), -1, 1), noise(*shape)
    w.flags.writeable = False
    return kernel_for("Conv").function(x, w, noise(shape[0]))


SHARED: dict[str, Callable[[], Array]] = {
    "product of many rows": lambda: products.multiply(noise(1000, 80), noise(80, 70)),
    "product of many columns": lambda: products.multiply(noise(49, 300), noise(300, 1030)),
    "row times matrix": lambda: products.multiply(noise(1, 2000), noise(2000, 1000)),
    "matrix times column": lambda: products.multiply(noise(2000, 1000).T, noise(2000, 1)),
    "product of few rows": lambda: products.multiply(noise(40, 3200), noise(3200, 33)),
    "product in float64": lambda: products.multiply(noise(588, 88) * np.float64(1), noise(88, 427) * np.float64(1)),
    "stack times stack": lambda: products.multiply(noise(1, 12, 90, 70), noise(1, 12, 70, 90)),
    "stack that broadcasts": lambda: products.multiply(noise(5, 1, 130, 70), noise(3, 70, 90)),
    "pointwise convolution": lambda: conv(128, 64, 1, 1),
    "pointwise convolution by constants": lambda: constant_conv(128, 64, 1, 1),
    "convolution by constants": lambda: constant_conv(40, 64, 3, 3),
    "Winograd by constants": lambda: constant_conv(64, 64, 3, 3, size=41),
    "convolution": lambda: conv(40, 64, 3, 3),
    "Winograd": lambda: conv_winograd(noise(1, 64, 41, 40), noise(64, 64, 3, 3), make_windows((41, 40), (3, 3)), 1),
    "first convolution": lambda: conv(32, 3, 7, 7, channels=3, size=66),
    "depthwise convolution": lambda: conv(192, 1, 3, 3, group=192, channels=192),
    "softmax": lambda: kernel_for("Softmax").function(noise(700, 128)),
    "layer normalisation": lambda: kernel_for("LayerNormalization").function(noise(350, 768), noise(768), noise(768))[
        0
    ],
    "Gelu": lambda: kernel_for("Gelu").function(noise(130, 769)),
    "attention": attention,
}


@pytest.mark.parametrize("name", SHARED)
def test_threads_change_no_bit_of_a_kernel(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    results = []
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "threads", lambda count=count: count)
        results.append(SHARED[name]())
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


@pytest.mark.parametrize("name", SHARED)
def test_the_kernels_compared_do_share_their_work(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "is_available", lambda: False)
    monkeypatch.setattr(threads, "threads", lambda: 2)
    started: list[object] = []
    start = threads._Helper.start

    def noted(helper: threads._Helper, job: Callable[[], object]) -> None:
        started.append(job)
        start(helper, job)

    monkeypatch.setattr(threads._Helper, "start", noted)
    SHARED[name]()
    assert started


def test_products_are_numpy_s() -> None:
    for a, b in (
        (noise(1000, 80), noise(80, 70)),
        (noise(49, 300), noise(300, 1030)),
        (noise(5, 1, 130, 70), noise(3, 70, 90)),
    ):
        np.testing.assert_allclose(products.multiply(a, b), np.matmul(a, b), rtol=1e-4, atol=1e-4)


def test_every_part_is_done_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads", lambda: 4)
    for _ in range(200):
        done: list[int] = []
        threads.share(done.append, range(7))
        assert sorted(done) == list(range(7))


def test_an_error_of_a_part_is_raised_on_the_calling_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads", lambda: 2)
    both = threading.Barrier(2, timeout=10)

    def fail(part: int) -> None:
        both.wait()
        if threading.current_thread() is not threading.main_thread():
            raise ValueError(f"part {part}")

    with pytest.raises(ValueError, match="part"):
        threads.share(fail, range(2))
    done: list[int] = []
    threads.share(done.append, range(3))
    assert sorted(done) == [0, 1, 2]


def test_what_runs_on_the_pool_does_not_ask_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads", lambda: 2)
    threads_of: list[set[int]] = []

    def outer(_: int) -> None:
        inside: set[int] = set()
        threads.share(lambda _: inside.add(threading.get_ident()), range(50))
        threads_of.append(inside)

    threads.share(outer, range(4))
    assert all(len(inside) == 1 for inside in threads_of)


def test_inside_kept_apart_everything_runs_on_its_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads", lambda: 2)
    used: set[int] = set()
    with threads.kept_apart():
        threads.share(lambda _: used.add(threading.get_ident()), range(50))
    assert used == {threading.get_ident()}


def test_a_thread_that_sleeps_is_kept_off_the_processor_of_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is no choice of processors")
    (helper,) = threads._first(1)[:1]
    allowed = os.sched_getaffinity(0)
    for mine in allowed:
        monkeypatch.setattr(threads, "_number_of_processor", lambda mine=mine: lambda: mine)
        threads._keep_away(helper._thread)
        number = helper._thread.native_id
        assert number is not None
        assert os.sched_getaffinity(number) == allowed - {mine}
    assert os.sched_getaffinity(0) == allowed


def test_helpers_see_how_the_caller_treats_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "threads", lambda: 2)
    both, seen = threading.Barrier(2, timeout=10), []

    def look(_: int) -> None:
        both.wait()
        seen.append(np.geterr()["over"])

    with np.errstate(over="raise"):
        threads.share(look, range(2))
    assert seen == ["raise", "raise"]


def test_blas_keeps_to_one_thread_while_a_graph_runs_and_gets_its_pool_back(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = blas._pool()
    if pool is None:
        pytest.skip("numpy has no OpenBLAS here")
    before = pool.size()
    pool.resize(2)
    if pool.size() != 2:
        pytest.skip("this OpenBLAS has no threads")
    try:
        sizes = []
        with blas.on_one_thread():
            sizes.append(pool.size())
            with blas.on_one_thread():
                sizes.append(pool.size())
            sizes.append(pool.size())
        assert [*sizes, pool.size()] == [1, 1, 1, 2]
    finally:
        pool.resize(before)
