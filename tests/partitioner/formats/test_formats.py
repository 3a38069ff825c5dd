"""Problems in our own format, in MSR's and in Moirai's."""

import json
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from partita.errors import ProblemError
from partita.partitioner.instance import Instance
from partita.partitioner.problem_file import problem_json, read_problem
from tests.partitioner.instances import instances

MSR: dict[str, Any] = {
    "maxSizePerFPGA": 10.0,
    "maxFPGAs": 2,
    "maxCPUs": 1,
    "nodes": [
        {"id": 7, "supportedOnFpga": 1, "cpuLatency": 5.0, "fpgaLatency": 1.0, "isBackwardNode": 0, "size": 4.0},
        {"id": 3, "supportedOnFpga": 0, "cpuLatency": 2.0, "fpgaLatency": 0.0, "colorClass": 1, "size": 1.0},
    ],
    "edges": [{"sourceId": 7, "destId": 3, "cost": 0.5}],
}
MOIRAI: dict[str, Any] = {
    "unit_time": "ms",
    "devices": 2,
    "device_memory_bytes": [100.0, 200.0],
    "nodes": [
        {"id": 0, "time": [1.0, 2.0], "memory_bytes": 8.0, "transfer": [[0.0, 0.25], [0.75, 0.0]]},
        {"id": 1, "time": [3.0, 1.0], "transfer": None},
    ],
    "edges": [[0, 1]],
}


def read(tmp_path: Path, document: object, source: str | None = None) -> Instance:
    path = tmp_path / "problem.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return read_problem(path, source)


def test_an_msr_workload_has_accelerators_that_pay_for_both_ways(tmp_path: Path) -> None:
    instance = read(tmp_path, MSR)
    assert [unit.name for unit in instance.units] == ["cpu0", "accelerator0", "accelerator1"]
    assert [unit.memory for unit in instance.units] == [inf, 10.0, 10.0]
    assert [operator.name for operator in instance.operators] == ["7", "3"]
    assert instance.times.tolist() == [[5.0, 1.0, 1.0], [2.0, inf, inf]]
    assert instance.moves[0].tolist() == [[0.0, 0.5, 0.5], [0.5, 0.0, 1.0], [0.5, 1.0, 0.0]]
    assert instance.alike == (0, 1, 1)


def test_a_moirai_sample_has_one_matrix_per_output(tmp_path: Path) -> None:
    instance = read(tmp_path, MOIRAI)
    assert instance.times.tolist() == [[1.0, 2.0], [3.0, 1.0]]
    assert instance.moves[0].tolist() == [[0.0, 0.25], [0.75, 0.0]]
    assert [unit.memory for unit in instance.units] == [100.0, 200.0]


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(instances(calls=True, memory=True, callers=True))
def test_a_problem_written_and_read_is_the_same(tmp_path: Path, instance: Instance) -> None:
    again = read(tmp_path, problem_json(instance))
    assert (again.name, again.units, again.operators) == (instance.name, instance.units, instance.operators)
    assert again.edges == instance.edges
    assert all(np.array_equal(a, b) for a, b in zip(again.moves, instance.moves, strict=True))


def changed(document: dict[str, Any], *path: str | int, value: object) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(document))
    inner: Any = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


OURS = json.loads(problem_json(Instance("empty", "us", (), (), ()))) | {
    "units": [{"name": "cpu"}],
    "operators": [{"name": "a", "times": {"cpu": 1}}, {"name": "b", "times": {"cpu": 1}}],
    "tensors": [{"producer": "a", "consumers": ["b"]}],
}
LINKED = OURS | {
    "units": [{"name": "cpu"}, {"name": "npu"}, {"name": "gpu"}],
    "links": [{"name": "up", "pairs": [["cpu", "npu"], ["cpu", "gpu"]]}, {"name": "down", "pairs": [["npu", "cpu"]]}],
}


def test_a_link_joins_its_pairs_or_all_units(tmp_path: Path) -> None:
    instance = read(tmp_path, LINKED)
    assert instance.link_table == ((-1, 0, 0), (1, -1, -1), (-1, -1, -1))
    assert read(tmp_path, problem_json(instance)).links == instance.links
    bus = read(tmp_path, LINKED | {"links": [{"name": "bus"}]})
    assert bus.link_table == ((-1, 0, 0), (0, -1, 0), (0, 0, -1))
    assert read(tmp_path, OURS).link_table == ()


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "this is no JSON"),
        ([], "a placement problem is a JSON object"),
        ({"x": 1}, "no placement problem of a known format"),
        (changed(MSR, "edges", 0, "destId", value=9), r"edges\[0\]: there is no node 9"),
        (changed(MSR, "nodes", 0, "cpuLatency", value=-1), "nodes.0.cpuLatency: .*greater than or equal to 0"),
        (changed(MSR, "nodes", 0, "fpgaLatency", value=float("nan")), "nodes.0.fpgaLatency"),
        (changed(MSR, "nodes", value=[*MSR["nodes"], MSR["nodes"][0]]), "two operators are named '7'"),
        (changed(MSR, "edges", 0, "destId", value=7), "wait for one another in a circle"),
        (changed(MSR, "maxCPUs", value=0), "no unit runs operator '3'"),
        (
            changed(MSR, "edges", value=[*MSR["edges"], {"sourceId": 7, "destId": 3, "cost": 9}]),
            "one output has one cost",
        ),
        (changed(MOIRAI, "nodes", 0, "time", value=[1.0]), r"nodes\[0\].time has 1 entries for 2 devices"),
        (changed(MOIRAI, "nodes", 0, "transfer", value=[[0.0]]), r"nodes\[0\].transfer is not 2 x 2"),
        (changed(MOIRAI, "edges", value=[[0, 5]]), r"edges\[0\]: there is no node 5"),
        (changed(OURS, "tensors", 0, "consumers", value=["c"]), r"tensors\[0\]: there is no operator 'c'"),
        (changed(OURS, "tensors", 0, "send", value={"gpu": 1}), r"tensors\[0\].send: there is no unit 'gpu'"),
        (changed(LINKED, "links", 0, "pairs", 0, 1, value="dsp"), r"links\[0\].pairs: there is no unit 'dsp'"),
        (changed(LINKED, "links", 1, "pairs", 0, 0, value="cpu"), r"links\[1\].pairs: 'cpu' needs no link to itself"),
        (changed(LINKED, "links", 1, "pairs", value=[["cpu", "npu"]]), "'cpu' to 'npu' is on link 'up' already"),
        (changed(LINKED, "links", 1, "name", value="up"), "two links are named 'up'"),
        (changed(OURS, "operators", 0, "times", value={}), "no unit runs operator 'a'"),
        (changed(OURS, "operators", 0, "cost", value=1), "operators.0.cost: Extra inputs are not permitted"),
    ],
)
def test_a_broken_problem_says_where_and_what(tmp_path: Path, document: object, message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        read(tmp_path, document)
