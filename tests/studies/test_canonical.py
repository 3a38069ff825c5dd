"""Standard networks on all hardware: rows of other tables as there, the others from their neighbours."""

from pathlib import Path

import numpy as np
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.onnx_export import to_model
from partita.studies.validation.validate import Validation, validate

HEADER = (
    "canonical_model,input_hw,name_in_source,device,chip,unit,threads_or_cores,precision,runtime,latency_ms,notes,"
    "data_file\n"
)
WIDTHS = (16, 24, 32, 48, 64, 96)


def validated(folder: Path, *rows: str) -> Validation:
    for index, width in enumerate(WIDTHS):
        b = GraphBuilder(f"n{index}")
        x = b.input("x", "float32", (1, 3, 56, 56))
        w = b.constant("w", np.ones((width, 3, 3, 3), np.float32))
        v = b.constant("v", np.ones((width, width, 1, 1), np.float32))
        b.output(b.node("Conv", b.node("Relu", b.node("Conv", x, w)), v))
        (folder / f"n{index}.onnx").write_bytes(to_model(b.build()).SerializeToString())
    (folder / "t.csv").write_text(HEADER + "\n".join(rows) + "\n")
    return validate(folder / "t.csv", folder)


def board(model: int, latency_ms: float, threads: str = "4 big") -> str:
    return f"n{model},56,n{model},Board (A72),Board,CPU,{threads},fp,ncnn-cpu,{latency_ms},,ncnn_benchmark.csv"


def work(model: int) -> float:
    width = WIDTHS[model]
    return 54 * 54 * width * (27 + width)


def test_a_row_of_another_table_is_predicted_as_there(tmp_path: Path) -> None:
    found = validated(
        tmp_path,
        "n2,56,n2,Google Pixel 4,Snapdragon 855,CPU,1large,fp32,TFLite v2.10,2.0,flops 1e7,qed_e2e_real.csv",
        "n2,56,n2,Pixel 4,Snapdragon 855,CPU,1large,fp32,PyTorch Mobile v2.0,2.0,flops 11010048,qed_e2e_real.csv",
        "n2,56,n2,Samsung Galaxy S24,c,NPU,,float,AI Hub qnn_dlc,0.2,layers NPU/GPU/CPU 4/0/0; v1,aihub_perf.csv",
        "n2,56,n2,RK3588,RK3588,NPU,1 core,INT8,RKNPU,1.0,,rknn_zoo.csv",
    )
    assert [(row.runtime, row.unit) for row in found.predictions] == [
        ("TFLite v2.10", "CPU"),
        ("PyTorch Mobile v2.0", "CPU"),
        ("qnn_dlc", "NPU"),
        ("RKNPU", "NPU"),
    ]


def test_unknown_hardware_is_predicted_from_its_other_networks(tmp_path: Path) -> None:
    found = validated(tmp_path, *(board(m, 3e-7 * work(m) + 0.2) for m in range(6)))
    assert len(found.predictions) == 6
    assert all(row.error < 0.35 for row in found.predictions)
    assert not any(row.in_sample for row in found.predictions)


def test_a_row_does_not_see_its_own_measurement(tmp_path: Path) -> None:
    first = validated(tmp_path, *(board(m, 3e-7 * work(m)) for m in range(6))).predictions[5]
    second = validated(tmp_path, *(board(m, 3e-7 * work(m) * (9 if m == 5 else 1)) for m in range(6))).predictions[5]
    assert second.measured == pytest.approx(9 * first.measured)
    assert second.predicted == pytest.approx(first.predicted)


def test_too_few_neighbours_and_unknown_units_are_counted(tmp_path: Path) -> None:
    found = validated(
        tmp_path, board(0, 1.0), board(1, 2.0), "n0,56,n0,Chip,Chip,VPU,,fp16,OpenVINO,1.0,,x.csv", board(7, 1.0)
    )
    assert not found.predictions
    assert set(found.unpredicted) == {
        "fewer than 4 other networks were measured in its setting",
        "no law of OpenVINO on VPU",
        "no graph of its model in the folder",
    }
