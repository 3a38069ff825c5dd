"""Fits the wave law and its trees to kernels of one GPU, and the constants of a whole model to model latencies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from partita.devices.laws import gpu_waves
from partita.devices.laws.delegate import Gpu, launched
from partita.devices.laws.gpu_kernels import KINDS, Columns
from partita.devices.laws.gpu_waves import KernelLaw
from partita.devices.laws.trees import Floats, Trees

TREES, FIRST_TREES = 280, 150
WEIGHT_OF_ORDER = 0.3
"""Of a size that was not measured, beside one for each measurement."""
SETTINGS = {
    "objective": "fair", "fair_c": 0.05, "learning_rate": 0.06, "num_leaves": 70, "min_data_in_leaf": 2,
    "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 1, "max_depth": 12, "seed": 1,
    "num_threads": 1, "deterministic": True, "force_row_wise": True, "verbose": -1,
}  # fmt: skip
RIDGE = 0.02
SMALLEST_RESIDUAL = 0.03
"""Relative errors below it weigh alike."""
PASSES = 3
FEWEST_ROWS = 60
"""Fewer rows of one kernel of a kind have the kind's coefficients, fewer of a kind the interval of all."""
SHARE_BELOW, SHARE_ABOVE = 0.05, 0.95


def fit_kernels(base: Floats, measured_us: Floats, chip: Gpu) -> KernelLaw:
    """The law that fits kernels of a GPU best; `base` has rows of `gpu_kernels.BASE`.

    The trees are grown twice: then also on sizes next to those measured of which the first ones broke the order.
    """
    kinds, columns = base[:, 0].astype(int), Columns(base)
    launch = launched(columns, chip)
    terms, names = gpu_waves.physical_terms(columns, launch, chip), gpu_waves.kernel_names(columns, launch)
    coefficients = fit_physical(terms, np.array([KINDS[kind] for kind in kinds]), measured_us)
    known = np.array([(names == name).sum() >= FEWEST_ROWS for name in names])
    coefficients |= fit_physical(terms[known], names[known], measured_us[known])
    physical = KernelLaw(chip, coefficients, None, {})
    seen = physical.seen(base)
    target, weights = np.log(measured_us) - seen.log_physical, np.ones(len(base))
    found, corrected = _in_order(physical, base, grown(seen.features, target, weights, FIRST_TREES))
    trees = flattened(
        grown(
            np.concatenate([seen.features, found]),
            np.concatenate([target, corrected]),
            np.concatenate([weights, np.full(len(found), WEIGHT_OF_ORDER)]),
            TREES,
        )
    )
    longest = {KINDS[kind]: float(np.exp(seen.log_physical[kinds == kind].max())) for kind in np.unique(kinds)}
    return KernelLaw(chip, coefficients, trees, longest)


def grown(features: Floats, target: Floats, weights: Floats, trees: int) -> Any:
    """A trained LightGBM model."""
    import lightgbm

    return lightgbm.train(SETTINGS, lightgbm.Dataset(features, target, weight=weights), trees)


def _in_order(physical: KernelLaw, base: Floats, first: Any) -> tuple[Floats, Floats]:
    """Neighbours of the rows that take more than a larger kernel or less than a smaller one: features, corrections.

    The corrections bring each to its nearest bound, or half way between bounds that contradict each other.
    """
    rows = np.unique(base, axis=0)
    sides = [gpu_waves.neighbours(rows, direction) for direction in (-1, 1)]
    others, place = np.unique(np.concatenate([side.rows for side in sides]), axis=0, return_inverse=True)
    own, seen = physical.seen(rows), physical.seen(others)
    own_log = own.log_physical + np.asarray(first.predict(own.features))
    found_log = seen.log_physical + np.asarray(first.predict(seen.features))
    most, least = np.full(len(others), np.inf), np.full(len(others), -np.inf)
    less, more = np.split(place.reshape(-1), [len(sides[0].rows)])
    for choose, bounds, at, owners, sign in (
        (np.minimum, most, less, sides[0].owners, 1),
        (np.maximum, least, more, sides[1].owners, -1),
    ):
        choose.at(bounds, at, own_log[owners] + sign * gpu_waves.forgiven(seen.names[at], own.names[owners]))
    kept_log = np.where(least > most, (least + most) / 2, np.clip(found_log, least, most))
    moved = kept_log != found_log
    return seen.features[moved], (kept_log - seen.log_physical)[moved]


