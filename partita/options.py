"""The options that commands share, and how their text becomes values."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from partita.errors import BackendError, ModelError, OutputError, PlacementError
from partita.units import BYTES_PER_GB, BYTES_PER_KB, BYTES_PER_MB

if TYPE_CHECKING:
    from partita.graph.plan import Location
    from partita.partitioner import OfUnit, Rule, Wishes

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


def parse_shapes(texts: Sequence[str] | None) -> dict[str, int | tuple[int, ...]]:
    """`["batch=1", "tokens=1x128"]` as a mapping; ModelError for anything else."""
    shapes: dict[str, int | tuple[int, ...]] = {}
    for text in texts or ():
        name, equals, size = text.rpartition("=")
        if not (name and equals and re.fullmatch(r"\d+(x\d+)*", size)):
            raise ModelError(
                f"--shape {text!r} is not understood; write NAME=8 for a dimension or NAME=1x3x224x224 for an input"
            )
        if name in shapes:
            raise ModelError(f"--shape gives {name!r} twice")
        dims = tuple(int(part) for part in size.split("x"))
        shapes[name] = dims[0] if "x" not in size else dims
    return shapes


def parse_rules(option: str, texts: Sequence[str] | None) -> "tuple[Rule, ...]":
    """`["Softmax=cpu"]` as rules, `["@FILE"]` as those in its lines; PlacementError for anything else."""
    from partita.partitioner import Rule

    rules: list[Rule] = []
    for text in (line for given in texts or () for line in _lines_of(option, given)):
        pattern, equals, unit = text.rpartition("=")
        if not (pattern and equals and unit):
            raise PlacementError(f"{option} {text!r} is not understood; write OPERATOR=UNIT, for example Softmax=cpu")
        rules.append(Rule(pattern, unit))
    return tuple(rules)


def _lines_of(option: str, text: str) -> list[str]:
    """The lines of the file that a text like @FILE names, else the text itself."""
    if not text.startswith("@"):
        return [text]
    try:
        return [line for line in Path(text[1:]).read_text("utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        raise PlacementError(f"{option} {text}: cannot read the file: {reason.lower()}") from None


def soc_for(model: str, soc: str | None) -> str:
    """The Soc that a model is to be placed on; PlacementError if none was given, ModelError if there is no model."""
    if soc is not None:
        return soc
    if not Path(model).is_file():
        raise ModelError(f"{model}: there is no such file")
    raise PlacementError(f"which Soc? {model} is no plan: give --soc NAME; `partita soc list` names the presets")


def check_plots(paths: Sequence[str]) -> None:
    """OutputError if a file's ending is none that figures are saved as."""
    for path in paths:
        if Path(path).suffix not in PLOTS:
            raise OutputError(f"cannot plot to {path!r}: its name must end in {', '.join(PLOTS)}")


def parse_backends(texts: Sequence[str]) -> dict[str, str]:
    """`["cpu=onnxruntime,npu=numpy"]` as a backend for each unit; BackendError for anything else."""
    found: dict[str, str] = {}
    for text in (part for given in texts for part in given.split(",")):
        unit, equals, name = text.strip().partition("=")
        if not (unit and equals and name):
            raise BackendError(f"--backend {text!r} is not understood; write UNIT=NAME, for example cpu=onnxruntime")
        if found.setdefault(unit, name) != name:
            raise BackendError(f"--backend gives {unit!r} two backends, {found[unit]} and {name}")
    return found


def parse_locations(texts: Sequence[str] | None) -> "tuple[Location, ...]":
    """`["npu:int8"]` as locations; PlacementError for anything else."""
    from partita.graph.plan import Location

    locations: list[Location] = []
    for text in texts or ():
        unit, colon, dtype = text.rpartition(":")
        if not (unit and colon and dtype):
            raise PlacementError(f"--allow {text!r} is not understood; write UNIT:DTYPE, for example npu:int8")
        locations.append(Location(unit, dtype))
    return tuple(locations)


def parse_counts(option: str, texts: Sequence[str] | None) -> "tuple[OfUnit, ...]":
    """`["3", "npu=1"]` as counts; PlacementError for anything else."""
    from partita.partitioner import OfUnit

    found: list[OfUnit] = []
    for text in texts or ():
        unit, _, count = text.rpartition("=")
        if not count.isdecimal() or text.startswith("="):
            raise PlacementError(f"{option} {text!r} is not understood; write a number or UNIT=NUMBER, such as npu=1")
        found.append(OfUnit(unit, int(count)))
    return tuple(found)


PLOTS = (".png", ".svg", ".pdf")
SIZES = {"": 1.0, "k": BYTES_PER_KB, "M": BYTES_PER_MB, "G": BYTES_PER_GB}


def parse_sizes(option: str, texts: Sequence[str] | None) -> "tuple[OfUnit, ...]":
    """`["npu=64MB"]` as bytes; PlacementError for anything else."""
    from partita.partitioner import OfUnit

    found: list[OfUnit] = []
    for text in texts or ():
        match = re.fullmatch(r"(.+)=(\d+(?:\.\d+)?) ?([kMG]?)B?", text)
        if match is None:
            raise PlacementError(f"{option} {text!r} is not understood; write UNIT=SIZE, for example npu=64MB")
        unit, number, prefix = match.groups()
        found.append(OfUnit(unit, float(number) * SIZES[prefix]))
    return tuple(found)
