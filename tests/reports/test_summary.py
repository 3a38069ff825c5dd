"""The JSON document and the terminal's tables."""

import io
import json
from dataclasses import replace
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from rich.console import Console

from partita.graph.plan import Plan
from partita.reports.summary import plan_document, plan_summary
from tests.reports.plans import Layer, layers, mobile_layers, mobile_plan, plan_of, timeline_of

SCHEMA: dict[str, Any] = json.loads((files("partita.reports") / "templates" / "plan.schema.json").read_text("utf-8"))


def check(document: dict[str, Any]) -> None:
    """Validates what a reader of the JSON text would get."""
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(json.dumps(document, allow_nan=False)))


def printed(plan: Plan) -> str:
    console = Console(file=io.StringIO(), width=110, force_terminal=False)
    console.print(plan_summary(plan))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_object_in_the_schema_is_closed() -> None:
    def open_objects(schema: object) -> list[object]:
        if isinstance(schema, list):
            return [found for part in schema for found in open_objects(part)]
        if not isinstance(schema, dict):
            return []
        here = [schema] if schema.get("type") == "object" and "additionalProperties" not in schema else []
        return here + [found for part in schema.values() for found in open_objects(part)]

    assert open_objects(SCHEMA) == []


@given(layers())
def test_every_plan_gives_a_document_that_fits_the_schema(chain: list[Layer]) -> None:
    plan = plan_of(chain, fused=True)
    check(plan_document(plan))
    check(plan_document(plan, timeline_of(plan)))


def test_the_placement_names_every_operator_of_the_model_and_the_call_that_covers_it() -> None:
    document = plan_document(mobile_plan())
    placement = document["placement"]
    assert set(placement) == {f"/features/{i}/{op}" for i, (op, _, _, _) in enumerate(mobile_layers())}
    assert document["operators"] == len(mobile_layers())
    assert placement["/features/1/Conv"] == placement["/features/2/Relu"] | {"op": "Conv"}
    assert placement["/features/1/Conv"]["call"] == "/features/2/Relu"


def test_latency_bound_and_gap_agree() -> None:
    document = plan_document(mobile_plan())
    assert document["gap"] == pytest.approx(1 - document["bound_ms"] / document["latency_ms"])
    assert document["latency_ms"] == pytest.approx(6.992)


def test_a_boundary_says_what_goes_where_for_whom() -> None:
    first, *_, last = plan_document(mobile_plan())["boundaries"]
    assert (first["tensor"], first["from"], first["to"], first["bytes"]) == ("t0", "cpu", "npu", 200_704)
    assert first["ms"] == pytest.approx(0.071)
    assert (last["from"], last["to"], last["before"]) == ("gpu", "cpu", None)


def test_the_tables_show_the_verdict_and_every_question() -> None:
    text = printed(mobile_plan())
    for part in ("2.9x faster than", "What runs where", "Against simpler rules", "Fallbacks", "Transfers (6,"):
        assert part in text


def test_names_that_look_like_markup_or_control_the_terminal_are_shown_as_they_are() -> None:
    plan = mobile_plan()
    hostile = replace(plan.transfers[0], tensor="[bold]x[/nope]\x1b[2J\r\n")
    text = printed(replace(plan, transfers=(hostile, *plan.transfers[1:])))
    assert "[bold]x[/nope]\\x1b[2J" in text
    assert "\x1b" not in text
    assert "\r" not in text
