from pathlib import Path

import pytest
from rich.table import Table

from partita.studies.validation.prediction import Prediction
from partita.studies.validation.report import validation_document, validation_texts
from partita.studies.validation.summary import summarise
from partita.studies.validation.tables.haxconn_networks import whole_network
from partita.studies.validation.tables.pccs import cell_is_fitted
from partita.studies.validation.tables.resnet_layers import layers_of
from partita.studies.validation.validate import Validation, validate

DATA = Path(__file__).resolve().parents[1] / "data" / "contention"


def by_name(validation: Validation) -> dict[str, Prediction]:
    return {row.name: row for row in validation.predictions}


def test_each_cell_of_the_matrix_is_predicted_by_both_laws_and_told_in_points() -> None:
    validation = validate(DATA / "pccs.csv")
    regions, fair = validation_document(validation)["groups"]
    assert (regions["level"], regions["runtime"], regions["rows"]) == ("contention", "three-region law", 4)
    assert (fair["runtime"], fair["rows"], fair["in_sample"]) == ("max-min fair share", 4, 0)
    rows = [row for row in validation.predictions if row.runtime == fair["runtime"]]
    assert [row.predicted for row in rows] == pytest.approx([1.0, 1.0, 41.5 / 60, 41.5 / 90], abs=2e-3)
    errors = [abs(row.predicted - row.measured) for row in rows]
    assert fair["mean_abs_error_points"] == pytest.approx(100 * sum(errors) / 4)


def test_the_three_regions_are_those_of_the_soc_file() -> None:
    rows = validate(DATA / "pccs.csv").predictions[:4]
    assert [row.op_class for row in rows] == ["minor", "normal", "normal", "intensive"]
    assert [row.predicted for row in rows] == pytest.approx(
        [1 - 0.0178, 1 - 0.00818 * 10, 1 - 0.00818 * 32, 1 - 0.01066 * 42], abs=1e-6
    )


def test_only_cells_that_were_fitted_count_as_such() -> None:
    assert cell_is_fitted(9.3, 12.7)
    assert not cell_is_fitted(9.3, 25.6)


def test_points_are_told_of_shares_only() -> None:
    (group, *_) = summarise(validate(DATA / "codl" / "models.csv").predictions).groups
    assert group.mean_abs_error_points is None


def test_streams_over_separate_buffers_run_until_each_has_moved_its_part() -> None:
    rows = by_name(validate(DATA / "pairs.csv"))
    even, alone_for_long = (rows[f"Snapdragon SM8850: stream, separate buffers, 100 MB, GPU share {s}, NPU"].predicted
                            for s in ("0.5", "0.1"))  # fmt: skip
    beside_gpu = 0.81 * 84.8 * 1.31 / 2.31 / (50 * 2**30 / 1e9)  # GB/s of both, the NPU's part by weight
    assert even == pytest.approx(beside_gpu, abs=0.01)  # it ends first, beside the GPU all the time
    contended_share = 1 / 9 / beside_gpu  # of its time alone: while the GPU moves its tenth at a lower rate
    assert beside_gpu < contended_share + 0.8 < alone_for_long + 0.1 < 1.1


def test_streams_in_one_shared_buffer_go_on_side_by_side_and_get_more() -> None:
    rows = by_name(validate(DATA / "pairs.csv"))
    gpu, npu = (rows[f"Snapdragon SM8850: stream, one shared buffer, 100 MB, GPU share 0.1, {unit}"].predicted
                for unit in ("GPU", "NPU"))  # fmt: skip
    assert npu / gpu == pytest.approx(1.05, abs=1e-3)  # the weight of the NPU
    assert gpu + npu == pytest.approx(0.905 * 84.8 / (50 * 2**30 / 1e9), rel=1e-3)


def test_rows_that_no_law_is_for_say_why() -> None:
    reasons = validate(DATA / "pairs.csv").unpredicted
    assert reasons == {
        "its partner in the same configuration is missing": 1,
        "no Soc file says how the units of Some Chip share the memory": 1,
    }


def test_a_schedule_in_step_takes_as_long_as_its_queues() -> None:
    rows = by_name(validate(DATA / "haxconn" / "schedules.csv"))
    assert rows["experiment 7, OneNet + TwoNet, GPU only"].predicted == pytest.approx(9.0)
    whole = rows["experiment 7, OneNet + TwoNet, whole"].predicted
    dla_speed = 1 - 0.0074 * 42
    gpu_ms = 3.0 / (1 - 0.01066 * 38.3)
    assert whole == pytest.approx(12.0 + gpu_ms * (1 - dla_speed), rel=1e-3)


