"""Each format as its tool writes it: an example, what tools vary, and files that are cut, empty or something else."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from partita.devices.profiles import FORMATS, READERS, Profile, in_real_time, needs_clock, read_profile, with_clock
from partita.errors import SocError

DATA = Path(__file__).parents[2] / "data" / "profiles"
EXAMPLES = {path.stem: path for path in sorted(DATA.iterdir())}


def text_of(tmp_path: Path, text: str, format_name: str | None = None) -> Profile:
    path = tmp_path / "profile"
    path.write_text(text)
    return read_profile(path, format_name)


def test_every_format_has_an_example() -> None:
    assert set(EXAMPLES) == set(FORMATS)
    assert len(READERS) == len(FORMATS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_recognised_by_its_content_and_by_no_other_format(name: str) -> None:
    text = EXAMPLES[name].read_text()
    assert [each.name for each in FORMATS.values() if each.recognises(text)] == [name]
    assert read_profile(EXAMPLES[name]) == read_profile(EXAMPLES[name], name)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("share", [0.35, 0.6, 0.97])
def test_a_file_that_is_cut_short_gives_one_line_or_its_whole_rows(name: str, share: float, tmp_path: Path) -> None:
    whole = EXAMPLES[name].read_text().rstrip()
    cut = whole[: int(len(whole) * share)]
    if EXAMPLES[name].suffix == ".csv" and _ends_in_a_row(cut, whole):  # nobody can see it there
        with suppress(SocError):
            assert len(text_of(tmp_path, cut, name).rows) <= len(read_profile(EXAMPLES[name]).rows)
        return
    with pytest.raises(SocError, match=str(tmp_path / "profile")) as found:
        text_of(tmp_path, cut, name)
    assert "\n" not in str(found.value)


def _ends_in_a_row(cut: str, whole: str) -> bool:
    """Whether a table is cut between two lines, or inside the last cell of one."""
    full = whole.splitlines()[len(cut.splitlines()) - 1]
    return cut.splitlines()[-1].count(",") == full.count(",") and len(cut.splitlines()) > 3


@pytest.mark.parametrize("name", [name for name, path in EXAMPLES.items() if path.suffix == ".json"])
def test_json_that_is_cut_short_says_so(name: str, tmp_path: Path) -> None:
    whole = EXAMPLES[name].read_text().rstrip()
    with pytest.raises(SocError, match="cut short"):
        text_of(tmp_path, whole[: len(whole) * 2 // 3], name)


@pytest.mark.parametrize("name", ["executorch", "qnn", "tflite", "vela"])
def test_a_table_whose_last_row_is_cut_says_which_line(name: str, tmp_path: Path) -> None:
    lines = EXAMPLES[name].read_text().rstrip().splitlines()
    lines[-1] = lines[-1][: len(lines[-1]) // 3]
    with pytest.raises(SocError, match=rf"line {len(lines)}: the row is cut short"):
        text_of(tmp_path, "\n".join(lines))


@pytest.mark.parametrize("name", [None, *EXAMPLES])
@pytest.mark.parametrize("text", ["", "\n \n"])
def test_an_empty_file_is_said_to_be_empty(name: str | None, text: str, tmp_path: Path) -> None:
    with pytest.raises(SocError, match="the file is empty"):
        text_of(tmp_path, text, name)


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("other", ['{"a": 1}', "[1, 2]", "name,time\nconv,3\n", "hello", "[]", '"text"'])
def test_a_file_of_something_else_gives_one_line(name: str, other: str, tmp_path: Path) -> None:
    with pytest.raises(SocError, match=str(tmp_path)) as found:
        text_of(tmp_path, other, name)
    assert "\n" not in str(found.value)
    with pytest.raises(SocError, match=r"no profile of a known tool.*--format"):
        text_of(tmp_path, other)


def test_what_is_no_text_or_no_file_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a\xff\xfe")
    with pytest.raises(SocError, match="byte 2 is not UTF-8"):
        read_profile(tmp_path / "model.onnx")
    with pytest.raises(SocError, match="cannot be read: no such file"):
        read_profile(tmp_path / "nothing.json")
    with pytest.raises(SocError, match="is a folder"):
        read_profile(tmp_path)
    with pytest.raises(SocError, match=r"'perf' is not known; known: .*onnxruntime"):
        read_profile(EXAMPLES["qnn"], "perf")


def event(name: str, op: str, ts: int, dur: int, index: int | str = "", **more: Any) -> dict[str, Any]:
    arguments = {"op_name": op, "provider": "CPUExecutionProvider", "node_index": str(index), **more}
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "ph": "X", "args": arguments}


def run(ts: int, dur: int) -> dict[str, Any]:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur, "ph": "X", "args": {}}


def test_onnxruntime_runs_are_told_apart_and_each_operator_has_its_median(tmp_path: Path) -> None:
    shape = [{"float": [1, 8]}]
    events = []
    for n, (conv, relu) in enumerate([(90, 9), (10, 1), (12, 1)]):
        at = 1000 * n
        events += [
            event("conv", "Conv", at, conv, 0, output_type_shape=shape),
            event("relu", "Relu", at + 500, relu, 1),
        ]
        events.append(run(at, 600 + n))
    found = text_of(tmp_path, json.dumps(events))
    assert [(row.name, row.op, row.duration_us, row.low_us, row.high_us) for row in found.rows] == [
        ("conv", "Conv", 12, 10, 90), ("relu", "Relu", 1, 1, 9)
    ]  # fmt: skip
    assert (found.runs, found.total_us, found.rows[0].shape, found.rows[0].unit) == (3, 601, (1, 8), "cpu")


def test_onnxruntime_operators_inside_a_loop_are_counted_once_with_it(tmp_path: Path) -> None:
    events = [event("inner", "Add", 20, 5, 0), event("inner", "Add", 30, 5, 0), event("loop", "Loop", 10, 50, 1),
              event("after", "Relu", 70, 3, 2), run(0, 80)]  # fmt: skip
    assert [(row.name, row.duration_us) for row in text_of(tmp_path, json.dumps(events)).rows] == [
        ("loop", 50), ("after", 3)
    ]  # fmt: skip


def test_onnxruntime_operators_without_names_are_told_apart_by_their_index_and_fences_left_out(tmp_path: Path) -> None:
    fence = {**event("", "Conv", 5, 1, 0), "name": "_fence_before"}
    events = [{"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 1, "args": {}}, fence,
              event("", "Conv", 10, 7, 0), event("", "Conv", 20, 8, 1), run(5, 30)]  # fmt: skip
    assert [row.duration_us for row in text_of(tmp_path, json.dumps(events)).rows] == [7, 8]


def test_onnxruntime_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SocError, match=r"no operator ran .* run it, then call end_profiling"):
        text_of(tmp_path, json.dumps([{"cat": "Session", "name": "model_loading_uri", "ts": 0, "dur": 1, "args": {}}]))


def aihub(details: list[dict[str, Any]], total_us: int | None) -> str:
    return json.dumps({"execution_summary": {"estimated_inference_time": total_us}, "execution_detail": details})


def layer(name: str, us: int | None = None, cycles: int | None = None, unit: str = "NPU") -> dict[str, Any]:
    times = {"execution_time": us, "execution_cycles": cycles}
    given = {key: value for key, value in times.items() if value is not None}
    return {"name": name, "type": "Conv2d", "compute_unit": unit, **given}


def test_an_ai_hub_profile_is_scaled_to_the_time_of_a_real_inference_and_says_so(tmp_path: Path) -> None:
    found = in_real_time(text_of(tmp_path, aihub([layer("a", 700), layer("b", 76), layer("c", 0), layer("d")], 281)))
    assert found.sum_us == pytest.approx(281)
    assert [row.duration_us for row in found.rows] == [
        pytest.approx(700 * 281 / 776),
        pytest.approx(76 * 281 / 776),
        0,
        None,
    ]
    assert "776 us, a real inference takes 281 us" in found.notes[-1]
    assert found.rows[0].high_us == 700


def test_an_ai_hub_profile_whose_rows_are_less_than_the_inference_is_left_as_it_is(tmp_path: Path) -> None:
    found = in_real_time(text_of(tmp_path, aihub([layer("a", 100)], 281)))
    assert found.sum_us == 100
    assert "rows explain 100 us of 281 us" in found.notes[-1]


def test_ai_hub_cycles_are_finer_than_its_whole_microseconds(tmp_path: Path) -> None:
    rows = text_of(tmp_path, aihub([layer("a", 10, 21_000), layer("b", 0, 900), layer("c", 1, 1_200)], None)).rows
    assert sum(row.duration_us or 0 for row in rows) == pytest.approx(11)
    assert rows[1].duration_us == pytest.approx(900 * 11 / 22_200, rel=0.05)


def test_ai_hub_rows_with_cycles_only_share_what_the_others_leave_of_the_whole(tmp_path: Path) -> None:
    rows = text_of(
        tmp_path, aihub([layer("q", 20, unit="CPU"), layer("a", cycles=300), layer("b", cycles=100)], 100)
    ).rows
    assert [row.duration_us for row in rows] == [20, 60, 20]
    assert [row.unit for row in rows] == ["cpu", "npu", "npu"]


QNN_HEADER = "Msg Timestamp,Message,Time,Unit of Measurement,Timing Source,Event Level,Event Identifier"


def test_qnn_cycles_become_time_by_the_accelerators_own_ratio_median_over_runs(tmp_path: Path) -> None:
    lines = [QNN_HEADER]
    for cycles in (100, 300, 120):
        lines += [
            f"0,NODE,{cycles},CYCLES,BACKEND,SUB-EVENT,conv_token_1:OpId_23 (cycles)",
            "0,NODE,0,CYCLES,BACKEND,SUB-EVENT,relu:OpId_26 (cycles)",
            f"0,BACKEND,{cycles},CYCLES,BACKEND,ROOT,Accelerator (execute) time (cycles)",
            f"0,BACKEND,{cycles / 10},US,BACKEND,ROOT,Accelerator (execute) time",
            f"0,EXECUTE,{cycles},US,BACKEND,ROOT,QNN (execute) time",
        ]
    found = text_of(tmp_path, "\n".join(lines))
    assert [(row.name, row.duration_us, row.high_us) for row in found.rows] == [
        ("conv_token_1", pytest.approx(12), pytest.approx(30)), ("relu", 0, 0)
    ]  # fmt: skip
    assert (found.runs, found.total_us) == (3, 120)


def test_qnn_rows_tell_their_onnx_operators_where_tracing_was_on(tmp_path: Path) -> None:
    lines = [f"{QNN_HEADER},ONNX Source Ops", "0,NODE,5,US,BACKEND,SUB-EVENT,conv:OpId_1,conv1;relu1"]
    row = text_of(tmp_path, "\n".join(lines)).rows[0]
    assert (row.covers, row.duration_us) == (("conv1", "relu1"), 5)


def test_qnn_without_operators_says_which_level_to_use(tmp_path: Path) -> None:
    with pytest.raises(SocError, match="profiling_level=detailed"):
        text_of(tmp_path, f"{QNN_HEADER}\n0,EXECUTE,5,US,BACKEND,ROOT,QNN (execute) time\n")


TFLITE_HEADER = "node type, first, avg_ms, %, cdf%, mem KB, times called, name"


def test_tflite_takes_the_run_order_of_the_inference_and_not_the_set_up_or_the_sorted_tables(tmp_path: Path) -> None:
    line = "============================== {} =============================="
    found = text_of(tmp_path, "\n".join([
        "Profiling Info for Benchmark Initialization:", line.format("Run Order"), TFLITE_HEADER,
        "AllocateTensors, 9, 9, 100%, 100%, 0, 1, AllocateTensors/0", "",
        "Operator-wise Profiling Info for Regular Benchmark Runs:", line.format("Run Order"), TFLITE_HEADER,
        "CONV_2D, 0.11, 0.09, 90%, 90%, 0, 1, [net/conv/BiasAdd;net/conv, v2]:0",
        "ELU, 0.03, 0.01, 10%, 100%, 0, 1, [net/elu]:1",
        "", line.format("Top by Computation Time"), TFLITE_HEADER, "CONV_2D, 0.11, 0.09, 90%, 90%, 0, 1, [net/conv]:0",
    ]))  # fmt: skip
    assert [(row.op, row.name, row.duration_us) for row in found.rows] == [
        ("CONV_2D", "net/conv/BiasAdd", 90), ("ELU", "net/elu", 10)
    ]  # fmt: skip
    assert found.rows[0].covers == ("net/conv/BiasAdd", "net/conv, v2")


def test_tflite_text_with_a_delegate_gives_the_operators_inside_the_delegate(tmp_path: Path) -> None:
    head = "\t[node type]\t[start]\t[first]\t[avg ms]\t[%]\t[cdf%]\t[mem KB]\t[times called]\t[Name]"
    title = "============================== Run Order =============================="
    found = text_of(tmp_path, "\n".join([
        "Inference timings in us: Init: 9, First inference: 9, Warmup (avg): 9, Inference (avg): 1039.66",
        title, head, "\tTfLiteXNNPackDelegate\t0.0\t1.0\t0.9\t90%\t90%\t0\t1\tTfLiteXNNPackDelegate:3",
        "\tSOFTMAX\t0.9\t0.1\t0.1\t10%\t100%\t0\t1\t[prob]:1", "", "Delegate internal:", title, head,
        "\tConvolution (NHWC, F32) IGEMM\t0.0\t0.5\t0.6\t66%\t66%\t0\t1\tDelegate/Convolution (NHWC, F32) IGEMM:0",
        "\tMax Pooling (NHWC, F32)\t0.6\t0.3\t0.3\t33%\t100%\t0\t1\tDelegate/Max Pooling (NHWC, F32):1",
    ]))  # fmt: skip
    assert [row.op for row in found.rows] == ["Convolution (NHWC, F32) IGEMM", "Max Pooling (NHWC, F32)", "SOFTMAX"]
    assert found.total_us == pytest.approx(1039.66)


def test_litert_gives_the_whole_time_of_a_result_and_the_operators_of_a_profile(tmp_path: Path) -> None:
    assert read_profile(EXAMPLES["litert"]).total_us == 20
    times = {"first": 50, "avg": 40.5, "min": 38, "max": 60, "count": 50}
    operator = {"node_type": "CONV_2D", "inference_microseconds": times, "name": "[conv]:0", "times_called": 1}
    profile = {"model_name": "m", "runtime_profile": {"subgraph_profiles": [{"per_op_profiles": [operator]}]}}
    row = text_of(tmp_path, json.dumps(profile)).rows[0]
    assert (row.name, row.op, row.duration_us, row.low_us, row.high_us) == ("conv", "CONV_2D", 40.5, 38, 60)


ET_HEADER = "event_block_name,event_name,p50 (us),avg (us),op_types,delegate_debug_identifier,is_delegated_op"


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_executorch_leaves_out_the_framework_and_counts_a_delegate_once(delimiter: str, tmp_path: Path) -> None:
    lines = [ET_HEADER, "Default,Method::init,9,9,[],,False",
             "Execute,native_call_relu.out,3,30,['aten.relu.default'],,False", "Execute,OPERATOR_CALL,5,5,[],,False",
             "Execute,DELEGATE_CALL,40,40,[],,True", "Execute,Convolution (NHWC F32) GEMM,38,38,[],conv_0,True",
             "Execute,Method::execute,60,60,[],,False"]  # fmt: skip
    found = text_of(tmp_path, "\n".join(lines).replace(",", delimiter))
    assert [(row.name, row.duration_us) for row in found.rows] == [("relu.out", 3), ("conv_0", 38)]
    assert found.rows[0].op == "aten.relu.default"
    assert found.total_us == 60


def test_executorch_in_an_unknown_unit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SocError, match="counts in 'days'; known: s, ms, us, ns, cycles"):
        text_of(tmp_path, f"{ET_HEADER.replace('(us)', '(days)')}\nExecute,x,1,1,[],,False")


def test_vela_counts_clocks_of_whole_operators_and_needs_to_be_told_how_long_one_is() -> None:
    found = read_profile(EXAMPLES["vela"])
    assert [(row.name, row.op) for row in found.rows][:4] == [
        ("c", "Conv2D"), ("d", "DepthwiseConv2D"), ("e", "Add"), ("e", "Softmax")
    ]  # fmt: skip
    assert needs_clock(found)
    timed = with_clock(found, 1000, "told")
    assert timed.rows[0].duration_us == pytest.approx(9.492)
    assert timed.rows[3].cycles == pytest.approx(sum(_softmax_cycles()))
    assert not needs_clock(timed)


def _softmax_cycles() -> list[float]:
    lines = EXAMPLES["vela"].read_text().splitlines()[1:]
    return [float(line.split(",")[5]) for line in lines if line.startswith("Softmax,")]


def test_a_negative_or_worded_time_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(SocError, match=r"execution_detail\[0\]: execution_time is '-3'; a number from 0 up"):
        text_of(tmp_path, aihub([layer("a", -3)], 1))
    with pytest.raises(SocError, match="line 2: Time is 'fast'"):
        text_of(tmp_path, f"{QNN_HEADER}\n0,NODE,fast,CYCLES,BACKEND,SUB-EVENT,conv:OpId_1 (cycles)")
