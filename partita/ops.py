"""The command `partita ops`: which operators a backend takes, and why not the others."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType

from partita import options as given
from partita.devices.support import Backend, backend_named
from partita.errors import SocError
from partita.graph.ir import Graph
from partita.option_texts import parse_shapes

if TYPE_CHECKING:
    from partita.reports.ops import Answer

out = Console(soft_wrap=False)

EPILOG = (
    "Examples:\n\n    partita ops model.onnx --unit qnn-htp:v73 --shape batch=1\n\n"
    "    partita ops model.onnx --unit qnn-htp:v73 --dtype int8 --json\n\n    partita ops --matrix\n\n"
    "    partita ops --measured table.csv --models probes --json"
)

Model = Annotated[str | None, typer.Argument(metavar="MODEL", help="An ONNX model.", show_default=False)]
UnitName = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="BACKEND",
        help="A support file, with a generation if it has some: qnn-htp:v73. `--matrix` lists them.",
        show_default=False,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", help="What the backend computes in; its preferred type if not given.", show_default=False),
]
Matrix = Annotated[bool, typer.Option("--matrix", help="Print operators by backends.")]
Measured = Annotated[
    str | None,
    typer.Option("--measured", metavar="TABLE.csv", help="Compare with measured verdicts.", show_default=False),
]
Models = Annotated[
    str | None, typer.Option("--models", metavar="FOLDER", help="The models of that table.", show_default=False)
]
Verify = Annotated[bool, typer.Option("--verify", help="Ask the vendor's partitioner too (needs onnxruntime-qnn).")]


def ops(  # noqa: PLR0913  (a command has one parameter per option)
    model: Model = None,
    unit: UnitName = None,
    shape: given.ShapeTexts = None,
    dtype: Dtype = None,
    matrix: Matrix = False,
    measured: Measured = None,
    models: Models = None,
    verify: Verify = False,
    as_json: given.Json = False,
) -> None:
    """Say of each operator whether a backend takes it, the rule it breaks, and the rule's source."""
    if [model is not None, matrix, measured is not None].count(True) != 1:
        raise SocError("give one of: a MODEL with --unit, --matrix, or --measured TABLE with --models FOLDER")
    if matrix:
        _print_matrix(as_json=as_json)
    elif measured is not None:
        _compare(measured, models, as_json=as_json)
    elif model is not None:
        _answer(model, unit, shape, dtype, verify=verify, as_json=as_json)


def _print_matrix(*, as_json: bool) -> None:
    from partita.reports.ops import matrix_document, matrix_table

    _print_json(matrix_document()) if as_json else _print_wide(matrix_table())


def _compare(table: str, models: str | None, *, as_json: bool) -> None:
    from partita.devices.measured import compare, read_table
    from partita.reports.ops import measured_document, measured_table

    if models is None:
        raise SocError("which models? --measured TABLE needs --models FOLDER, where the models of the table lie")
    comparison = compare(read_table(table), models)
    _print_json(measured_document(comparison)) if as_json else out.print(measured_table(comparison))


def _answer(
    model: str, unit: str | None, shape: list[str] | None, dtype: str | None, *, verify: bool, as_json: bool
) -> None:
    from partita import api
    from partita.passes.find_matches import find_matches
    from partita.reports.ops import answers_of, ops_document, ops_table

    if unit is None:
        raise SocError("which backend? give --unit NAME, such as qnn-htp:v73; `partita ops --matrix` lists them")
    backend = backend_named(unit)
    dtype = _checked(dtype or backend.support.dtypes[0], backend)
    graph = api.load(model, parse_shapes(shape), random_weights=verify)
    answers = answers_of(graph, backend, dtype, find_matches(graph))
    if verify:
        _verify(graph, unit, backend, answers, as_json=as_json)
    elif as_json:
        _print_json(ops_document(graph, unit, backend, dtype, answers))
    else:
        out.print(ops_table(graph, backend, dtype, answers))


def _verify(graph: Graph, unit: str, backend: Backend, answers: Sequence["Answer"], *, as_json: bool) -> None:
    from partita.reports.ops import Verified, verified_document, verified_table
    from partita.vendor_partitioner import SOC_MODEL, ask_partitioner

    if unit.partition(":")[0] != "qnn-htp" or backend.generation not in SOC_MODEL:
        raise SocError(f"--verify can ask the partitioner of qnn-htp only, not of {unit!r}")
    assignment = ask_partitioner(graph, backend.generation)
    real = {True: "npu", False: "cpu", None: "expanded"}
    asked = () if assignment.error else answers
    verified = [Verified(answer, real[assignment.is_taken.get(answer.node)]) for answer in asked]
    if as_json:
        _print_json(verified_document(graph, unit, verified, assignment.error))
    else:
        out.print(verified_table(graph, backend, verified, assignment.error))


def _checked(dtype: str, backend: Backend) -> str:
    if dtype not in backend.support.dtypes:
        known = ", ".join(backend.support.dtypes)
        raise SocError(f"{backend.title} does not compute in {dtype}; it does in: {known}")
    return dtype


def _print_wide(table: RenderableType) -> None:
    """Prints a table with a column per backend at the width it needs, which a pager can scroll."""
    Console(width=max(out.width, 400), soft_wrap=True).print(table)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=1, allow_nan=False))
