"""Compiled products and convolutions against numpy's. Skipped where numba is not installed."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from partita.kernels import compiled, threads
from partita.kernels.arrays import Array
from partita.kernels.compiled import Ending
from partita.kernels.conv_plan import convolve_planned
from partita.kernels.conv_schedules import conv_im2col_first
from partita.kernels.depthwise import conv_depthwise_first
from partita.kernels.registry import kernel_for
from partita.kernels.windows import channels_last, channels_second, make_windows
from tests.kernels.oracle import examples, seeds

pytest.importorskip("numba")


def noise(rng: np.random.Generator, *shape: int) -> Array:
    array = rng.standard_normal(shape, np.float32)
    array.flags.writeable = False
    return array


def as_told(product: Array, ending: Ending) -> Array:
    """`product` (rows, columns) with the ending by numpy."""
    y = product if ending.bias is None else product + ending.bias
    y = y if ending.addend is None else y + ending.addend
    return np.clip(y, ending.low, ending.high)


def an_ending(rng: np.random.Generator, rows: int, columns: int, kind: int) -> Ending:
    low, high = (np.float32(-0.5), np.float32(1)) if kind & 4 else compiled.UNLIMITED
    return Ending(noise(rng, columns) if kind & 1 else None, noise(rng, rows, columns) if kind & 2 else None, low, high)


@examples
@given(m=st.integers(1, 40), k=st.sampled_from((1, 3, 50, 800, 1700)), n=st.integers(1, 70), kind=st.integers(0, 7),
       seed=seeds)  # fmt: skip
def test_a_compiled_product_is_numpy_s(m: int, k: int, n: int, kind: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = noise(rng, m, k), noise(rng, k, n)
    ending = an_ending(rng, m, n, kind)
    expected = as_told(a.astype(np.float64) @ b.astype(np.float64), ending)
    np.testing.assert_allclose(compiled.multiply(a, b, ending), expected, rtol=1e-4, atol=1e-4)


sizes = st.tuples(st.integers(3, 9), st.integers(3, 9))


shapes_of_windows = st.tuples(sizes, st.integers(1, 3), st.integers(1, 2), st.integers(1, 2), st.integers(0, 1))


@examples
@given(shape=shapes_of_windows, channels=st.sampled_from((1, 4, 17, 300)), kind=st.integers(0, 7), seed=seeds)
def test_a_compiled_convolution_is_numpy_s(
    shape: tuple[tuple[int, int], int, int, int, int], channels: int, kind: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    size, kernel, stride, dilation, pad = shape
    assume(min(size) + 2 * pad >= (kernel - 1) * dilation + 1)
    windows = make_windows(
        size, (kernel,) * 2, strides=(stride,) * 2, dilations=(dilation,) * 2, pads=(pad, pad, pad, pad)
    )
    filters = 5 + 16 * (kind % 3)
    x = channels_second(noise(rng, 2, *size, channels))
    w = noise(rng, filters, channels, kernel, kernel)
    rows = 2 * windows.outputs[0] * windows.outputs[1]
    ending = an_ending(rng, rows, filters, kind)
    y = channels_last(convolve_planned(x, w, windows, 1, ending)).reshape(rows, filters)
    plain = channels_last(conv_im2col_first(x, w, windows, 1)).reshape(rows, filters)
    np.testing.assert_allclose(y, as_told(plain, ending), rtol=1e-4, atol=1e-4)


@examples
@given(size=sizes, kernel=st.sampled_from((1, 3, 5)), stride=st.integers(1, 2), channels=st.sampled_from((1, 16, 35)),
       kind=st.integers(0, 7), seed=seeds)  # fmt: skip
def test_a_compiled_depthwise_convolution_is_numpy_s(
    size: tuple[int, int], kernel: int, stride: int, channels: int, kind: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    windows = make_windows(size, (kernel,) * 2, strides=(stride,) * 2, pads=(kernel // 2,) * 4)
    x, w = channels_second(noise(rng, 2, *size, channels)), noise(rng, channels, 1, kernel, kernel)
    rows = 2 * windows.outputs[0] * windows.outputs[1]
    ending = an_ending(rng, rows, channels, kind)
    y = channels_last(convolve_planned(x, w, windows, channels, ending)).reshape(rows, channels)
    plain = channels_last(conv_depthwise_first(x, w, windows, channels)).reshape(rows, channels)
    np.testing.assert_allclose(y, as_told(plain, ending), rtol=1e-4, atol=1e-4)


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = noise(rng, 200, 300), noise(rng, 300, 400)
    ending = an_ending(rng, 200, 400, 7)
    results = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "threads", lambda count=count: count)
        results.append(compiled.multiply(a, b, ending))
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize(("size", "stride"), [((9, 7), 1), ((5, 20), 1), ((13, 25), 2), ((3, 6), 1)])
def test_threads_change_no_bit_of_a_depthwise_convolution(
    size: tuple[int, int], stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    windows = make_windows(size, (3, 3), strides=(stride,) * 2, pads=(1, 1, 1, 1))
    x, w = channels_second(noise(rng, 2, *size, 40)), noise(rng, 40, 1, 3, 3)
    monkeypatch.setattr(compiled, "LEAST_WORK", 0)
    results = []
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "threads", lambda count=count: count)
        results.append(convolve_planned(x, w, windows, 40))
    plain = conv_depthwise_first(x, w, windows, 40)
    for result in results:
        np.testing.assert_array_equal(result, results[0])
        np.testing.assert_allclose(result, plain, rtol=1e-4, atol=1e-4)


def test_weights_that_somebody_may_write_to_are_not_kept() -> None:
    a, b = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32)
    assert not compiled.suits_weight(a, b)
    b.flags.writeable = False
    assert compiled.suits_weight(a, b) == compiled.is_available()
    assert not compiled.suits_weight(a.astype(np.float64), b)


def test_compiled_rows_are_numpy_s() -> None:
    rng = np.random.default_rng(0)
    x, scale, shift = noise(rng, 7, 5, 130) * 3, noise(rng, 130), noise(rng, 130)
    y = x.copy()
    compiled.gelu_in_place(y)
    np.testing.assert_allclose(y, kernel_for("Gelu").function(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(compiled.softmax(x), kernel_for("Softmax").function(x), rtol=1e-5, atol=1e-7)
    results = compiled.layer_normalization(x, scale, shift, 1e-5)
    for result, expected in zip(results, kernel_for("LayerNormalization").function(x, scale, shift), strict=True):
        np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_compiled_rows_treat_nan_and_infinity_as_numpy_does() -> None:
    odd = np.array([[np.nan, 1, 2], [np.inf, 1, 2], [-np.inf, 1, 2], [-1e30, 0, 88], [1e30, -200, 200]], np.float32)
    np.testing.assert_allclose(compiled.softmax(odd), kernel_for("Softmax").function(odd), rtol=1e-5, atol=1e-37)
    y = odd.copy()
    compiled.gelu_in_place(y)
    np.testing.assert_allclose(y, kernel_for("Gelu").function(odd), rtol=1e-5, atol=1e-6)


def attended(q: Array, k: Array, v: Array, mask: Array | None, **attributes: int) -> tuple[Array, Array]:
    """Attention by compiled code and by numpy's."""
    attention = kernel_for("Attention").function
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "is_available", lambda: False)
        expected = attention(q, k, v, mask, **attributes)[0]
    return attention(q, k, v, mask, **attributes)[0], expected


