"""What the GPU delegate launches: tiles that grow with the work, groups that divide the slices, and what a lone
activation costs."""

import numpy as np
import pytest

from partita.devices import load_soc
from partita.devices.kernel_shape import CONV, DEPTHWISE, MEAN, RELU, KernelShape
from partita.devices.laws.delegate import LINEAR_WITH_SLICES, PLAIN, SPECIAL, Gpu, Launch, launched
from partita.devices.laws.gpu_kernels import Columns, base_row, kind_of
from partita.devices.laws.gpu_waves import kernel_names, steps_of
from partita.devices.laws.law import kernel_times_us

ADRENO_640, MALI, POWERVR, A12 = Gpu("adreno", 2), Gpu("mali", 12), Gpu("powervr", 1), Gpu("apple", 4)


def shape(pixels: int, in_channels: int, channels: int, side: int = 1, kind: str = CONV) -> KernelShape:
    return KernelShape(
        kind=kind, height=pixels, width=pixels, channels=channels, in_channels=in_channels, taps=side * side, side=side,
        groups=channels if kind == DEPTHWISE else 1, read_elements=pixels * pixels * in_channels,
    )  # fmt: skip


def columns(*shapes: KernelShape) -> Columns:
    return Columns(np.array([base_row(each, kind_of(each, has_winograd=False) or "") for each in shapes]))


def tiles(launch: Launch) -> list[tuple[float, ...]]:
    return list(zip(launch.tile_width, launch.tile_height, launch.tile_slices, strict=True))


def test_tiles_grow_at_6_12_and_24_waves_on_a_unit_of_an_adreno() -> None:
    """Two units of waves of 128: 1536, 3072 and 6144 outputs of four channels; 12, 24, 48 slices of 16 x 8 pixels."""
    shapes = [shape(16, 256, 4 * slices) for slices in (6, 7, 12, 13, 24, 25)]
    assert tiles(launched(columns(*shapes), ADRENO_640)) == [
        (1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 2), (2, 1, 2), (2, 2, 2),
    ]  # fmt: skip


def test_small_weights_are_constants_of_an_adreno_and_a_thread_computes_all_slices() -> None:
    launch = launched(columns(shape(112, 16, 32), shape(112, 128, 32)), ADRENO_640)
    assert launch.variant.tolist() == [SPECIAL, PLAIN]
    assert tiles(launch)[0] == (1, 1, 8)


def test_groups_divide_the_slices_of_a_convolution() -> None:
    """30 slices on 7 x 7: 15 deep tiles in one group of 4 x 4 by 15 threads; 29 in a group of 29."""
    launch = launched(columns(shape(28, 64, 240), shape(7, 64, 116)), ADRENO_640)
    assert (240 / 4 / 2) % launch.group_z[0] == 0
    assert launch.group_z.tolist() == [30, 29]
    assert (launch.groups * launch.group >= launch.threads).all()


def test_windows_on_a_mali_have_tiles_of_at_most_four() -> None:
    launch = launched(columns(shape(112, 64, 64), shape(112, 64, 64, side=3)), MALI)
    assert launch.tile.tolist() == [8, 4]


def test_an_a12_puts_all_outputs_in_a_row_where_that_saves_groups() -> None:
    launch = launched(columns(shape(7, 64, 100)), A12)
    assert launch.variant.tolist() == [LINEAR_WITH_SLICES]
    assert launch.groups.tolist() == [np.ceil(launch.threads[0] / 32)]


def test_a_powervr_has_groups_of_32_pixels_over_rows() -> None:
    launch = launched(columns(shape(14, 64, 64)), POWERVR)
    assert (launch.grid_x[0], launch.group.tolist()) == (14 * 7, [32])


def test_a_group_shares_a_mean_over_an_image_that_fills_it() -> None:
    """7 x 7 is below a quarter of 256 threads, 14 x 14 is 8 x 8 threads of 2 x 2 steps."""
    means = [
        KernelShape(kind=MEAN, height=1, width=1, channels=64, in_channels=64, taps=side * side, read_elements=1)
        for side in (7, 14)
    ]
    of_means = columns(*means)
    assert steps_of(of_means, launched(of_means, ADRENO_640)).tolist() == [49, 4]


def test_kernels_are_told_apart_by_kind_tile_and_variant() -> None:
    asked = columns(shape(112, 16, 32), shape(56, 256, 256), shape(28, 64, 64, 3, DEPTHWISE))
    names = kernel_names(asked, launched(asked, ADRENO_640)).tolist()
    assert names == ["conv special", "conv 2x2x2", "depthwise special"]


@pytest.mark.parametrize(
    "preset", ["sd855-tflite", "exynos9820-tflite", "sd710-tflite", "helio-p35-tflite", "a10-tflite", "a12-tflite"]
)
def test_an_activation_alone_costs_a_dispatch_and_its_traffic(preset: str) -> None:
    """More than fused into the convolution before it, and the more the larger it is."""
    gpu = load_soc(preset).unit_named("gpu")
    conv = shape(28, 64, 64)
    small, large = shape(28, 64, 64, kind=RELU), shape(112, 64, 64, kind=RELU)
    fused = KernelShape(
        kind=CONV, height=28, width=28, channels=64, in_channels=64, read_elements=28 * 28 * 64, followers=("Clip",)
    )
    plain_us, small_us, large_us, fused_us = kernel_times_us(gpu, "float16", [conv, small, large, fused])
    assert 1 < small_us < large_us
    assert fused_us < plain_us + small_us
    moved_gb_per_s = 2 * 2 * 15 * 28 * 28 * 64 / (large_us - small_us) / 1e3
    assert moved_gb_per_s < 100
