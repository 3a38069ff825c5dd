"""A difference between outputs as the JSON documents have it."""

import math
from typing import Any

from partita.kernels.compare import Difference


def difference_document(difference: Difference) -> dict[str, Any]:
    """Numbers that are not finite are null."""
    return {
        "max_relative": finite_or_none(difference.max_relative),
        "mean_relative": finite_or_none(difference.mean_relative),
        "snr_db": finite_or_none(difference.snr_db),
        "cosine": finite_or_none(difference.cosine),
        "top1_agrees": difference.top1_agrees,
    }


def finite_or_none(number: float | None) -> float | None:
    """JSON has no infinity."""
    return number if number is not None and math.isfinite(number) else None
