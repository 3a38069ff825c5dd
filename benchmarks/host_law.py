"""How well the law of a core predicts models, whatever else the machine does: MODEL[,NAME=SIZE...] ...

    python -m benchmarks.host_law model.onnx other.onnx,batch=1

The calibration's networks and the models run by turns, in random order, in processes that do a part of both; so both
see the same machine. Times are the thread's own, the 25th percentile of all runs. The law is fitted to the networks
alone and then predicts the models, whose timelines reach from the executor's first step to its last.
"""

import argparse
import os
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import partita as pt
from partita import host_timing as timing
from partita.devices import Soc
from partita.devices.core_law import cache_bytes
from partita.host import NETWORKS, THREAD_VARIABLES
from partita.host_context import Runs, TimedNetwork, prepared, with_weights
from partita.host_fit import fitted_in_networks
from partita.host_soc import NUMPY, draft_soc
from partita.kernels.placed import execute
from partita.option_texts import parse_shapes
from partita.partitioner import Rule
from partita.units import US_PER_MS

PARTS, ROUNDS, RUNS = 8, 6, 2
QUIET_PERCENTILE = 25
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """A network of the calibration, or a model by its name."""

    name: str
    network: TimedNetwork


def model_runs(text: str, soc: Soc) -> Runs:
    path, *sizes = text.split(",")
    graph = pt.load(path, parse_shapes(sizes), random_weights=True)
    plan = pt.partition(graph, soc, bans=[Rule("*", unit.name) for unit in soc.units[1:]])
    return Runs(plan, timing.feeds_of(graph, 0, most=2))


def measure_part(part: int, models: Sequence[str]) -> list[Measured]:
    """A part of the networks and of the models, by turns."""
    soc, rng = draft_soc(NUMPY), random.Random(part)
    waiting = [("", prepared(g, soc, r)) for i, (g, r) in enumerate(with_weights(NETWORKS, 0)) if i % PARTS == part]
    waiting += [(text, model_runs(text, soc)) for text in models]
    for _ in range(ROUNDS):
        rng.shuffle(waiting)
        for _, runs in waiting:
            execute(runs.plan, runs.feeds)
            for _ in range(RUNS):
                runs.once()
    return [Measured(name, runs.result(cache_bytes(soc.units[0]), QUIET_PERCENTILE)) for name, runs in waiting]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    models = parser.parse_args().models
    found: list[Measured] = []
    for part in range(PARTS):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
            found += child.submit(measure_part, part, models[part::PARTS]).result()
    report(found, models)


def report(found: Sequence[Measured], models: Sequence[str]) -> None:
    law = fitted_in_networks([each.network for each in found if not each.name])
    print(f"{len(law.errors)} networks, median error {middle(law.errors):.1%}")
    errors = []
    for each in sorted((each for each in found if each.name), key=lambda each: models.index(each.name)):
        samples, measured_us = each.network.samples, each.network.latency_us
        predicted_us = sum(law.fit.predicted_us(sample) + law.dispatch_us for sample in samples)
        errors.append(predicted_us / measured_us - 1)
        name = Path(each.name.split(",")[0]).stem
        print(f"{name[:32]:32} {len(samples):5} {predicted_us / US_PER_MS:9.2f} {measured_us / US_PER_MS:9.2f} "
              f"{errors[-1]:+6.1%}")  # fmt: skip
    near = sum(abs(error) <= TOLERANCE for error in errors)
    print(f"{near} of {len(errors)} within {TOLERANCE:.0%}, median error {middle(errors):.1%}")


def middle(errors: Sequence[float]) -> float:
    return float(np.median(np.abs(errors)))


if __name__ == "__main__":
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    main()
