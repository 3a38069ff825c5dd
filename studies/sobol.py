"""Sobol's low-discrepancy sequence and Latin hypercubes in the unit cube.

Direction numbers: S. Joe and F. Y. Kuo, "Constructing Sobol sequences with better two-dimensional projections",
SIAM Journal on Scientific Computing 30 (2008), the first dimensions of their table new-joe-kuo-6.21201.
"""

from typing import Any

import numpy as np

from partita.errors import StudyError

Floats = np.ndarray[Any, np.dtype[np.float64]]
BITS = 30
PRIMITIVE: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (1, 0, (1,)),
    (2, 1, (1, 3)),
    (3, 1, (1, 3, 1)),
    (3, 2, (1, 1, 1)),
    (4, 1, (1, 1, 3, 3)),
    (4, 4, (1, 3, 5, 13)),
    (5, 2, (1, 1, 5, 5, 17)),
    (5, 4, (1, 1, 5, 5, 5)),
    (5, 7, (1, 1, 7, 11, 19)),
    (5, 11, (1, 1, 5, 1, 1)),
    (5, 13, (1, 1, 1, 3, 11)),
    (5, 14, (1, 3, 5, 5, 31)),
)
"""Degree, inner coefficients as bits, and initial numbers of each dimension from the second on."""
MOST_DIMENSIONS = 1 + len(PRIMITIVE)


def sobol(points: int, dimensions: int) -> Floats:
    """The first points of the sequence, [points, dimensions] in [0, 1), in Gray code order; the first is 0."""
    if dimensions > MOST_DIMENSIONS:
        raise StudyError(
            f"a Sobol design has at most {MOST_DIMENSIONS} variables, this has {dimensions}; use latin_hypercube"
        )
    found = np.zeros((points, dimensions))
    for dimension in range(dimensions):
        directions = _directions(dimension)
        number = 0
        for index in range(1, points):
            lowest_zero = (~(index - 1) & index).bit_length() - 1
            number ^= directions[lowest_zero]
            found[index, dimension] = number / 2**BITS
    return found


def _directions(dimension: int) -> list[int]:
    if dimension == 0:
        return [1 << (BITS - 1 - i) for i in range(BITS)]
    degree, coefficients, initial = PRIMITIVE[dimension - 1]
    found = [m << (BITS - 1 - i) for i, m in enumerate(initial)]
    for i in range(degree, BITS):
        number = found[i - degree] ^ (found[i - degree] >> degree)
        for k in range(1, degree):
            if coefficients >> (degree - 1 - k) & 1:
                number ^= found[i - k]
        found.append(number)
    return found


def latin_hypercube(points: int, dimensions: int, seed: int) -> Floats:
    """One point in each of `points` equal slices of every dimension, [points, dimensions] in [0, 1)."""
    if not dimensions:
        return np.zeros((points, 0))
    generator = np.random.default_rng(seed)
    places = np.stack([generator.permutation(points) for _ in range(dimensions)], axis=1)
    return (places + generator.random((points, dimensions))) / max(points, 1)
