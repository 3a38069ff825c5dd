"""`python -m partita.studies.fitting TABLE --models DIR`: the law of the 8 Gen 3's NPU from AI Hub's latencies.

Prints the errors in sample and cross-validated, with `--ablation` also what each term buys, and the preset's text.
"""

import argparse
import sys
from pathlib import Path

from partita.devices import load_soc
from partita.errors import PartitaError
from partita.studies.fitting import npu
from partita.studies.fitting.npu_law import SPILL, Priors, read_priors
from partita.studies.fitting.preset_block import Record, preset_block
from partita.studies.validation.aihub_rows import aihub_rows
from partita.studies.validation.table import read_records

DEVICE, PRESET, UNIT = "Samsung Galaxy S24", "sd8gen3-qnn", "npu"
SOURCE = "quic/ai-hub-models 52c080d245, whole on the NPU through qnn_dlc, qnn, tflite (median)"
ABLATIONS = (
    ("channel_broadcast",), ("image_broadcast",), ("matrix_feed",), ("image_traffic",), ("token_traffic",),
    ("depthwise", "strided_depthwise"), ("token_elementwise", "token_broadcast"), ("token_move",), ("softmax",),
    ("norm",), ("transcendental",), ("pool",), ("image_permute", "image_move"), (SPILL,),
)  # fmt: skip


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def line(title: str, found: npu.Errors) -> str:
    spreads = npu.spreads(found)
    parts = [
        f"{dtype} {len(by_model)} models: median {npu.median_error(by_model):.1%}, within 2x "
        f"{npu.within_a_factor(by_model):.0%}, nine of ten within x{spreads[dtype]:.2f}"
        for dtype, by_model in found.items()
    ]
    return f"{title}: " + "; ".join(parts)


def ablation(data: npu.Data, priors: Priors) -> None:
    for terms in ABLATIONS:
        less = npu.Data(tuple(stack.without(terms) for stack in data.stacks), data.log_us)
        found = npu.cross_validated(less, priors)
        say(line(f"without {' and '.join(terms)}, cross-validated", found))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m partita.studies.fitting", description=__doc__)
    parser.add_argument("table", help="aihub_perf.csv")
    parser.add_argument("--models", required=True, help="the folder where NAME.onnx of the table's models lie")
    parser.add_argument("--ablation", action="store_true", help="fit again without each term (minutes)")
    given = parser.parse_args(arguments)
    priors = read_priors("hexagon")
    measured = npu.measured_us(aihub_rows(read_records(given.table)), DEVICE)
    data = npu.gathered(measured, Path(given.models), load_soc(PRESET), UNIT, lambda text: None)
    x = npu.fit(data, priors)
    inside, outside = npu.errors(data, priors.named(x)), npu.cross_validated(data, priors)
    say(line("in sample", inside))
    say(line("cross-validated by model", outside))
    for model in data.models:
        cells = [
            f"{dtype} {inside[dtype][model]:+.1%} ({outside[dtype][model]:+.1%})"
            for dtype in inside
            if model in inside[dtype]
        ]
        say(f"  {model}: {', '.join(cells)}")
    if given.ablation:
        ablation(data, priors)
    spreads = npu.spreads(outside)
    records = {
        stack.dtype: Record(
            data=SOURCE, devices=(DEVICE,), models=stack.models,
            median_error=npu.median_error(inside[stack.dtype]),
            cross_validated_error=npu.median_error(outside[stack.dtype]), spread=spreads[stack.dtype],
        )
        for stack in data.stacks
    }  # fmt: skip
    say("\n" + preset_block(priors.named(x), records, load_soc(PRESET).unit_named(UNIT)))


if __name__ == "__main__":
    try:
        main()
    except PartitaError as error:
        sys.exit(f"error: {error}")
