"""Operators on text; arrays of text hold Python strings as objects."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array, broadcast_shape
from partita.kernels.registry import kernel


@kernel("StringConcat", since=20)
def string_concat(X: Array, Y: Array) -> Array:
    """Texts of `X` followed by those of `Y`, broadcasting. Source: ONNX operators, StringConcat-20."""
    broadcast_shape(X.shape, Y.shape)
    return np.asarray(np.add(X.astype(object), Y.astype(object)), object)


@kernel("StringSplit", since=20)
def string_split(X: Array, *, delimiter: str = "", maxsplit: int | None = None) -> tuple[Array, Array]:
    """The parts of each text along a new last axis, filled up with "", and how many there are.

    Without a delimiter, runs of white space separate. Source: ONNX operators, StringSplit-20; an empty text has no
    parts in onnxruntime.
    """
    most = -1 if maxsplit is None else maxsplit
    parts = [str(text).split(delimiter or None, most) if text else [] for text in X.ravel()]
    counts = np.array([len(part) for part in parts], np.int64)
    table = np.full((len(parts), counts.max(initial=0)), "", object)
    for row, part in zip(table, parts, strict=True):
        row[: len(part)] = part
    return table.reshape(*X.shape, table.shape[1]), counts.reshape(X.shape)


@kernel("RegexFullMatch", since=20)
def regex_full_match(X: Array, *, pattern: str = "") -> Array:
    """Whether each text as a whole matches `pattern`. Source: ONNX operators, RegexFullMatch-20."""
    try:
        expression = re.compile(pattern)
    except re.error as problem:
        raise KernelError(f"pattern {pattern!r} is not a regular expression: {problem}") from None
    return np.array([expression.fullmatch(str(text)) is not None for text in X.ravel()], np.bool_).reshape(X.shape)


@kernel("StringNormalizer", since=10)
def string_normalizer(
    X: Array,
    *,
    case_change_action: str = "NONE",
    is_case_sensitive: int = 0,
    locale: str = "",
    stopwords: Sequence[str] = (),
) -> Array:
    """Drop the stop words, then change the case; (C) or (1, C). If nothing is left, one empty text.

    Case changes follow Unicode, whatever the `locale`. Source: ONNX operators, StringNormalizer-10.
    """
    if X.ndim not in (1, 2) or (X.ndim == 2 and X.shape[0] != 1):
        raise KernelError(f"X must have the shape (C) or (1, C), has {X.shape}")
    changes: dict[str, Callable[[str], str]] = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}
    if case_change_action not in changes:
        raise KernelError(f"case_change_action must be one of {', '.join(changes)}, is {case_change_action!r}")
    key: Callable[[str], str] = str if is_case_sensitive else str.lower
    dropped = {key(word) for word in stopwords}
    words = [changes[case_change_action](word) for word in X.ravel() if key(word) not in dropped]
    return np.array(words or [""], object).reshape((-1,) if X.ndim == 1 else (1, -1))


def _pool_of_ngrams(pool: Sequence[Any], counts: Sequence[int], indexes: Sequence[int]) -> dict[tuple[Any, ...], int]:
    """The number of each n-gram in `pool`, where the n-grams of length n start at counts[n - 1]."""
    position_of: dict[tuple[Any, ...], int] = {}
    ends = [*counts[1:], len(pool)]
    for length, (start, end) in enumerate(zip(counts, ends, strict=True), start=1):
        for first in range(start, end, length):
            position_of[tuple(pool[first : first + length])] = len(position_of)
    if len(position_of) != len(indexes):
        raise KernelError(f"the pool holds {len(position_of)} different n-grams, ngram_indexes has {len(indexes)}")
    return position_of


def _ngrams(row: Sequence[Any], lengths: range, skips: range) -> Iterable[tuple[Any, ...]]:
    for length in lengths:
        for skip in skips if length > 1 else skips[:1]:
            reach = (length - 1) * (skip + 1)
            for start in range(len(row) - reach):
                yield tuple(row[start : start + reach + 1 : skip + 1])


@kernel("TfIdfVectorizer", since=9)
def tf_idf_vectorizer(
    X: Array,
    *,
    max_gram_length: int,
    max_skip_count: int,
    min_gram_length: int,
    mode: str,
    ngram_counts: tuple[int, ...],
    ngram_indexes: tuple[int, ...],
    pool_int64s: tuple[int, ...] = (),
    pool_strings: tuple[str, ...] = (),
    weights: tuple[float, ...] = (),
) -> Array:
    """Counts of the pool's n-grams in each row, (C) or (N, C) to (features) or (N, features), weighted by `mode`.

    Source: ONNX operators, TfIdfVectorizer-9.
    """
    if mode not in ("TF", "IDF", "TFIDF"):
        raise KernelError(f"mode must be TF, IDF or TFIDF, is {mode!r}")
    position_of = _pool_of_ngrams(pool_strings or pool_int64s, ngram_counts, ngram_indexes)
    weight = np.array(weights or (1.0,) * len(ngram_indexes), np.float32)
    find = partial(_ngrams, lengths=range(min_gram_length, max_gram_length + 1), skips=range(max_skip_count + 1))
    rows = X.tolist() if X.ndim == 2 else [X.tolist()]
    result = np.zeros((len(rows), max(ngram_indexes) + 1), np.float32)
    for row, features in zip(rows, result, strict=True):
        for ngram, count in Counter(ngram for ngram in find(row) if ngram in position_of).items():
            position = position_of[ngram]
            value = 1.0 if mode == "IDF" else float(count)
            features[ngram_indexes[position]] = value if mode == "TF" else value * weight[position]
    return result if X.ndim == 2 else result[0]
