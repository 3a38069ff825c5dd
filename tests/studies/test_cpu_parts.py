"""A network's time on a CPU, in the parts in which runtimes differ."""

from dataclasses import replace

import pytest

from partita.devices import kernel_shape as ks
from partita.devices import load_soc
from partita.devices.kernel_shape import KernelShape
from partita.studies.validation.tables.cpu_parts import CPU_PARTS, cpu_parts_us

CPU = load_soc("sd855-tflite").unit_named("cpu")
WINDOWS = KernelShape(
    kind=ks.CONV, height=28, width=28, channels=128, in_channels=128, taps=9, side=3, read_elements=128 * 28 * 28,
    weights=9 * 128 * 128,
)  # fmt: skip
ENDING = KernelShape(
    kind=ks.GEMM, height=1, width=1, channels=4096, in_channels=9216, taps=1, read_elements=9216, weights=9216 * 4096
)


def parts(*shapes: KernelShape, dtype: str = "float32") -> dict[str, float]:
    return dict(zip(CPU_PARTS, cpu_parts_us(CPU, dtype, shapes).tolist(), strict=True))


def test_every_kernel_counts_once() -> None:
    both, one, other = parts(WINDOWS, ENDING), parts(WINDOWS), parts(ENDING)
    assert {name for name, time_us in both.items() if time_us} == {"winograd", "streamed", "fixed"}
    assert both["winograd"] == one["winograd"]
    assert both["streamed"] == other["streamed"]


@pytest.mark.parametrize(
    "other",
    [replace(WINDOWS, stride=2), replace(WINDOWS, taps=25, side=5), replace(WINDOWS, in_channels=3)],
    ids=["stride 2", "5x5", "of an image"],
)
def test_windows_without_a_winograd_kernel_are_apart(other: KernelShape) -> None:
    found = parts(other)
    assert found["windows"] > found["winograd"] == 0


def test_a_grouped_convolution_costs_what_a_plain_one_of_its_work_does() -> None:
    grouped = replace(WINDOWS, kind=ks.GROUPED, groups=4, weights=WINDOWS.weights // 4)
    plain = replace(WINDOWS, in_channels=32, weights=WINDOWS.weights // 4)
    assert parts(grouped)["grouped"] == parts(plain)["winograd"] > 0


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("int8", 1)])
def test_weights_that_are_read_once_come_no_faster_than_memory_gives_them(dtype: str, size: int) -> None:
    rate = CPU.weights_gb_per_s
    assert rate is not None
    assert parts(ENDING, dtype=dtype)["streamed"] >= 0.999 * ENDING.weights * size / rate.value / 1e3