@examples
@given(queries=st.sampled_from((16, 33, 130)), keys=st.sampled_from((1, 15, 32, 49, 900)),
       size=st.sampled_from((16, 48)), group=st.integers(1, 2), mask=st.sampled_from(("none", "all", "by head")),
       seed=seeds)  # fmt: skip
def test_compiled_attention_is_numpy_s(queries: int, keys: int, size: int, group: int, mask: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, k, v = (
        noise(rng, 2, 4, queries, size),
        noise(rng, 2, 4 // group, keys, size),
        noise(rng, 2, 4 // group, keys, 32),
    )
    added = None
    if mask != "none":
        added = noise(rng, 1, 4 if mask == "by head" else 1, queries, keys).copy()
        added[..., 0, :] = -np.inf  # a query without keys
        added[..., 1, :-1] = -np.inf
    y, expected = attended(q, k, v, added)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_compiled_attention_of_joined_heads_is_numpy_s() -> None:
    rng = np.random.default_rng(0)
    q, k, v = (noise(rng, 2, 70, 4 * 32) for _ in range(3))
    y, expected = attended(q, k, v, None, q_num_heads=4, kv_num_heads=4)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_chains_keep_infinities_and_nan() -> None:
    x = np.array([[0, -np.inf, 200, -200, np.nan, np.inf] * 5] * 2, np.float32)
    x[1, :] = [-np.inf, 1, 3] * 10
    for op, y in (("Softmax", compiled.softmax(x)), ("Gelu", x.copy())):
        if op == "Gelu":
            compiled.gelu_in_place(y)
        np.testing.assert_allclose(y, kernel_for(op).function(x), rtol=1e-5, atol=1e-6)


def test_a_product_ends_with_gelu_whoever_computes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = noise(rng, 20, 90), noise(rng, 90, 700)
    plain = compiled.multiply(a, b)
    expected = kernel_for("Gelu").function(plain)
    for count in (1, 2, 3):
        monkeypatch.setattr(threads, "threads", lambda count=count: count)
        y = compiled.multiply(a, b, Ending(gelu=True))
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(compiled.multiply(a, b), plain)


def test_a_row_times_a_matrix_that_lies_transposed_is_numpy_s(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = noise(rng, 1, 301), noise(rng, 259, 301).T
    assert compiled.suits_dots(a, b)
    monkeypatch.setattr(threads, "threads", lambda: 1)
    alone = kernel_for("MatMul").function(a, b)
    np.testing.assert_allclose(alone, a.astype(np.float64) @ b, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(threads, "threads", lambda: 3)
    np.testing.assert_array_equal(kernel_for("MatMul").function(a, b), alone)
