"""The fitted laws: monotone, sensible beyond their data, and the ones that plans are made with."""

import json
from pathlib import Path

import numpy as np
import pytest

from partita.devices import load_soc, operator_cost
from partita.devices.kernel_shape import CONV, DEPTHWISE, GEMM, KernelShape, kernel_shape
from partita.devices.laws import gpu_kernels
from partita.devices.laws.gpu_waves import neighbours
from partita.devices.laws.law import (
    fitted_kernel,
    gpu_kernel_us,
    gpu_law,
    kernel_times_us,
    law_file,
    names_of_laws,
    whole_model_interval,
)
from partita.devices.laws.parameters import pack, shapes_of, unpack
from partita.devices.laws.trees import ROWS_AT_ONCE, Trees
from partita.devices.soc import Unit
from partita.errors import SocError
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph
from partita.graph.match import fused_node
from partita.passes.find_matches import find_matches

PRESETS = ("sd855-tflite", "exynos9820-tflite", "sd710-tflite", "helio-p35-tflite", "a10-tflite", "a12-tflite")


def conv(pixels: int, in_channels: int, channels: int, taps: int = 9, kind: str = CONV) -> KernelShape:
    side = round(taps**0.5)
    return KernelShape(
        kind=kind,
        height=pixels,
        width=pixels,
        channels=channels,
        in_channels=in_channels,
        taps=taps,
        side=side,
        groups=channels if kind == DEPTHWISE else 1,
        read_elements=pixels * pixels * in_channels,
        weights=taps * channels * (1 if kind == DEPTHWISE else in_channels),
        pads=side > 1,
    )


def unit_of(preset: str, name: str) -> Unit:
    return load_soc(preset).unit_named(name)


def dtype_of(unit: Unit) -> str:
    return unit.dtypes[0]


@pytest.mark.parametrize("name", ["cpu", "gpu"])
@pytest.mark.parametrize("preset", PRESETS)
def test_more_channels_or_pixels_never_take_less(preset: str, name: str) -> None:
    """Strictly on a CPU; on a GPU, whose correction is made monotone along one size at a time, up to 4 %."""
    unit = unit_of(preset, name)
    channels = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024]
    series = [[conv(p, 48, 96, 1) for p in (7, 8, 14, 28, 56, 112, 224)]]
    series += [[conv(28, c, c, 9, DEPTHWISE) for c in channels]]
    for pixels, taps in ((7, 1), (14, 9), (28, 1)):  # 3x3 on 28x28 changes to the Winograd kernel on the way
        series.append([conv(pixels, 64, c, taps) for c in channels])
        series.append([conv(pixels, c, 64, taps) for c in channels])
    for shapes in series:
        growth = np.diff(np.log(kernel_times_us(unit, dtype_of(unit), shapes)))
        assert (growth >= (0 if name == "cpu" else np.log(0.96))).all()


@pytest.mark.parametrize("name", ["cpu", "gpu"])
@pytest.mark.parametrize("preset", PRESETS)
def test_far_beyond_the_data_time_grows_as_the_work_does(preset: str, name: str) -> None:
    unit = unit_of(preset, name)
    large, larger = conv(224, 1024, 2048), conv(448, 2048, 4096)
    times = kernel_times_us(unit, dtype_of(unit), [large, larger])
    assert 8 < times[1] / times[0] < 32  # sixteen times the work


@pytest.mark.parametrize("preset", PRESETS)
def test_a_layer_of_a_transformer_costs_what_the_unit_can_do(preset: str) -> None:
    for name in ("cpu", "gpu"):
        unit = unit_of(preset, name)
        product = KernelShape(
            kind=GEMM, height=1, width=384, channels=3072, in_channels=768, read_elements=384 * 768, weights=768 * 3072
        )
        time_us = kernel_times_us(unit, dtype_of(unit), [product])[0]
        rate_gmac_per_s = product.macs / time_us / 1e3
        peak = unit.peak_gmac_per_s[dtype_of(unit)].most
        assert 0.01 * peak < rate_gmac_per_s < 1.5 * peak


def test_a_slow_core_more_can_make_a_pool_slower() -> None:
    """Equal chunks wait for the slowest core: two large cores beat one large and two medium ones here."""
    cpu = unit_of("exynos9820-tflite", "cpu")
    time_us = {
        text: kernel_times_us(cpu.model_copy(update={"cores": cores}), "float32", [conv(28, 128, 128)])[0]
        for text, cores in {
            "2large": {"large": 2},
            "1large2med": {"large": 1, "med": 2},
            "1large": {"large": 1},
        }.items()
    }
    assert time_us["2large"] < time_us["1large2med"]
    assert time_us["2large"] < time_us["1large"]


