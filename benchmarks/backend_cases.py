"""Runs onnx's backend tests on our kernels and prints how many passed, failed, or were excluded and why.

    python -m benchmarks.backend_cases [--failures]

Node cases are put into the classes below by their names; those of the first two classes are what an inference graph
of ordinary tensors can contain.
"""

import argparse
import platform
import re
import time
import unittest
import warnings
from collections import Counter

import onnx

from tests.kernels.test_onnx_backend import EXCLUDED, backend_tests

CLASSES = (
    ("ai.onnx.ml", "^test_ai_onnx_ml_"),
    (
        "training",
        "^test_(adagrad|adam|momentum|nesterov)|_training_mode|^test_training_dropout|^test_batchnorm_.*train",
    ),
    ("preview (FlexAttention)", "^test_flexattention"),
    ("random", "^test_bernoulli"),
    ("loss", "^test_(nllloss|sce|negative_log)"),
    ("float8, float4, int4, int2", "(?i)float8|float4|int4|int2(?![0-9])|e4m3|e5m2|e8m0|f8|f4"),
    ("bfloat16", "(?i)bfloat16|bf16"),
    ("sequence, optional", "sequence|optional|_seq_|_opt_|^test_split_to_sequence"),
    ("string, image, tf-idf", "string|^test_image_decoder|tfidf|strnorm|regex"),
    ("function bodies", "_expanded"),
    ("primary", ""),
)
"""Class and pattern of its cases; the first that fits."""


class _Result(unittest.TestResult):
    """Counts outcomes by class, and remembers why something failed."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[str] = Counter()
        self.why: dict[str, str] = {}

    def _add(self, test: unittest.TestCase, outcome: str) -> None:
        self.counts[_class_of(test), outcome] += 1

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802  (unittest's name)
        self._add(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        pattern = reason.split('"')[1]
        self.reasons[next(why for known, why in EXCLUDED if known == pattern)] += 1
        self._add(test, "excluded")

    def addFailure(self, test: unittest.TestCase, err: object) -> None:  # noqa: N802
        self.why[_name(test)] = " ".join(str(err[1]).split())[:200] if isinstance(err, tuple) else ""
        self._add(test, "failed")

    addError = addFailure  # noqa: N815  (unittest's name)


def _name(test: unittest.TestCase) -> str:
    return test.id().rsplit(".", 1)[1]


def _class_of(test: unittest.TestCase) -> str:
    suite = type(test).__name__.removeprefix("OnnxBackend").removesuffix("ModelTest")
    if suite != "Node":
        return suite
    return "node: " + next(name for name, pattern in CLASSES if re.search(pattern, _name(test)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--failures", action="store_true", help="also print why each failed")
    arguments = parser.parse_args()
    classes, result = backend_tests(), _Result()
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for each in classes.values():
            unittest.defaultTestLoader.loadTestsFromTestCase(each).run(result)
    print(f"onnx {onnx.__version__}, Python {platform.python_version()}; {time.perf_counter() - began:.1f} s\n")
    print("| cases | passed | failed | excluded |\n|---|---|---|---|")
    for name in sorted({name for name, _ in result.counts}):
        print(f"| {name} |", " | ".join(str(result.counts[name, o]) for o in ("passed", "failed", "excluded")), "|")
    relevant = {
        o: sum(result.counts[f"node: {c}", o] for c in ("primary", "function bodies")) for _, o in result.counts
    }
    total = sum(relevant.values())
    print(f"\nprimary and function bodies: {relevant['passed']} of {total}, {100 * relevant['passed'] / total:.2f} %")
    print("\n| excluded | because |\n|---|---|")
    for reason, count in result.reasons.most_common():
        print(f"| {count} | {reason} |")
    if arguments.failures:
        for name, why in result.why.items():
            print(f"{name}: {why}")


if __name__ == "__main__":
    main()
