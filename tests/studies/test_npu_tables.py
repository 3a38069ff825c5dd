"""The tables of whole models on NPUs: which rows are predicted, and why the others are not."""

from pathlib import Path

import numpy as np

from partita.graph.build import GraphBuilder
from partita.graph.onnx_export import to_model
from partita.studies.validation.validate import Validation, validate

AIHUB = (
    "model,component,precision,device,chipset,runtime,inference_time_us,primary_unit,"
    "layers_total,layers_npu,layers_gpu,layers_cpu,tag\n"
)
RKNN = "model,device,chip,unit,threads,precision,runtime,latency_ms,notes,source,commit\n"


def validated(folder: Path, table: str) -> Validation:
    b = GraphBuilder("net")
    x = b.node("Conv", b.input("x", "float32", (1, 3, 64, 64)), b.constant("w", np.ones((64, 3, 3, 3), np.float32)))
    b.output(b.node("Conv", b.node("Relu", x), b.constant("v", np.ones((64, 64, 3, 3), np.float32))))
    (folder / "net.onnx").write_bytes(to_model(b.build()).SerializeToString())
    (folder / "t.csv").write_text(table)
    return validate(folder / "t.csv", folder)


def test_aihub_rows_on_the_npu_are_predicted_and_the_others_counted_by_reason(tmp_path: Path) -> None:
    s24 = "Samsung Galaxy S24"
    rows = [
        f"net,,float,{s24},c,qnn_dlc,100,NPU,5,5,0,0,v1",
        f"net,,float,{s24},c,onnx,300,NPU,5,5,0,0,v1",
        f"net,,w8a8,{s24},c,onnx,400,NPU,5,3,0,2,v1",
        f"net,,float,{s24},c,tflite,90000,NPU,5,5,0,0,v1",
        f"other,,float,{s24},c,qnn_dlc,100,NPU,5,5,0,0,v1",
        "net,,float,Toaster,c,qnn_dlc,100,NPU,5,5,0,0,v1",
    ]
    found = validated(tmp_path, AIHUB + "\n".join(rows) + "\n")
    plain, through_ort, mixed = found.predictions
    assert through_ort.predicted > plain.predicted + 0.1
    assert (mixed.unit, mixed.precision) == ("NPU+CPU", "w8a8")
    assert not any(row.in_sample for row in found.predictions)
    assert set(found.unpredicted) == {
        "out of line: more than 5 times the best run of the model on the device",
        "no graph of its model in the folder",
        "no preset of Toaster",
    }


def test_rknn_rows_of_one_core_of_the_rk3588_are_predicted(tmp_path: Path) -> None:
    rows = [
        "net,RK3588,RK3588,NPU,1 core,INT8,RKNPU,2.0,,s,c",
        "net,RK3562,RK3562,NPU,all,INT8,RKNPU,2.0,,s,c",
        "net,RK3588,RK3588,NPU,1 core,FP16,RKNPU,,,s,c",
    ]
    found = validated(tmp_path, RKNN + "\n".join(rows) + "\n")
    assert [(row.precision, row.measured) for row in found.predictions] == [("INT8", 2.0)]
    assert sum(found.unpredicted.values()) == 2
