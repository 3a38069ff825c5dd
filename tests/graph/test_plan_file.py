import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from partita.errors import PlanError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph, Source
from partita.graph.match import Match, fuse
from partita.graph.plan import Baseline, Cost, Location, PlacedOperator, Plan, Proof, Refusal, Segment, Transfer
from partita.graph.plan_check import flaw_of
from partita.graph.plan_file import FORMAT, PlanFile, to_json

CPU, NPU = Location("cpu", "float32"), Location("npu:0", "float16")
COST = Cost(
    latency_us=3.0, low_us=2.0, high_us=4.0, dispatch_us=1.0, compute_us=2.0, memory_us=0.5, dram_bytes=64,
    evidence="roofline",
)  # fmt: skip


def graph() -> Graph:
    b = GraphBuilder("g")
    x = b.input("x", "float32", (1, 4))
    b.output(b.node("Softmax", b.node("Mul", x, b.node("Sigmoid", x, name="s"), name="m"), name="y"))
    fused = fuse(b.build(), [Match("Swish", ("s", "m"), ("x",), ("m",))])
    return replace(fused, source=Source("models/g.onnx", (("batch", 1), ("x", (1, 4))), False))


def plan() -> Plan:
    """Swish on the NPU, then Softmax on the CPU."""
    operators = tuple(
        PlacedOperator(
            node=node, covers=covers, unit=at.unit, dtype=at.dtype, kernel=kernel, segment=segment, cost=COST
        )
        for segment, (node, covers, at, kernel) in enumerate(
            [("m", ("s", "m"), NPU, "Swish"), ("y", ("y",), CPU, "Softmax")]
        )
    )
    crossing = {"sync_us": 1.0, "copy_us": 2.0, "convert_us": 0.5, "dram_bytes": 24, "size_bytes": 16, "layout": "any"}
    return Plan(
        graph=graph(), graph_digest="abc", soc_name="soc", soc_digest=SOC_DIGEST,
        soc_json=SOC_JSON, host=CPU, inference_us=10.0, operators=operators,
        segments=(
            Segment(index=0, unit="npu:0", call_us=5.0, operators=("m",)),
            Segment(index=1, unit="cpu", call_us=0.0, operators=("y",)),
        ),
        transfers=(
            Transfer(tensor="x", source=CPU, target=NPU, before="m", **crossing),  # type: ignore[arg-type]
            Transfer(tensor="m", source=NPU, target=CPU, before="y", **crossing),  # type: ignore[arg-type]
        ),
        proof=Proof(
            objective="latency", value=28.0, bound=27.0, unit="us", status="optimal", solver="HiGHS", solve_s=0.25
        ),
        refusals=(Refusal(node="y", op="Softmax", unit="npu:0", verdict="unsupported", reason="é", source="a page"),),
        baselines=(Baseline(name="cpu", title="CPU alone", latency_us=40.0, segments=1, value=None, breaks=()),),
        options={"pin": ("Softmax=cpu", "my relu=npu")},
    )  # fmt: skip


def written(folder: Path, document: object) -> Path:
    path = folder / "p.plan.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def read(path: Path) -> Plan:
    file = PlanFile(path)
    assert file.source
    assert file.graph_digest is not None
    return file.plan(graph())


SOC_JSON = '{"name":"soc","units":[{"name":"cpu"},{"name":"npu:0"}]}'
SOC_DIGEST = hashlib.sha256(SOC_JSON.encode()).hexdigest()


def test_a_plan_is_the_same_after_writing_and_reading_but_for_the_time_it_took(tmp_path: Path) -> None:
    before = plan()
    path = written(tmp_path, to_json(before))
    after = read(path)
    for name in ("graph_digest", "soc_name", "soc_digest", "host", "inference_us", "operators", "segments",
                 "transfers", "refusals", "baselines", "options"):  # fmt: skip
        assert getattr(after, name) == getattr(before, name), name
    assert json.loads(after.soc_json) == json.loads(before.soc_json)
    assert after.proof == replace(before.proof, solve_s=0.0)
    assert to_json(after) == to_json(before)


def test_a_plan_says_where_its_model_is_and_what_it_fused(tmp_path: Path) -> None:
    file = PlanFile(written(tmp_path, to_json(plan())))
    assert file.source.path == str(tmp_path / "models" / "g.onnx")
    assert file.source.shapes == (("batch", 1), ("x", (1, 4)))
    assert file.operators[0].covers == ("s", "m")


def test_the_same_plan_is_always_the_same_bytes() -> None:
    slower = replace(plan(), proof=replace(plan().proof, solve_s=9.0))
    assert to_json(plan()) == to_json(slower)


def test_a_plan_of_a_graph_from_no_file_is_not_written() -> None:
    with pytest.raises(PlanError, match="only for a graph that was loaded from a file"):
        to_json(replace(plan(), graph=replace(graph(), source=None)))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "5", "null", "{}", '{"format": "other/1"}', "[" * 100_000, "9" * 5000, '"x"']
)
def test_text_that_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(PlanError, match=r"p\.plan\.json: not a plan.*make it again with: partita place"):
        PlanFile(written(tmp_path, text))


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"\xff\xfe")
    for name in ("b", "absent", ".", "a\0b"):
        with pytest.raises(PlanError, match="cannot read the plan"):
            PlanFile(tmp_path / name)