def test_networks_that_run_freely_divide_a_unit() -> None:
    rows = by_name(validate(DATA / "haxconn" / "schedules.csv"))
    assert rows["experiment 8, OneNet + TwoNet, GPU only"].predicted == pytest.approx(12.0, rel=0.05)


def test_one_unknown_network_is_learnt_from_the_run_on_the_gpu_alone() -> None:
    validation = validate(DATA / "haxconn" / "schedules.csv")
    rows = by_name(validation)
    learnt = rows["experiment 9, OneNet + NewNet, GPU only"]
    assert learnt.predicted == pytest.approx(5.0)
    assert learnt.in_sample
    assert not rows["experiment 9, OneNet + NewNet, whole"].in_sample
    assert validation.unpredicted == {
        "neither groups nor a whole time of oldnet are known": 1,
        "its schedule is not told": 1,
        "no times of groups of layers on this device": 1,
    }


def test_a_resnet_is_spread_over_its_layers_by_their_work() -> None:
    layers = layers_of("resnet101")
    assert layers is not None
    assert len(layers) == 345
    assert sum(layer.macs for layer in layers) == pytest.approx(7.57e9, rel=1e-3)
    assert sum(layer.weight_bytes for layer in layers) == pytest.approx(2 * 44.44e6, rel=1e-3)
    network = whole_network("ResNet101", 1, 6.0, 9.0, {"gpu": 76, "dla": 38})
    assert network.ms_of("gpu", 0, network.end) == pytest.approx(6.0)
    assert network.ms_of("dla", 0, network.end) == pytest.approx(9.0)
    last_stage = 309  # a tenth of the layers, more than a third of the weights, which the DLA waits for
    assert 0.15 < network.ms_of("dla", last_stage, network.end) / 9.0 < 0.2
    assert network.ms_of("gpu", last_stage, network.end) / 6.0 < network.ms_of("dla", last_stage, network.end) / 9.0
    even = whole_network("NewNet", 10, 6.0, 9.0, {"gpu": 76, "dla": 38})
    assert even.ms_of("dla", 5, 10) == pytest.approx(4.5)


def test_a_split_network_gains_what_both_units_do_together_less_the_sharing() -> None:
    rows = by_name(validate(DATA / "codl" / "models.csv"))
    even = rows["EvenNet, CoDL CPU+GPU (image)"]
    assert even.level == "split"
    assert even.measured == pytest.approx(200 / 130)
    assert even.predicted == pytest.approx(200 / (100 * 1.18 + 10), rel=1e-3)


def test_no_gain_is_shown_where_sharing_costs_more_than_it_gains() -> None:
    rows = by_name(validate(DATA / "codl" / "models.csv"))
    assert rows["EvenNet, uLayer-like CPU+GPU (buffer)"].predicted < 1
    assert rows["SmallNet, CoDL CPU+GPU (image)"].predicted == 1


def test_sharing_by_buffers_goes_by_the_other_networks_of_the_chip_never_by_its_own_row(tmp_path: Path) -> None:
    def speed_up_of_first(own_ms: float) -> float:
        table = tmp_path / "codl_models.csv"
        lines = ["model,chip,method,precision,latency_ms,how"]
        for model, buffer_ms in (("First", own_ms), ("Second", 300), ("Third", 500), ("Fourth", 310)):
            times = (("MACE CPU", 200), ("MACE GPU", 200), ("CoDL buffer-based", buffer_ms))
            lines += [f"{model},Kirin 2,{method},fp32,{time_ms},x" for method, time_ms in times]
        table.write_text("\n".join(lines) + "\n")
        row = by_name(validate(table))["First, CoDL buffer-based"]
        assert not row.in_sample
        return row.predicted

    assert speed_up_of_first(250) == speed_up_of_first(900) == pytest.approx(200 / 310)


def test_a_split_is_not_predicted_without_the_times_alone() -> None:
    reasons = validate(DATA / "codl" / "models.csv").unpredicted
    assert reasons["one unit alone: what the prediction starts from"] == 4
    assert any("needs the times above 0 on the CPU alone" in reason for reason in reasons)
    assert any("Mali" in reason for reason in reasons)


def test_the_printed_table_has_points_where_there_are_any_and_no_empty_columns() -> None:
    headers = {
        name: [str(column.header) for part in validation_texts(validate(DATA / name)) if isinstance(part, Table)
               for column in part.columns]
        for name in ("pccs.csv", "codl/models.csv")
    }  # fmt: skip
    assert "points" in headers["pccs.csv"]
    assert "precision" not in headers["pccs.csv"]
    assert "points" not in headers["codl/models.csv"]
