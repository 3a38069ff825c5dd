"""How wide an interval has to be, from the errors on a few networks that were left out.

A dozen networks say little of the one in ten that is worst, so their quantile is drawn to what many others say of the
shape of errors: how many times its median error the quantile of a group is.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARE = 0.9


def quantile(sizes: Array, share: float = SHARE) -> float:
    """Of one more than was seen: between the ranks around (n + 1) share, the largest if that is beyond them.

    Source: Vovk et al., split conformal prediction; Hyndman and Fan, type 6.
    """
    return float(np.quantile(sizes, share, method="weibull"))


def spread(sizes: Array, tail: float, pooled: float) -> float:
    """The factor either way that holds `SHARE` of networks like those whose |logarithm of predicted over measured| is
    given; that `tail` times their median is the quantile counts as much as `pooled` of them.

    >>> round(spread(np.array([0.1] * 9), 3.9, 0), 3), round(spread(np.array([0.1] * 9), 3.9, 9), 3)
    (1.105, 1.278)
    """
    own, usual = quantile(sizes), float(np.median(sizes))
    return float(np.exp((len(sizes) * own + pooled * tail * usual) / (len(sizes) + pooled)))
