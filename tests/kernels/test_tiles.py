"""Products by constant matrices in tiles."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.devices import core_tiles
from partita.kernels import blas, tiles
from partita.kernels.arrays import Array
from tests.kernels.oracle import examples, seeds

columns = st.one_of(st.integers(1, 200), st.integers(1, 80).map(lambda n: 16 * n), st.just(1000))


def noise(seed: int, *shape: int) -> Array:
    array = np.random.default_rng(seed).standard_normal(shape, np.float32)
    array.flags.writeable = False
    return array


def some_columns(b: Array, part: slice) -> Array:
    return b[..., part]


def exact(a: Array, b: Array) -> Array:
    return np.matmul(a.astype(np.float64), b.astype(np.float64))


@examples
@given(st.integers(2, 150), st.one_of(st.integers(1, 600), st.sampled_from([2048, 5000])), columns, seeds)
def test_tiles_give_the_product_and_no_cut_of_the_rows_changes_a_bit(m: int, k: int, n: int, seed: int) -> None:
    a, b = noise(seed, m, k), noise(seed + 1, k, n)
    by = tiles.panels(b, "matrix", n, some_columns, m)
    whole = np.full((m, n), np.nan, np.float32)
    tiles.multiply_rows(a, by, whole)
    np.testing.assert_allclose(whole, exact(a, b), rtol=1e-4, atol=2e-6 * k + 1e-5)
    if not by.can_be_cut:
        return
    for count in (2, 3, 5):
        parts = np.full((m, n), np.nan, np.float32)
        for rows in tiles.row_cuts(m, count):
            tiles.multiply_rows(a[rows], by, parts[rows])
        np.testing.assert_array_equal(parts, whole)


@examples
@given(st.integers(2, 5000), st.integers(1, 250_000))
def test_no_tile_is_one_row_or_too_large(m: int, panel: int) -> None:
    height, even = tiles._tiling(m, panel)
    assert even % height == 0
    assert 0 <= even <= m
    assert m - even != 1
    assert max(height, m - even) * panel <= tiles.MOST_WORK
    assert height > 1


@pytest.mark.parametrize("n", [64, 150, 152, 1000])
def test_some_of_the_columns_are_those_of_the_whole(n: int) -> None:
    a, b = noise(0, 30, 70), noise(1, 70, n)
    by = tiles.panels(b, "matrix", n, some_columns, 30)
    out = np.empty((30, n), np.float32)
    half = n // 2 // by.width * by.width
    for part in (slice(0, half), slice(half, n)):
        tiles.multiply_rows(a, by.some(part), out[:, part])
    np.testing.assert_allclose(out, exact(a, b), rtol=1e-4, atol=1e-4)


def test_a_stack_of_matrices_and_rows_that_lie_apart_are_multiplied_as_they_lie() -> None:
    a, b = noise(0, 16, 9, 40)[:, ::2, :33], noise(1, 16, 33, 96)
    by = tiles.panels(b, "stack", 96, some_columns, 9)
    out = np.zeros((16, 5, 2, 96), np.float32)
    tiles.multiply_rows(a, by, out[:, :, 1])
    np.testing.assert_allclose(out[:, :, 1], exact(a, b), rtol=1e-4, atol=1e-4)
    assert not out[:, :, 0].any()


def finished_parts(a: Array, b: Array) -> tuple[Array, list[tuple[slice, slice]]]:
    out, parts = np.empty((len(a), b.shape[1]), np.float32), []

    def finish(block: Array, rows: slice, columns: slice) -> None:
        assert np.shares_memory(block, out[rows, columns])
        np.negative(block, out=block)
        parts.append((rows, columns))

    some = tiles.tiled(b, "matrix", b.shape[1], some_columns, len(a))
    assert some is not None
    tiles.multiply(a, some, out, finish)
    return out, parts


@pytest.mark.skipif(not blas.has_small_products(), reason="this BLAS has no code for small products")
@pytest.mark.parametrize(("m", "n"), [(3000, 96), (64, 2048)])
def test_threads_finish_every_part_once(m: int, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = noise(0, m, 80), noise(1, 80, n)
    results = []
    for count in (1, 2, 3):
        monkeypatch.setattr("partita.kernels.threads.threads", lambda count=count: count)
        out, parts = finished_parts(a, b)
        assert len(parts) >= count
        np.testing.assert_allclose(out, -exact(a, b), rtol=1e-4, atol=1e-4)
        results.append(out)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_without_code_for_small_products_there_is_one_panel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "has_small_products", lambda: False)
    a, b = noise(0, 30, 70), noise(1, 70, 128)
    assert tiles.tiled(b, "none", 128, some_columns, 30) is None
    by = tiles.panels(b, "none", 128, some_columns, 30)
    assert by.whole.shape == (1, 70, 128)
    out = np.empty((30, 128), np.float32)
    tiles.multiply_rows(a, by, out)
    np.testing.assert_array_equal(out, np.matmul(a, b))


@pytest.mark.parametrize("change", [{"writeable": True}, {"dtype": np.float64}, {"rows": 1}])
def test_what_gains_nothing_is_not_kept_in_another_order(change: dict[str, Any]) -> None:
    b = noise(0, 40, 64).astype(change.get("dtype", np.float32))
    b.flags.writeable = change.get("writeable", False)
    assert tiles.tiled(b, "matrix", 64, some_columns, change.get("rows", 8)) is None


@examples
@given(st.integers(1, 70_000), columns)
def test_the_law_of_a_core_counts_the_panels_that_there_are(k: int, n: int) -> None:
    assert tiles.panel_width(k, n) == core_tiles.panel_width(k, n)