def trees_alone_us(known: Columns, measured_us: Floats, asked: Columns, chip: Gpu) -> Floats:
    """What trees say that are fitted to the logarithm of time, without a physical part beneath them.

    By least squares, since the loss of `SETTINGS` is for what is small from the start.
    """
    import lightgbm

    seen, wanted = (gpu_waves.features(c, launched(c, chip), chip, np.zeros(len(c.base))) for c in (known, asked))
    settings = SETTINGS | {"objective": "l2"}
    predicted = lightgbm.train(settings, lightgbm.Dataset(seen, np.log(measured_us)), TREES).predict(wanted)
    result: Floats = np.exp(np.asarray(predicted))
    return result


def fit_physical(terms: Floats, names: np.ndarray[Any, Any], measured_us: Floats) -> dict[str, Floats]:
    """Non-negative coefficients by name, for small relative errors (re-weighted towards absolute ones)."""
    from scipy.optimize import nnls

    found: dict[str, Floats] = {}
    for name in np.unique(names).tolist():
        inside = names == name
        relative = terms[inside] / measured_us[inside][:, None]
        scale = relative.mean(axis=0)
        scale[scale == 0] = 1.0
        relative /= scale
        ridge = np.eye(relative.shape[1]) * RIDGE * np.sqrt(len(relative))
        weights = np.ones(len(relative))
        for _ in range(PASSES + 1):
            stacked = np.vstack([relative * weights[:, None], ridge])
            target = np.concatenate([weights, np.zeros(relative.shape[1])])
            solution, _ = nnls(stacked, target, maxiter=5000)
            weights = 1 / np.sqrt(np.maximum(np.abs(relative @ solution - 1), SMALLEST_RESIDUAL))
        found[name] = solution / scale
    return found


def flattened(booster: Any) -> Trees:
    """A trained LightGBM model as flat arrays."""
    nodes: list[tuple[int, float, int, int, float]] = []
    roots = []
    deepest = 0

    def add(node: Mapping[str, Any], depth: int) -> int:
        nonlocal deepest
        deepest = max(deepest, depth)
        index = len(nodes)
        nodes.append((0, 0.0, index, index, float(node.get("leaf_value", 0.0))))
        if "leaf_value" not in node:
            left, right = add(node["left_child"], depth + 1), add(node["right_child"], depth + 1)
            nodes[index] = (node["split_feature"], float(node["threshold"]), left, right, 0.0)
        return index

    for tree in booster.dump_model()["tree_info"]:
        roots.append(add(tree["tree_structure"], 0))
    feature, threshold, left, right, value = (np.array(column) for column in zip(*nodes, strict=True))
    return Trees(feature, threshold, left, right, value, np.array(roots), deepest)


def folds_by_group(groups: Sequence[str], folds: int, seed: int = 0) -> Iterator[np.ndarray[Any, np.dtype[np.bool_]]]:
    """For each fold, which rows are held out; rows of one group stay together."""
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[index]: number % folds for number, index in enumerate(order)}
    held = np.array([fold_of[group] for group in groups])
    for number in range(folds):
        yield held == number


def intervals(ratio: Floats, kinds: np.ndarray[Any, Any]) -> dict[str, tuple[float, float]]:
    """Kind -> factors between which 90 % of measured / predicted lie, for kernels that were held out."""
    found = {"all": _quantiles(ratio)}
    for kind in np.unique(kinds):
        inside = ratio[kinds == kind]
        if len(inside) >= FEWEST_ROWS:
            found[KINDS[int(kind)]] = _quantiles(inside)
    return found


def _quantiles(ratio: Floats) -> tuple[float, float]:
    """Never a factor on the wrong side of 1, so that the interval holds the prediction."""
    return min(1.0, float(np.quantile(ratio, SHARE_BELOW))), max(1.0, float(np.quantile(ratio, SHARE_ABOVE)))


def coverage(ratio: Floats, kinds: np.ndarray[Any, Any], groups: Sequence[str]) -> float:
    """Share of held-out measurements inside intervals that come from other models' held-out errors alone."""
    inside = np.zeros(len(ratio), dtype=bool)
    for held in folds_by_group(groups, 10, seed=1):
        known = intervals(ratio[~held], kinds[~held])
        for row in np.flatnonzero(held):
            low, high = known.get(KINDS[int(kinds[row])], known["all"])
            inside[row] = low <= ratio[row] <= high
    return float(inside.mean())
