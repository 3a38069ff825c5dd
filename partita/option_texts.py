"""What texts of the command line mean: sizes, rules, backends, counts; an error says how to write them."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from partita.errors import BackendError, ModelError, OutputError, PlacementError
from partita.units import BYTES_PER_GB, BYTES_PER_KB, BYTES_PER_MB

if TYPE_CHECKING:
    from partita.graph.plan import Location
    from partita.partitioner import OfUnit, Rule

PLOTS = (".png", ".svg", ".pdf")
PREFIXES = {"": 1.0, "k": BYTES_PER_KB, "M": BYTES_PER_MB, "G": BYTES_PER_GB}


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


def parse_sizes(option: str, texts: Sequence[str] | None) -> "tuple[OfUnit, ...]":
    """`["npu=64MB"]` as bytes; PlacementError for anything else."""
    from partita.partitioner import OfUnit

    found: list[OfUnit] = []
    for text in texts or ():
        match = re.fullmatch(r"(.+)=(\d+(?:\.\d+)?) ?([kMG]?)B?", text)
        if match is None:
            raise PlacementError(f"{option} {text!r} is not understood; write UNIT=SIZE, for example npu=64MB")
        unit, number, prefix = match.groups()
        found.append(OfUnit(unit, float(number) * PREFIXES[prefix]))
    return tuple(found)
