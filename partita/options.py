"""The options that commands share, and the wishes that they make."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita.option_texts import parse_counts, parse_locations, parse_rules, parse_sizes

if TYPE_CHECKING:
    from partita.partitioner import Wishes

Model = Annotated[
    str, typer.Argument(metavar="MODEL|PLAN", help="An ONNX model, or a plan that `partita place -o` wrote.")
]
Models = Annotated[
    list[str] | None,
    typer.Argument(metavar="MODEL|PLAN...", help="ONNX models or plans; the scenario may name its own.",
                   show_default=False),
]  # fmt: skip
SocName = Annotated[
    str | None,
    typer.Option("--soc", metavar="SOC", help="A preset (see `partita soc list`) or a Soc file.", show_default=False),
]
ShapeTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--shape",
        metavar="NAME=SIZE",
        help="Size of a dimension (batch=1, or a pattern: 's*=24') or of a whole input (tokens=1x128). Repeatable.",
        show_default=False,
    ),
]
Pins = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        metavar="OP=UNIT",
        help="Run operators of this name or type on UNIT only: Softmax=cpu; @FILE reads one such rule per line.",
        show_default=False,
    ),
]
Bans = Annotated[
    list[str] | None,
    typer.Option(
        "--ban", metavar="OP=UNIT", help="Never run operators of this name or type on UNIT.", show_default=False
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="UNIT:DTYPE",
        help="Let UNIT compute in a further dtype too: npu:int8, npu:w8a16. Repeatable.",
        show_default=False,
    ),
]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="INPUT",
        help="Inputs of this name stay on their unit from run to run, as the outputs that continue them: 'past*', a "
        "KV cache. Repeatable.",
        show_default=False,
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        "--objective",
        metavar="NAME|WEIGHTS",
        help="What to be best at: latency, makespan (units side by side), throughput (pipelined frames), energy, edp "
        "(energy times delay), or weights of ms and mJ: latency=1,energy=0.2.",
    ),
]
Together = Annotated[
    list[str] | None,
    typer.Option(
        "--together",
        metavar="OP",
        help="Run all operators of this name or type on one unit, whichever. Repeatable.",
        show_default=False,
    ),
]
Deadline = Annotated[
    float | None,
    typer.Option("--deadline-ms", metavar="MS", help="One inference may take this long.", show_default=False),
]
Memory = Annotated[
    list[str] | None,
    typer.Option(
        "--memory",
        metavar="UNIT=SIZE",
        help="What may lie at UNIT, activations and weights: npu=64MB. Repeatable.",
        show_default=False,
    ),
]
MaxSegments = Annotated[
    list[str] | None,
    typer.Option(
        "--max-segments",
        metavar="K|UNIT=K",
        help="At most K segments, in all or of a unit: npu=1. Repeatable.",
        show_default=False,
    ),
]
MinSegment = Annotated[
    list[str] | None,
    typer.Option(
        "--min-segment",
        metavar="N|UNIT=N",
        help="Each segment runs at least N operators; without UNIT, of every unit but the host. Repeatable.",
        show_default=False,
    ),
]
MinSnr = Annotated[
    float | None,
    typer.Option(
        "--min-snr",
        metavar="DB",
        help="The expected rounding noise of all operators leaves this signal-to-noise ratio.",
        show_default=False,
    ),
]
Split = Annotated[
    bool,
    typer.Option("--split", help="Let two units share an operator, each some of its output channels, where it pays."),
]
Why = Annotated[
    list[str] | None,
    typer.Option(
        "--why",
        metavar="OP",
        help="Say what the operators of this name or type would cost on other units, and what limits cost. Repeatable.",
        show_default=False,
    ),
]
Explain = Annotated[
    bool, typer.Option("--explain", help="Add to the plan what every operator would cost on every other unit.")
]
Gap = Annotated[
    float | None,
    typer.Option(
        "--gap",
        help="Stop when the plan is proven within this share of the best; if not given 0.0001, but 0.001 for "
        "throughput and makespan.",
        show_default=False,
    ),
]
TimeLimit = Annotated[float, typer.Option("--time-limit", metavar="SECONDS", help="Stop the solver after this time.")]
Shapes = Annotated[
    str | None,
    typer.Option(
        "--shapes",
        metavar="NAME=LEAST..MOST",
        help="Place at every power of two of a size, and find where the best placement changes: seq=1..2048; or "
        "past,mask+1=1..4096 for sizes that move together. -o names a folder, for one plan each.",
        show_default=False,
    ),
]
RandomWeights = Annotated[bool, typer.Option("--random-weights", help="Make up the weights whose file is not there.")]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        metavar="UNIT=NAME,...",
        help="Run a unit's segments on numpy (ours), onnxruntime, openvino or qnn-emulator, each an extra.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """How a model is to be placed: options that every command takes, since each places a model if it is given one."""

    soc: SocName = None
    shape: ShapeTexts = None
    pin: Pins = None
    ban: Bans = None
    allow: Allow = None
    state: States = None
    objective: Objective = "latency"
    together: Together = None
    deadline_ms: Deadline = None
    memory: Memory = None
    max_segments: MaxSegments = None
    min_segment: MinSegment = None
    min_snr: MinSnr = None
    split: Split = False
    gap: Gap = None
    time_limit: TimeLimit = 60.0
    random_weights: RandomWeights = False

    @property
    def is_given(self) -> bool:
        """Whether anything that a plan says itself was given."""
        return replace(self, random_weights=False) != Placing()

    def wishes(self, *, explain: bool = False) -> "Wishes":
        """What is asked of the placement; PlacementError says which text is not understood."""
        from partita.partitioner import Wishes

        return Wishes(
            objective=self.objective,
            pins=parse_rules("--pin", self.pin),
            bans=parse_rules("--ban", self.ban),
            together=tuple(self.together or ()),
            allow=parse_locations(self.allow),
            states=tuple(self.state or ()),
            deadline_ms=self.deadline_ms,
            memory=parse_sizes("--memory", self.memory),
            max_segments=parse_counts("--max-segments", self.max_segments),
            min_segment=parse_counts("--min-segment", self.min_segment),
            min_snr_db=self.min_snr,
            split=self.split,
            explain=explain,
            gap=self.gap,
            time_limit_s=self.time_limit,
        )


def with_placing(command: Callable[..., None]) -> Callable[..., None]:
    """A command with a parameter `placing: Placing` as one with an option for each of its fields."""
    fields = inspect.signature(Placing, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters
    parameters = [parameter for name, parameter in own.items() if name != "placing"]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*parameters, *fields.values())]

    @functools.wraps(command)
    def joined(**given: Any) -> None:
        command(
            **{name: given[name] for name in own if name != "placing"}, placing=Placing(**{f: given[f] for f in fields})
        )

    joined.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what Typer reads
    joined.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return joined
