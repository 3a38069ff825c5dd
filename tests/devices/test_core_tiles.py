"""What products by constant matrices have to do where they are cut into tiles."""

import pytest

from partita.devices.core_tiles import MOST_MACS, tile_counts
from partita.graph.products import Matmul

CACHE = float(1 << 20)


def product(m: int, k: int, n: int) -> Matmul:
    return Matmul(batch=1, m=m, n=n, k=k)


def test_a_product_that_fits_a_tile_reads_its_panel_once() -> None:
    assert tile_counts(product(16, 64, 64), CACHE) == {
        "msteps": pytest.approx(64 / 1e6),
        "mmacs_idle": 0.0,
        "mb_panels": pytest.approx(64 * 64 * 4 / 1e6),
        "mb_panels_far": 0.0,
    }


def test_the_deeper_a_product_the_more_steps_its_multiplications_take() -> None:
    shallow, deep = tile_counts(product(64, 1024, 512), CACHE), tile_counts(product(64, 4096, 128), CACHE)
    assert deep["msteps"] > 3 * shallow["msteps"]
    assert deep["mb_panels"] > shallow["mb_panels"]


def test_panels_come_from_afar_where_a_tile_is_larger_than_the_cache() -> None:
    rows, depth = 16, 7800  # panels of 32 columns, four rows at a time
    assert depth * 32 * 4 <= MOST_MACS < depth * 32 * 5
    found = tile_counts(product(rows, depth, 512), CACHE)
    assert found["mb_panels_far"] == found["mb_panels"] == pytest.approx(rows / 4 * depth * 512 * 4 / 1e6)
    assert tile_counts(product(rows, depth, 512), 2 * CACHE)["mb_panels_far"] == 0.0


@pytest.mark.parametrize(("columns", "share"), [(64, 0.0), (24, 8 / 24), (20, 12 / 20), (8, 1.0)])
def test_columns_that_do_not_fill_a_vector_leave_places_idle(columns: int, share: float) -> None:
    assert tile_counts(product(32, 64, columns), CACHE)["mmacs_idle"] == pytest.approx(share * 32 * 64 * columns / 1e6)


@pytest.mark.parametrize("whole", [product(64, 64, 30), product(1, 64, 64), product(64, 40_000, 64)])
def test_odd_columns_one_row_and_very_deep_products_are_not_cut(whole: Matmul) -> None:
    assert tile_counts(whole, CACHE) == {
        "mmacs_whole": pytest.approx(whole.macs / 1e6),
        "mb_whole": pytest.approx(whole.k * whole.n * 4 / 1e6),
    }


def test_a_product_by_a_computed_matrix_is_not_cut() -> None:
    assert set(tile_counts(product(64, 64, 64), CACHE, is_constant=False)) == {"mmacs_whole", "mb_whole"}
