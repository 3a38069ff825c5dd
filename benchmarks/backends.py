"""Runs placed real models on every backend that is installed, and compares each with the unplaced float32 model.

    python -m benchmarks.backends MODELS_FOLDER [--soc sd8gen3-qnn] [--only cls ...] [--npu numpy,qnn-emulator,...]

Inputs are those of benchmarks/real_inputs.py, with meaning. For each model and each choice of backends it prints the
largest difference relative to the largest value of an output, what the dtypes explain, and whether the outputs still
say what they must.
"""

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import partita as pt
from benchmarks.real_inputs import KNOWN, Feeds, known_as
from partita.backends import Backend
from partita.backends.run import chosen_backends
from partita.errors import PartitaError
from partita.graph.plan import Plan
from partita.reports.agreement import agreement

HOST, ACCELERATOR = ("numpy", "onnxruntime", "openvino"), ("numpy", "onnxruntime", "openvino", "qnn-emulator")


def choices(plan: Plan, hosts: tuple[str, ...], accelerators: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """For each pair of backends the one of every unit of the plan; units that run nothing are left out."""
    units = dict.fromkeys(segment.unit for segment in plan.segments)
    seen: list[dict[str, str]] = []
    for host, accelerator in itertools.product(hosts, accelerators):
        chosen = {unit: host if unit == plan.host.unit else accelerator for unit in units}
        if chosen not in seen:
            seen.append(chosen)
            yield chosen


def row(name: str, path: Path, plan: Plan, chosen: dict[str, str], feeds: Feeds) -> str:
    title = ", ".join(f"{unit} {backend}" for unit, backend in chosen.items())
    began = time.perf_counter()
    try:
        backends: dict[str, Backend] = chosen_backends(plan, chosen)
        found = agreement(plan, backends, feeds, {}, check=True)
    except PartitaError as error:
        return f"| {name} | {title} | refused: {str(error)[:160]} | | | |"
    spent_s = time.perf_counter() - began
    worst = max(d.max_relative for d in found.outputs or ())
    wrong = KNOWN[known_as(path)].check(path, list(found.run.outputs.values()))
    verdict = {True: "yes", False: "NO", None: "not judged"}[found.is_right]
    limit = "" if found.tolerance is None else f"{found.tolerance:.1e}"
    return f"| {name} | {title} | {worst:.1e} | {limit} | {verdict} | {wrong or 'yes'} | {spent_s:.0f} s |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--soc", default="sd8gen3-qnn")
    parser.add_argument("--only", nargs="*", default=[""], help="models whose name contains one of these")
    parser.add_argument("--host", default=",".join(HOST), help="backends of the host")
    parser.add_argument("--npu", default=",".join(ACCELERATOR), help="backends of the accelerators")
    arguments = parser.parse_args()
    print("| model | units | max error | allowed | agrees | says what it must | wall |\n|---|---|---|---|---|---|---|")
    for path in sorted(arguments.folder.rglob("*.onnx")):
        name = known_as(path)
        if not name or not any(part in name for part in arguments.only):
            continue
        feeds = KNOWN[name].feeds(path)
        plan = pt.partition(pt.load(path, {n: x.shape for n, x in feeds.items()}), pt.soc(arguments.soc))
        hosts, npus = (tuple(text.split(",")) for text in (arguments.host, arguments.npu))
        for chosen in choices(plan, hosts, npus):
            print(row(name, path, plan, chosen, feeds), flush=True)


if __name__ == "__main__":
    main()
