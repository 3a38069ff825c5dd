"""Segments on other runtimes: the same outputs, clear refusals."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import partita as pt
from partita.backends import BACKENDS, Backend, SubModel, backend_called
from partita.backends.backend import Run, backend
from partita.backends.run import chosen_backends, run_on_backends
from partita.errors import BackendError
from partita.graph.pieces import pieces_of
from partita.graph.plan import Location, Plan
from partita.kernels.executor import run
from partita.partitioner import Wishes
from partita.partitioner.place import partition
from partita.passes.random_feeds import random_feeds
from tests.partitioner.test_sharing import convolutions, near_units
from tests.reports.exports.models import SPLIT, SWITCHED, TWO_UNITS, placed

X = np.linspace(-1, 1, 256, dtype=np.float32).reshape(4, 64)
INSTALLED = [name for name, each in BACKENDS.items() if not each.missing and name != "qnn-emulator"]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return placed(tmp_path, TWO_UNITS, pins=SPLIT)


def outputs(plan: Plan, feeds: dict[str, Any], **names: str) -> Mapping[str, Any]:
    return run_on_backends(plan, feeds, chosen_backends(plan, names)).outputs


def computing_in(plan: Plan, dtype: str) -> Plan:
    """The same plan with its NPU computing in another dtype."""

    def at(location: Location) -> Location:
        return Location(location.unit, dtype) if location.unit == "npu" else location

    operators = tuple(replace(o, dtype=at(o.location).dtype) for o in plan.operators)
    transfers = tuple(replace(t, source=at(t.source), target=at(t.target)) for t in plan.transfers)
    return replace(plan, operators=operators, transfers=transfers)


@pytest.mark.parametrize("name", INSTALLED)
def test_every_installed_backend_gives_what_the_model_gives(plan: Plan, name: str) -> None:
    wanted = run(plan.graph, {"x": X})["y"]
    found = outputs(computing_in(plan, "float32"), {"x": X}, npu=name, cpu=name)["y"]
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8"])
def test_our_own_backend_computes_as_the_executor_does(plan: Plan, dtype: str) -> None:
    changed = computing_in(plan, dtype)
    np.testing.assert_array_equal(outputs(changed, {"x": X})["y"], pt.execute(changed, {"x": X}).outputs["y"])


def test_branches_and_loops_run_elsewhere(tmp_path: Path) -> None:
    plan = placed(tmp_path, SWITCHED, pins=("MatMul=npu",))
    feeds = {"x": X, "c": np.array(True), "n": np.array(3, np.int64)}
    wanted = run(plan.graph, feeds)["y"]
    found = outputs(plan, feeds, cpu="onnxruntime", npu="onnxruntime")["y"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


def test_each_segment_runs_on_the_backend_of_its_unit(plan: Plan) -> None:
    chosen = chosen_backends(plan, {"cpu": "onnxruntime"})
    segments = run_on_backends(plan, {"x": X}, chosen).segments
    assert [(s.segment, s.unit, s.backend) for s in segments] == [
        (0, "npu", "numpy"), (1, "cpu", "onnxruntime"), (2, "npu", "numpy"),
    ]  # fmt: skip


def test_an_operator_that_two_units_share_runs_whole_on_its_own() -> None:
    plan = partition(convolutions(), near_units(), wishes=Wishes(split=True))
    assert any(operator.shared is not None for operator in plan.operators)
    feeds = random_feeds(plan.graph)
    (wanted,), (found,) = (
        run(plan.graph, feeds).values(),
        outputs(plan, feeds, cpu="onnxruntime", gpu="onnxruntime").values(),
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_a_new_backend_is_a_function(plan: Plan) -> None:
    loaded: list[str] = []

    @backend("counting", "counts")
    def load(sub_model: SubModel) -> Run:
        loaded.append(sub_model.path.name)
        return BACKENDS["numpy"].load(sub_model)

    try:
        outputs(plan, {"x": X}, npu="counting")
        with pytest.raises(ValueError, match="registered twice"):
            backend("counting", "again")(load)
    finally:
        del BACKENDS["counting"]
    assert loaded == ["0.onnx", "2.onnx"]


def test_what_is_not_there_is_refused(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match="there is no backend 'tpu'; there are numpy, onnxruntime"):
        chosen_backends(plan, {"npu": "tpu"})
    with pytest.raises(BackendError, match="has no unit 'dsp'; it has: cpu, gpu, npu"):
        chosen_backends(plan, {"dsp": "numpy"})
    absent: Backend = replace(BACKENDS["openvino"], packages=("surely_not_installed",))
    monkeypatch.setitem(BACKENDS, "openvino", absent)
    with pytest.raises(BackendError, match=r"needs surely_not_installed, not installed here: pip install 'partita\["):
        backend_called("openvino")


def test_a_quantised_segment_is_refused_by_whoever_cannot_compute_it(plan: Plan) -> None:
    with pytest.raises(BackendError, match="segment 0 on npu in int8, which onnxruntime does not know"):
        outputs(computing_in(plan, "int8"), {"x": X}, npu="onnxruntime")


def test_a_runtime_that_refuses_a_segment_says_which(plan: Plan, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x0a")
    piece = pieces_of(plan)[0]
    sub_model = SubModel(piece=piece, path=broken, unit=pt.soc("sd8gen3-qnn").unit_named("npu"))
    with pytest.raises(BackendError, match="onnxruntime does not take segment 0 of npu"):
        BACKENDS["onnxruntime"].load(sub_model)


def test_the_emulator_stands_for_qualcomms_npus_only(plan: Plan, tmp_path: Path) -> None:
    unit = pt.soc("sd8gen3-qnn").unit_named("cpu")
    sub_model = SubModel(piece=pieces_of(plan)[0], path=tmp_path / "no.onnx", unit=unit)
    with pytest.raises(BackendError, match="stands for Qualcomm's NPUs, and cpu"):
        BACKENDS["qnn-emulator"].load(sub_model)


def test_a_process_that_ends_early_is_told_as_an_error(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = pt.soc("sd8gen3-qnn").unit_named("npu")
    sub_model = SubModel(piece=pieces_of(plan)[0], path=tmp_path / "no.onnx", unit=unit)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BackendError, match="qnn-emulator ended in segment 0 of npu with exit code 1"):
        BACKENDS["qnn-emulator"].load(sub_model)({"x": X})


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxruntime_qnn") is None, reason="onnxruntime-qnn is not installed")
def test_the_emulator_agrees_within_float16(plan: Plan) -> None:
    wanted = run(plan.graph, {"x": X})["y"]
    found = outputs(plan, {"x": X}, npu="qnn-emulator")["y"]
    assert np.abs(found - wanted).max() <= 16 * 2.0**-11 * np.abs(wanted).max()
