"""Operators on text against onnxruntime."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import helper

from partita.errors import KernelError
from tests.kernels.oracle import Array, check, ours


def text(*words: Any) -> Array:
    return np.array(words, object)


def test_texts_are_joined_with_broadcasting() -> None:
    node = helper.make_node("StringConcat", ["x", "y"], ["z"])
    check(node, text(["a", "b"], ["c", "d"]), text("1", "2"), opset=20)


@pytest.mark.parametrize("attributes", [{}, {"delimiter": ","}, {"delimiter": ",", "maxsplit": 1}])
def test_texts_are_split_and_filled_up(attributes: dict[str, Any]) -> None:
    node = helper.make_node("StringSplit", ["x"], ["y", "n"], **attributes)
    check(node, text(["a,b,c", "d e  f"], ["", ",,"]), opset=20)


def test_a_pattern_must_match_the_whole_text() -> None:
    node = helper.make_node("RegexFullMatch", ["x"], ["y"], pattern=r"[a-z]+\.com")
    check(node, text("site.com", "site.com.au", "SITE.com"), opset=20)
    with pytest.raises(KernelError, match="is not a regular expression"):
        ours(helper.make_node("RegexFullMatch", ["x"], ["y"], pattern="("), text("a"), opset=20)


@pytest.mark.parametrize("sensitive", [0, 1])
@pytest.mark.parametrize("action", ["NONE", "LOWER", "UPPER"])
def test_stop_words_are_dropped_and_the_case_changed(sensitive: int, action: str) -> None:
    attributes: dict[str, Any] = {"is_case_sensitive": sensitive, "case_change_action": action, "stopwords": ["monday"]}
    node = helper.make_node("StringNormalizer", ["x"], ["y"], **attributes)
    (y,) = ours(node, text("Monday", "monday", "Tuesday"), opset=10)
    kept = [w for w in ("Monday", "monday", "Tuesday") if (w if sensitive else w.lower()) != "monday"]
    changes: dict[str, Callable[[str], str]] = {"NONE": str, "LOWER": str.lower, "UPPER": str.upper}
    assert y.tolist() == [changes[action](w) for w in kept]
    (nothing,) = ours(node, text(["monday"]), opset=10)
    assert nothing.tolist() == [[""]]


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("skip", [0, 2])
def test_n_grams_are_counted(mode: str, skip: int) -> None:
    attributes: dict[str, Any] = {
        "mode": mode,
        "min_gram_length": 1,
        "max_gram_length": 2,
        "max_skip_count": skip,
        "ngram_counts": [0, 4],
        "ngram_indexes": [0, 1, 2, 3, 4, 5, 6],
        "pool_int64s": [2, 3, 5, 4, 5, 6, 7, 8, 6, 7],
        "weights": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
    }
    node = helper.make_node("TfIdfVectorizer", ["x"], ["y"], **attributes)
    x = np.array([[1, 1, 3, 3, 3, 7], [8, 6, 7, 5, 6, 8]], np.int64)
    check(node, x, opset=9)
    check(node, x[0], opset=9)
