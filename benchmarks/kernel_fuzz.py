"""Compares random operators with onnxruntime (graph optimisation off) and prints what differs.

    python -m benchmarks.kernel_fuzz COUNT [--start SEED] [--only NAME] [--details] [--hypothesis]

Operators, shapes, attributes, dtypes and opsets follow from the seed of a case, so each failure can be repeated:
`--start SEED 1`. Case k draws the k-th kind of operator, in turn.

With --hypothesis, hypothesis draws the cases by the same generators, and the first that differs is made as small as it
gets before it is printed. COUNT cases are compared; those that onnxruntime refuses come on top.
"""

import argparse
import time
from collections import Counter

import hypothesis
import onnxruntime
from hypothesis import HealthCheck, Phase

from tests.kernels.fuzzing.compare import differs
from tests.kernels.fuzzing.draw import GENERATORS, Case, Draw
from tests.kernels.fuzzing.strategies import cases

onnxruntime.set_default_logger_severity(3)


class Tally:
    """What came out, by kind or operator, and which operators onnxruntime computed."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.operators: set[str] = set()

    def outcome(self, kind: str, case: Case) -> tuple[str, str]:
        """Compare a case: agree, differ or refused, and the difference."""
        difference = differs(case)
        outcome = {"": "agree", "refused": "refused"}.get(difference, "differ")
        self.counts[kind, outcome] += 1
        if outcome != "refused":
            self.operators.add(case.op)
        return outcome, difference

    def total(self, outcome: str) -> int:
        return sum(n for (_, each), n in self.counts.items() if each == outcome)

    def details(self) -> str:
        kinds = sorted({kind for kind, _ in self.counts})
        outcomes = ("agree", "differ", "refused")
        return "\n".join(f"{kind}: " + ", ".join(f"{self.counts[kind, o]} {o}" for o in outcomes) for kind in kinds)


def run_seeds(tally: Tally, kinds: list[str], start: int, count: int) -> None:
    for seed in range(start, start + count):
        kind = kinds[seed % len(kinds)]
        case = GENERATORS[kind](Draw(seed))
        outcome, difference = tally.outcome(kind, case)
        if outcome == "differ":
            print(f"{seed}: {case}: {difference}", flush=True)


def run_hypothesis(tally: Tally, kinds: list[str], start: int, count: int) -> None:
    """`count` cases that onnxruntime computes, or as many as it takes to find and shrink one that differs."""

    @hypothesis.seed(start)
    @hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(cases(tuple(kinds)))
    def agrees(case: Case) -> None:
        outcome, difference = tally.outcome(case.op, case)
        hypothesis.assume(outcome != "refused")
        assert outcome == "agree", f"{case}: {difference}"

    try:
        agrees()
    except AssertionError as error:
        print(error)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    parser.add_argument("--details", action="store_true", help="print the counts of each kind")
    parser.add_argument("--hypothesis", action="store_true", help="let hypothesis draw and shrink")
    arguments = parser.parse_args()
    kinds = [name for name in sorted(GENERATORS) if arguments.only.lower() in name.lower()]
    tally, began = Tally(), time.perf_counter()
    run = run_hypothesis if arguments.hypothesis else run_seeds
    run(tally, kinds, arguments.start, arguments.count)
    if arguments.details:
        print(tally.details())
    print(
        f"\n{tally.counts.total()} cases of {len(tally.operators)} operators in {time.perf_counter() - began:.0f} s: "
        f"{tally.total('agree')} agree, {tally.total('differ')} differ, {tally.total('refused')} that onnxruntime "
        f"{onnxruntime.__version__} does not compute"
    )


if __name__ == "__main__":
    main()