def test_a_plan_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    text = to_json(plan()).rstrip()
    for length in range(0, len(text) - 1, 37):
        with pytest.raises(PlanError):
            read(written(tmp_path, text[:length]))


def paths_of(document: Any, before: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The place of every entry in the part of the document that has a fixed form."""
    if isinstance(document, dict):
        entries: list[tuple[str | int, Any]] = list(document.items())
    elif isinstance(document, list):
        entries = list(enumerate(document))
    else:
        return []
    found = [(*before, key) for key, _ in entries]
    return found + [
        path for key, inner in entries if key not in ("soc", "options") for path in paths_of(inner, (*before, key))
    ]


DOCUMENT = json.loads(to_json(plan()))
KEYS = [path for path in paths_of(DOCUMENT) if isinstance(path[-1], str)]


def at(document: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@pytest.mark.parametrize("path", KEYS, ids=lambda path: ".".join(map(str, path)))
def test_a_plan_without_one_of_its_entries_is_refused(tmp_path: Path, path: tuple[str | int, ...]) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    del at(document, path[:-1])[path[-1]]
    with pytest.raises(PlanError):
        read(written(tmp_path, document))


@pytest.mark.parametrize("path", KEYS, ids=lambda path: ".".join(map(str, path)))
@pytest.mark.parametrize("value", [None, 7, "x", [], {}, [None], {"a": 1}])
def test_an_entry_of_another_type_is_refused_or_means_the_same(
    tmp_path: Path, path: tuple[str | int, ...], value: object
) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    at(document, path[:-1])[path[-1]] = value
    with suppress(PlanError):
        read(written(tmp_path, document))


@pytest.mark.parametrize("key", ["operators", "segments", "transfers", "refusals", "baselines", "proof"])
def test_an_unknown_entry_is_refused(tmp_path: Path, key: str) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    (document[key] if key == "proof" else document[key][0])["extra"] = 1
    with pytest.raises(PlanError, match=r"the plan is damaged: .*extra"):
        read(written(tmp_path, document))


def test_a_plan_of_other_operators_than_the_models_is_refused(tmp_path: Path) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    document["operators"].reverse()
    with pytest.raises(PlanError, match="its operators are not those of the model"):
        read(written(tmp_path, document))


def test_the_format_is_named_in_the_file() -> None:
    assert DOCUMENT["format"] == FORMAT
    assert "solve_s" not in DOCUMENT["proof"]


def test_a_plan_finds_operators_and_transfers_by_name() -> None:
    p = plan()
    assert p.placed["m"].location == NPU
    assert [t.tensor for t in p.transfers_before["y"]] == ["m"]
    assert p.transfers[0].latency_us == 3.5
    assert p.transfers[0].crosses_units
    assert p.proof.gap == pytest.approx(1 / 28)
    assert COST.bound == "compute"
    assert NPU.stored(p.graph.value("x")).dtype == "float16"


def sound() -> Plan:
    """A plan whose parts add up, for the checks of what a file may say."""
    p = plan()
    total_us = 10.0 + 5.0 + 2 * 3.0 + 2 * 3.5
    transfers = (p.transfers[0], p.transfers[1])
    return replace(p, transfers=transfers, proof=replace(p.proof, value=total_us, bound=total_us))


def test_a_sound_plan_has_no_flaw() -> None:
    assert flaw_of(sound()) is None


@pytest.mark.parametrize(
    ("change", "flaw"),
    [
        ({"segments": ()}, "do not hold its operators"),
        ({"segments": tuple(reversed(sound().segments))}, "not numbered in order"),
        ({"transfers": sound().transfers[:1]}, "reads 'm' at cpu:float32, where it never arrives"),
        ({"transfers": (replace(sound().transfers[0], source=Location("gpu", "float32")),)}, "where it is not"),
        ({"host": Location("npu:0", "float16")}, "where it is not"),
        ({"host": Location("cpu", "banana")}, "dtype of cpu:banana is not known"),
        ({"proof": replace(sound().proof, value=1.0, bound=1.0)}, "its parts take 28 us"),
        ({"proof": replace(sound().proof, bound=99.0)}, "bound is above"),
        ({"proof": replace(sound().proof, value=-5.0)}, "time of its proof cannot be"),
        ({"inference_us": float("inf")}, "time of its inference cannot be"),
        (
            {"baselines": (Baseline(name="b", title="", latency_us=-1.0, segments=1, value=None, breaks=()),)},
            "baseline 'b'",
        ),
        ({"operators": (sound().operators[0], replace(sound().operators[1], unit="tpu"))}, "each on its own unit"),
        (
            {"operators": (replace(sound().operators[0], cost=replace(COST, latency_us=9.0)), sound().operators[1])},
            "cost of operator 'm'",
        ),
    ],
)
def test_a_plan_that_contradicts_itself_says_how(change: dict[str, Any], flaw: str) -> None:
    assert flaw in (flaw_of(replace(sound(), **change)) or "")