def test_cores_that_the_chip_does_not_have_are_refused() -> None:
    cpu = unit_of("sd855-tflite", "cpu").model_copy(update={"cores": {"large": 5}})
    with pytest.raises(SocError, match=r"5 large cores; law .* knows 1 large, 3 med, 4 small"):
        kernel_times_us(cpu, "float32", [conv(28, 64, 64)])


def one_conv(*, followed: bool) -> Graph:
    builder = GraphBuilder()
    image = builder.input("image", "float32", (1, 32, 28, 28))
    result = builder.node(
        "Conv", image, builder.missing("weight", "float32", (64, 32, 3, 3)), pads=(1, 1, 1, 1), kernel_shape=(3, 3)
    )
    builder.output(builder.node("Relu", result) if followed else result)
    return builder.build()


def test_an_operator_is_costed_by_the_law_of_its_unit() -> None:
    graph = one_conv(followed=False)
    shape = kernel_shape(graph, graph.nodes[0])
    assert shape == conv(28, 32, 64)
    for name in ("cpu", "gpu"):
        unit = unit_of("sd855-tflite", name)
        cost = operator_cost(graph, graph.nodes[0], unit, dtype_of(unit))
        fitted = fitted_kernel(unit, dtype_of(unit), shape)
        assert fitted is not None
        assert cost.evidence == "fitted"
        assert cost.latency_us == pytest.approx(fitted.latency_us)
        assert cost.latency_us == pytest.approx(cost.dispatch_us + max(cost.compute_us, cost.memory_us))


def test_a_fused_operator_is_its_first_with_followers() -> None:
    graph = one_conv(followed=True)
    (match,) = [m for m in find_matches(graph) if m.pattern == "Conv+Relu"]
    shape = kernel_shape(graph, fused_node(graph, match))
    assert shape is not None
    assert (shape.kind, shape.followers, shape.extra_inputs) == (CONV, ("Relu",), 0)


def test_every_law_says_what_it_was_fitted_on_and_its_error_on_models_left_out() -> None:
    for name in names_of_laws():
        content = law_file(name)
        parts = content["dtypes"].values() if content["law"] == "thread_pool" else [content["fit"]["kernels"]]
        assert content["fit"]["source"]
        for part in parts:
            record = part.get("fit", part)
            assert record["rows"] > 0
            assert 0 < record["mape"] <= record["cross_validated_mape"] * 1.2
            assert 0.85 <= record["cross_validated_coverage"] <= 0.95


def test_an_unknown_law_names_those_there_are() -> None:
    unit = unit_of("sd855-tflite", "cpu").model_copy(update={"law": "none"})
    with pytest.raises(SocError, match=r"no fitted law 'none'; there are: .*cpu-sd855-tflite"):
        kernel_times_us(unit, "float32", [conv(28, 64, 64)])


def test_a_unit_without_a_law_knows_no_kernel() -> None:
    unit = load_soc("sd8gen3-qnn").units[0]
    assert fitted_kernel(unit, "float32", conv(28, 64, 64)) is None
    assert whole_model_interval(unit, "float32") is None


def test_a_kernel_alone_is_within_its_interval() -> None:
    for preset in PRESETS:
        fitted = fitted_kernel(unit_of(preset, "gpu"), "float16", conv(28, 64, 64))
        assert fitted is not None
        assert fitted.low_us < fitted.latency_us < fitted.high_us


def test_winograd_is_chosen_for_deep_3x3_convolutions_on_many_tiles() -> None:
    assert gpu_kernels.is_winograd(conv(28, 64, 64))
    assert not gpu_kernels.is_winograd(conv(14, 64, 64))
    assert not gpu_kernels.is_winograd(conv(28, 32, 64))
    assert not gpu_kernels.is_winograd(conv(28, 64, 64, taps=1))


def test_parameters_survive_packing() -> None:
    types = ("large", "small")
    vector = np.arange(sum(int(np.prod(shape)) for shape in shapes_of(types).values()), dtype=float)
    assert (pack(unpack(vector, types), types) == vector).all()


def test_trees_add_up_leaf_by_leaf() -> None:
    """One tree splits on feature 1 at 2.5, the other is a single leaf."""
    trees = Trees(
        feature=np.array([1, 0, 0, 0]),
        threshold=np.array([2.5, 0, 0, 0]),
        left=np.array([1, 1, 2, 3]),
        right=np.array([2, 1, 2, 3]),
        value=np.array([0, 1.0, 10.0, 0.25]),
        roots=np.array([0, 3]),
        depth=1,
    )
    assert trees.predict(np.array([[9.0, 2.5], [0.0, 2.6]])).tolist() == [1.25, 10.25]


