"""An ensemble of regression trees as flat arrays, evaluated in numpy."""

from dataclasses import dataclass

import numpy as np

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


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
        rows = np.arange(len(features))[:, None]
        at = np.broadcast_to(self.roots, (len(features), len(self.roots)))
        for _ in range(self.depth):
            goes_left = features[rows, self.feature[at]] <= self.threshold[at]
            at = np.where(goes_left, self.left[at], self.right[at])
        total: Floats = self.value[at].sum(axis=1)
        return total
