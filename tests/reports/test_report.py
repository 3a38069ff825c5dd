"""Reports as files, and the Markdown in them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from partita.errors import OutputError
from partita.graph.ir import Source
from partita.kernels.compare import Difference
from partita.reports.markdown import markdown
from partita.reports.provenance import command_of
from partita.reports.report import FORMS, Report
from tests.reports.plans import mobile_plan, plan_of, timeline_of


def report() -> Report:
    plan = mobile_plan()
    return Report(plan, timeline_of(plan))


@pytest.mark.parametrize("suffix", FORMS)
def test_a_report_is_saved_in_the_form_of_its_suffix_and_nothing_else_is_left(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report{suffix.upper()}"
    report().save(path)
    assert path.stat().st_size > 1_000
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_the_saved_json_is_the_document_with_the_timeline(tmp_path: Path) -> None:
    report().save(tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    assert document["verdict"] == report().verdict
    assert document["timeline"]["latency_ms"] == pytest.approx(document["latency_ms"])


@pytest.mark.parametrize("name", ["report.docx", "report", "report.html.bak"])
def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"its name must end in \.html, \.md, \.json"):
        report().save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_does_not_exist_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        report().save(tmp_path / "nowhere" / "report.md")


def test_the_markdown_has_a_table_for_each_question() -> None:
    plan = mobile_plan()
    check = Difference(
        output="y", max_relative=0.1, max_absolute=0.1, mean_relative=0.1, snr_db=40.0, cosine=1.0, top1_agrees=False
    )
    text = markdown(plan, timeline_of(plan), (check,))
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## What runs where", "## Against simpler rules", "## Fallbacks, the dearest first",
        "## Boundaries: six transfers", "## Memory", "## What it does to the outputs", "## Where this comes from",
    ]  # fmt: skip


def test_names_cannot_break_out_of_a_markdown_table() -> None:
    plan = plan_of([("a|b\n# <i>`c`", "cpu", "x|y", 9.0), ("Conv", "npu", "", 10.0)])
    lines = markdown(plan, timeline_of(plan)).splitlines()
    row = next(line for line in lines if "a\\|b" in line)
    assert "<i>" not in row
    assert row.replace("\\|", "").count("|") == 8
    assert "\\\\n\\# &lt;i&gt;" in row


def test_the_command_repeats_shapes_rules_and_quotes_what_a_shell_would_read() -> None:
    plan = mobile_plan()
    source = Source("my models/a;b.onnx", (("batch", 1), ("x", (1, 3, 8, 8))), random_weights=True)
    asked = replace(plan, graph=replace(plan.graph, source=source), options={"pin": ("Softmax=cpu", "Add=gpu")})
    assert command_of(asked) == (
        "partita place 'my models/a;b.onnx' --soc toy-qnn --shape batch=1 --shape x=1x3x8x8 "
        "--pin Softmax=cpu --pin Add=gpu --random-weights"
    )


def test_a_model_made_in_memory_has_no_command() -> None:
    plan = mobile_plan()
    assert command_of(replace(plan, graph=replace(plan.graph, source=None))) == ""