def test_trees_say_of_many_rows_what_they_say_of_each() -> None:
    rows = np.random.default_rng(0).normal(size=(3 * ROWS_AT_ONCE + 1, 2))
    trees = Trees(
        feature=np.array([1, 0, 0, 0, 0]),
        threshold=np.array([0.0, 0.5, 0, 0, 0]),
        left=np.array([1, 3, 2, 3, 4]),
        right=np.array([2, 4, 2, 3, 4]),
        value=np.array([0, 0, 1.0, 2.0, 4.0]),
        roots=np.array([0]),
        depth=2,
    )
    assert trees.predict(rows).tolist() == [float(trees.predict(row[None])[0]) for row in rows]
    assert trees.predict(rows[:0]).size == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_a_gpu_hardly_ever_takes_less_for_one_step_more(preset: str) -> None:
    """Along each size on its own, among usual sizes: in 3 % of the steps, by less than a sixth."""
    unit = unit_of(preset, "gpu")
    channels, pixels = (16, 24, 32, 48, 64, 96, 128, 160, 192, 256, 320, 512), (7, 14, 28, 56, 112)
    series = [[conv(p, c, m * c, 1) for c in channels] for p in pixels for m in (1, 4)]
    series += [[conv(p, 64, c, 9) for c in channels] for p in (7, 14)]
    series += [[conv(p, c, c, taps, DEPTHWISE) for c in channels] for p in pixels for taps in (9, 25)]
    series += [[conv(p, c, c, 1) for p in pixels] for c in channels]
    times_us = kernel_times_us(unit, dtype_of(unit), [shape for shapes in series for shape in shapes])
    ends = np.cumsum([len(shapes) for shapes in series])[:-1]
    steps = np.concatenate([np.diff(np.log(each)) for each in np.split(times_us, ends)])
    assert (steps < -1e-9).mean() <= 0.03
    assert steps.min() > np.log(5 / 6)


def test_a_law_of_an_earlier_version_asks_to_be_fitted_again(tmp_path: Path) -> None:
    content = {name: value for name, value in law_file("gpu-sd855-tflite").items() if name != "scale_of_long"}
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SocError, match="fitted by an earlier version; fit it again with `partita calibrate`"):
        gpu_law(str(path))


def test_what_a_kernel_takes_beyond_a_millisecond_may_cost_more_in_a_model() -> None:
    assert gpu_kernels.long_us(np.array([10.0, 1000.0, 1500.0])).tolist() == [0, 0, 500]
    unit = unit_of("helio-p35-tflite", "gpu")
    shape = conv(112, 64, 64)
    content, row = law_file(unit.law or ""), np.array([gpu_kernels.base_row(shape, "winograd")])
    alone_us = float(gpu_kernel_us(unit, row)[0])
    assert alone_us > 2000
    expected_us = content["gap_us"] + content["scale"] * alone_us + content["scale_of_long"] * (alone_us - 1000)
    assert kernel_times_us(unit, "float16", [shape])[0] == pytest.approx(expected_us)


def joined(*channels: int) -> Graph:
    builder = GraphBuilder()
    images = [builder.input(f"image{i}", "float32", (1, count, 14, 14)) for i, count in enumerate(channels)]
    builder.output(builder.node("Concat", *images, axis=1))
    return builder.build()


def test_a_concatenation_knows_its_first_input_and_whether_all_are_whole_slices() -> None:
    found = {}
    for channels in ((64, 32), (160, 570)):
        graph = joined(*channels)
        shape = kernel_shape(graph, graph.nodes[0])
        assert shape is not None
        assert shape.joined == channels
        row = gpu_kernels.base_row(shape, "concat")
        found[channels] = [row[gpu_kernels.COLUMN_OF[name]] for name in ("first_channels", "broken", "channels")]
    assert found == {(64, 32): [64, False, 96], (160, 570): [160, True, 730]}


def test_smaller_and_larger_concatenations_are_broken_alike_and_hold_their_first_input() -> None:
    graph = joined(160, 570)
    shape = kernel_shape(graph, graph.nodes[0])
    assert shape is not None
    row = np.array([gpu_kernels.base_row(shape, "concat")], dtype=float)
    for direction in (-1, 1):
        others = gpu_kernels.Columns(neighbours(row, direction).rows)
        assert len(others.base) > 10
        assert (others["broken"] == 1).all()
        assert (others["first_channels"] <= others["channels"]).all()
