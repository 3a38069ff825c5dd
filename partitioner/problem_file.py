"""Placement problems in files: our own format, and the detection of others'.

`docs/solving.md` describes the format `partita-problem/1`; its schema is `reports/templates/problem.schema.json`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import inf, isinf
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from partita.errors import ProblemError
from partita.partitioner.formats import moirai, msr
from partita.partitioner.instance import Instance, Link, Operator, Tensor, Unit

FORMAT = "partita-problem/1"
SOURCES = ("partita", "msr", "moirai")
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Model = TypeVar("Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Unit(_Part):
    name: str
    memory: Amount | None = None
    call: Amount = 0.0
    subgraphs: Annotated[int, Field(ge=1)] | None = None


class _Operator(_Part):
    name: str
    times: dict[str, Amount]
    memory: Amount = 0.0
    group: str | None = None


class _Tensor(_Part):
    producer: str
    consumers: list[str]
    send: dict[str, Amount] = {}
    receive: dict[str, Amount] = {}
    move: dict[str, dict[str, Amount]] = {}


class _Link(_Part):
    name: str
    pairs: list[tuple[str, str]] | None = None


class _Document(_Part):
    format: Literal["partita-problem/1"]
    name: str = ""
    time_unit: Literal["ms", "us"] = "us"
    units: Annotated[list[_Unit], Field(min_length=1)]
    operators: list[_Operator]
    tensors: list[_Tensor]
    links: list[_Link] = []


def read_problem(path: str | Path, source: str | None = None) -> Instance:
    """The problem in a file; its format is detected if `source`, one of SOURCES, is not given.

    Raises ProblemError, in one line, if the file is not such a problem.
    """
    document = _json_of(path)
    source = source or _detected(document, path)
    if source == "msr":
        instance = msr.instance_of(_parsed(msr.Workload, document, path), Path(path).name)
    elif source == "moirai":
        instance = moirai.instance_of(_parsed(moirai.Sample, document, path), Path(path).name)
    else:
        instance = _instance_of(_parsed(_Document, document, path), Path(path).name)
    _check(instance, path)
    return instance


def problem_json(instance: Instance) -> str:
    """The instance as text of a `partita-problem/1` file."""
    names = [unit.name for unit in instance.units]
    operators = [operator.name for operator in instance.operators]
    document = {
        "format": FORMAT,
        "name": instance.name,
        "time_unit": instance.time_unit,
        "units": [
            {"name": u.name, "memory": None if isinf(u.memory) else u.memory, "call": u.call, "subgraphs": u.subgraphs}
            for u in instance.units
        ],
        "operators": [
            {
                "name": o.name,
                "times": {name: time for name, time in zip(names, o.times, strict=True) if time < inf},
                "memory": o.memory,
                "group": o.group,
            }
            for o in instance.operators
        ],
        "tensors": [
            {
                "producer": operators[t.producer],
                "consumers": [operators[c] for c in t.consumers],
                "send": _without_zeros(names, t.send),
                "receive": _without_zeros(names, t.receive),
                "move": {a: _without_zeros(names, row) for a, row in zip(names, t.move, strict=False) if any(row)},
            }
            for t in instance.tensors
        ],
        "links": [
            {"name": link.name, "pairs": [[names[a], names[b]] for a, b in link.pairs]} for link in instance.links
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def schema() -> dict[str, Any]:
    """The JSON Schema of a `partita-problem/1` file."""
    found = _Document.model_json_schema()
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {"$schema": dialect, "$id": "urn:partita:schema:problem:1"} | found | {"title": "A placement problem"}


def _without_zeros(names: Sequence[str], amounts: Sequence[float]) -> dict[str, float]:
    return {name: amount for name, amount in zip(names, amounts, strict=False) if amount}


def _json_of(path: str | Path) -> dict[str, Any]:
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ProblemError(f"cannot read {str(path)!r}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ProblemError(f"{path}: this is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ProblemError(f"{path}: a placement problem is a JSON object, this is a {type(document).__name__}")
    return document


def _detected(document: dict[str, Any], path: str | Path) -> str:
    if "maxFPGAs" in document:
        return "msr"
    if "devices" in document and "nodes" in document:
        return "moirai"
    if "operators" in document or document.get("format") == FORMAT:
        return "partita"
    known = ", ".join(SOURCES)
    raise ProblemError(f"{path}: this is no placement problem of a known format ({known}); see docs/solving.md")


def _parsed(model: type[Model], document: dict[str, Any], path: str | Path) -> Model:
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ProblemError(f"{path}: {where}: {first['msg']}") from None


def _instance_of(document: _Document, name: str) -> Instance:
    reader = _Reader(document, name)
    return Instance(
        name=document.name or name,
        time_unit=document.time_unit,
        units=tuple(Unit(u.name, inf if u.memory is None else u.memory, u.call, u.subgraphs) for u in document.units),
        operators=tuple(
            Operator(o.name, reader.row(o.times, inf, f"operator {o.name!r}: times"), o.memory, o.group)
            for o in document.operators
        ),
        tensors=tuple(reader.tensor(tensor, f"tensors[{i}]") for i, tensor in enumerate(document.tensors)),
        links=reader.links(document.links),
    )


class _Reader:
    """Turns names into numbers."""

    def __init__(self, document: _Document, name: str) -> None:
        self.name = name
        self.number_of_unit = _numbers([unit.name for unit in document.units], "unit")
        self.number_of = _numbers([operator.name for operator in document.operators], "operator")

    def tensor(self, tensor: _Tensor, where: str) -> Tensor:
        self._check_units(tensor.move, f"{where}.move")
        move = tuple(self.row(tensor.move.get(a, {}), 0.0, f"{where}.move") for a in self.number_of_unit)
        return Tensor(
            producer=self._operator(tensor.producer, where),
            consumers=tuple(sorted({self._operator(c, where) for c in tensor.consumers})),
            send=self.row(tensor.send, 0.0, f"{where}.send"),
            receive=self.row(tensor.receive, 0.0, f"{where}.receive"),
            move=move if tensor.move else (),
        )

    def links(self, links: Sequence[_Link]) -> tuple[Link, ...]:
        """A link without pairs joins all units."""
        units = self.number_of_unit
        every = [(a, b) for a in units for b in units if a != b]
        taken: dict[tuple[str, str], str] = {}
        for number, link in enumerate(links):
            for a, b in every if link.pairs is None else link.pairs:
                self._check_units((a, b), f"links[{number}].pairs")
                if a == b:
                    raise ProblemError(f"{self.name}: links[{number}].pairs: {a!r} needs no link to itself")
                if (a, b) in taken:
                    raise ProblemError(
                        f"{self.name}: links[{number}].pairs: {a!r} to {b!r} is on link {taken[a, b]!r} already"
                    )
                taken[a, b] = link.name
        _numbers([link.name for link in links], "link")
        return tuple(
            Link(link.name, tuple((units[a], units[b]) for (a, b), name in taken.items() if name == link.name))
            for link in links
        )

    def row(self, amounts: Mapping[str, float], missing: float, where: str) -> tuple[float, ...]:
        self._check_units(amounts, where)
        return tuple(amounts.get(unit, missing) for unit in self.number_of_unit)

    def _operator(self, name: str, where: str) -> int:
        if name not in self.number_of:
            raise ProblemError(f"{self.name}: {where}: there is no operator {name!r}")
        return self.number_of[name]

    def _check_units(self, names: Iterable[str], where: str) -> None:
        for unit in names:
            if unit not in self.number_of_unit:
                known = ", ".join(self.number_of_unit)
                raise ProblemError(f"{self.name}: {where}: there is no unit {unit!r}; there are {known}")


def _numbers(names: Sequence[str], what: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for number, name in enumerate(names):
        if name in found:
            raise ProblemError(f"two {what}s are named {name!r}; each needs a name of its own")
        found[name] = number
    return found


def _check(instance: Instance, path: str | Path) -> None:
    names = [operator.name for operator in instance.operators]
    _numbers(names, "operator")
    if len(instance.order) < len(names):
        stuck = next(i for i in range(len(names)) if i not in set(instance.order))
        raise ProblemError(f"{path}: the operators wait for one another in a circle, {names[stuck]!r} among them")
    for members in instance.groups:
        if not any(all(instance.times[i][u] < inf for i in members) for u in range(len(instance.units))):
            listed = ", ".join(repr(names[i]) for i in members[:3]) + (", ..." if len(members) > 3 else "")
            what = "operator" if len(members) == 1 else "all of the group of"
            raise ProblemError(f"{path}: no unit runs {what} {listed}")
