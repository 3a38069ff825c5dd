"""Products by a constant matrix, cut into tiles so small that BLAS multiplies both operands as they lie.

A tile is some rows of one operand by a panel, some columns of the other. Panels are read once for each tile of rows,
and rows once for each panel; the deeper a product is, the smaller are its tiles, and the more is read. Source: the
conditions of OpenBLAS 0.3.31, kernel/x86_64/sgemm_small_kernel_permit_skylakex.c, and `kernels.tiles`, which cuts so.
"""

from partita.graph.dtypes import size_bytes
from partita.graph.products import Matmul
from partita.units import BYTES_PER_MB, MACS_PER_MMAC, OPS_PER_MOP

MOST_MACS = 1_000_000
"""Of a tile."""
WIDTHS = (64, 32, 48, 16)
"""Columns of a panel, best first."""
FEW_COLUMNS = 128
"""Up to so many columns that no width divides are one panel."""
LEAST_HEIGHT = 4
"""Rows of a tile that a panel must be small enough for."""
GROUP = 4
"""Columns of which a matrix must have a multiple to be cut."""
VECTOR = 16
"""Columns that are multiplied at once; the last ones of a panel may not fill a vector."""


def tile_counts(product: Matmul, cache_bytes: float, *, is_constant: bool = True) -> dict[str, float]:
    """What tiles read again, their steps in depth, the places in vectors that stay empty; or what is not in tiles."""
    width = panel_width(product.k, product.n) if is_constant else 0
    if width == 0 or product.m < 2:
        right_bytes = size_bytes(product.k * product.n, "float32")
        return {"mmacs_whole": product.macs / MACS_PER_MMAC, "mb_whole": right_bytes / BYTES_PER_MB}
    height = max(1, min(product.m, MOST_MACS // (product.k * width)))
    row_bytes = size_bytes(product.k, "float32")
    panels_mb = row_bytes * product.n * product.m / height / BYTES_PER_MB
    return {
        "msteps": product.macs / (height * width) / OPS_PER_MOP,
        "mmacs_idle": -width % VECTOR / width * product.macs / MACS_PER_MMAC,
        "mb_panels": panels_mb,
        "mb_panels_far": panels_mb if row_bytes * (width + height) > cache_bytes else 0.0,
    }


def panel_width(depth: int, columns: int) -> int:
    """Columns of a panel; 0 where the product is not cut, as where panels would be too narrow to gain."""
    most = MOST_MACS // (LEAST_HEIGHT * max(1, depth))
    if columns % GROUP or most < WIDTHS[1] < columns:
        return 0
    fitting = [width for width in WIDTHS if width <= min(columns, most)]
    whole = columns if columns <= min(FEW_COLUMNS, most) else next(iter(fitting), 0)
    return next((width for width in fitting if columns % width == 0), whole)
