"""An ensemble of regression trees as flat arrays, evaluated in numpy."""

from dataclasses import dataclass

import numpy as np

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Bools = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
ROWS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Trees one after the other: node i goes left if feature[i] <= threshold[i]; a leaf points at itself."""

    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats
    """Of leaves."""
    roots: Ints
    depth: int

    def predict(self, features: Floats) -> Floats:
        """The sum of the trees for each row of [rows, features]."""
        children = np.stack([self.left, self.right], axis=1).reshape(-1)
        blocks = range(0, len(features), ROWS_AT_ONCE)
        sums = [self._sum_of(features[start : start + ROWS_AT_ONCE], children) for start in blocks]
        return np.concatenate(sums) if sums else np.zeros(0)

    def _sum_of(self, features: Floats, children: Ints) -> Floats:
        """Of few rows, so that what is looked up stays in the processor's caches."""
        count = len(self.roots)
        values = np.ascontiguousarray(features).reshape(-1)
        starts = np.repeat(np.arange(len(features)) * features.shape[1], count)
        at = np.tile(self.roots, len(features))
        for _ in range(self.depth):
            goes_right = values.take(starts + self.feature.take(at)) > self.threshold.take(at)
            at = children.take(2 * at + goes_right)
        total: Floats = self.value.take(at).reshape(len(features), count).sum(axis=1)
        return total
