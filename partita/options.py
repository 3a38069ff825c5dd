"""The options that commands share, and how their text becomes values."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from partita.errors import ModelError, PlacementError
from partita.graph.plan import Location
from partita.partitioner import Rule

Model = Annotated[
    str, typer.Argument(metavar="MODEL|PLAN", help="An ONNX model, or a plan that `partita place -o` wrote.")
]
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
        help="Run operators of this name or type on UNIT only: Softmax=cpu.",
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
Gap = Annotated[float, typer.Option("--gap", help="Stop when the plan is proven within this share of the best.")]
TimeLimit = Annotated[float, typer.Option("--time-limit", metavar="SECONDS", help="Stop the solver after this time.")]
RandomWeights = Annotated[bool, typer.Option("--random-weights", help="Make up the weights whose file is not there.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placing:
    """How a model is to be placed: options that every command takes, since each places a model if it is given one."""

    soc: SocName = None
    shape: ShapeTexts = None
    pin: Pins = None
    ban: Bans = None
    allow: Allow = None
    gap: Gap = 1e-4
    time_limit: TimeLimit = 60.0
    random_weights: RandomWeights = False

    @property
    def is_given(self) -> bool:
        """Whether anything that a plan says itself was given."""
        default = Placing()
        limits = (self.gap, self.time_limit) != (default.gap, default.time_limit)
        return bool(self.soc or self.shape or self.pin or self.ban or self.allow or limits)


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


def parse_rules(option: str, texts: Sequence[str] | None) -> tuple[Rule, ...]:
    """`["Softmax=cpu"]` as rules; PlacementError for anything else."""
    rules: list[Rule] = []
    for text in texts or ():
        pattern, equals, unit = text.rpartition("=")
        if not (pattern and equals and unit):
            raise PlacementError(f"{option} {text!r} is not understood; write OPERATOR=UNIT, for example Softmax=cpu")
        rules.append(Rule(pattern, unit))
    return tuple(rules)


def parse_locations(texts: Sequence[str] | None) -> tuple[Location, ...]:
    """`["npu:int8"]` as locations; PlacementError for anything else."""
    locations: list[Location] = []
    for text in texts or ():
        unit, colon, dtype = text.rpartition(":")
        if not (unit and colon and dtype):
            raise PlacementError(f"--allow {text!r} is not understood; write UNIT:DTYPE, for example npu:int8")
        locations.append(Location(unit, dtype))
    return tuple(locations)
