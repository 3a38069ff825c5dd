"""Fits the wave law and its trees to kernels of one GPU, and the constants of a whole model to model latencies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from partita.devices.laws import gpu_waves
from partita.devices.laws.gpu_waves import KINDS, Columns, KernelLaw
from partita.devices.laws.trees import Floats, Trees

TREES = 280
SETTINGS = {
    "objective": "l2", "learning_rate": 0.06, "num_leaves": 40, "min_data_in_leaf": 2, "feature_fraction": 0.5,
    "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 1, "max_depth": 9, "seed": 1, "num_threads": 1,
    "deterministic": True, "force_row_wise": True, "verbose": -1,
}  # fmt: skip
RIDGE = 0.003
SMALLEST_RESIDUAL = 0.03
"""Relative errors below it weigh alike."""
PASSES = 3
FEWEST_OF_A_KIND = 60
"""Fewer held-out errors than this give no interval of their own."""
SHARE_BELOW, SHARE_ABOVE = 0.05, 0.95


def fit_kernels(base: Floats, measured_us: Floats) -> KernelLaw:
    """The law that fits kernels best; `base` has rows of `gpu_waves.BASE`."""
    import lightgbm

    kinds = base[:, 0].astype(int)
    coefficients = fit_physical(gpu_waves.physical_terms(Columns(base)), kinds, measured_us)
    columns = Columns(base)
    physical = KernelLaw(coefficients, None, {}).log_physical(columns)
    data = lightgbm.Dataset(gpu_waves.features(columns, physical), np.log(measured_us) - physical)
    trees = flattened(lightgbm.train(SETTINGS, data, TREES))
    longest = {KINDS[kind]: float(np.exp(physical[kinds == kind].max())) for kind in np.unique(kinds)}
    return KernelLaw(coefficients, trees, longest)


def trees_alone_us(known: Columns, measured_us: Floats, asked: Columns) -> Floats:
    """What trees say that are fitted to the logarithm of time, without a physical part beneath them."""
    import lightgbm

    nothing = np.zeros(len(measured_us)), np.zeros(len(asked.base))
    data = lightgbm.Dataset(gpu_waves.features(known, nothing[0]), np.log(measured_us))
    predicted = lightgbm.train(SETTINGS, data, TREES).predict(gpu_waves.features(asked, nothing[1]))
    result: Floats = np.exp(np.asarray(predicted))
    return result


def fit_physical(terms: Floats, kinds: np.ndarray[Any, Any], measured_us: Floats) -> dict[str, Floats]:
    """Non-negative coefficients by kind, for small relative errors (re-weighted towards absolute ones)."""
    from scipy.optimize import nnls

    found: dict[str, Floats] = {}
    for kind in np.unique(kinds):
        inside = kinds == kind
        scale = np.abs(terms[inside]).mean(axis=0)
        scale[scale == 0] = 1.0
        relative = terms[inside] / scale / measured_us[inside][:, None]
        ridge = np.eye(relative.shape[1]) * RIDGE * np.sqrt(len(relative))
        weights = np.ones(len(relative))
        for _ in range(PASSES + 1):
            stacked = np.vstack([relative * weights[:, None], ridge])
            target = np.concatenate([weights, np.zeros(relative.shape[1])])
            solution, _ = nnls(stacked, target, maxiter=5000)
            weights = 1 / np.sqrt(np.maximum(np.abs(relative @ solution - 1), SMALLEST_RESIDUAL))
        found[KINDS[kind]] = solution / scale
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
        if len(inside) >= FEWEST_OF_A_KIND:
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
