"""Compares random operators with onnxruntime (graph optimisation off) and prints what differs.

    python benchmarks/kernel_fuzz.py COUNT [--start SEED] [--only NAME] [--details]

Operators, shapes, attributes, dtypes and opsets follow from the seed of a case, so each failure can be repeated:
`--start SEED 1`. Case k draws the k-th kind of operator, in turn.
"""

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import onnxruntime

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.kernels.fuzzing.compare import differs
from tests.kernels.fuzzing.draw import GENERATORS, Draw

onnxruntime.set_default_logger_severity(3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    parser.add_argument("--start", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="kinds whose name contains this")
    parser.add_argument("--details", action="store_true", help="print the counts of each kind")
    arguments = parser.parse_args()
    kinds = [name for name in sorted(GENERATORS) if arguments.only.lower() in name.lower()]
    counts: Counter[tuple[str, str]] = Counter()
    operators: set[str] = set()
    began = time.perf_counter()
    for seed in range(arguments.start, arguments.start + arguments.count):
        kind = kinds[seed % len(kinds)]
        case = GENERATORS[kind](Draw(seed))
        difference = differs(case)
        outcome = {"": "agree", "refused": "refused"}.get(difference, "differ")
        counts[kind, outcome] += 1
        if outcome != "refused":
            operators.add(case.op)
        if outcome == "differ":
            print(f"{seed}: {case}: {difference}", flush=True)
    if arguments.details:
        for kind in kinds:
            print(f"{kind}:", ", ".join(f"{counts[kind, o]} {o}" for o in ("agree", "differ", "refused")))
    total = {o: sum(n for (_, outcome), n in counts.items() if outcome == o) for o in ("agree", "differ", "refused")}
    print(
        f"\n{arguments.count} cases of {len(operators)} operators in {time.perf_counter() - began:.0f} s: "
        f"{total['agree']} agree, {total['differ']} differ, {total['refused']} that onnxruntime "
        f"{onnxruntime.__version__} does not compute"
    )


if __name__ == "__main__":
    main()
