"""What sets of cores do otherwise than the pool's law: nothing where not measured, bounded, and never backwards."""

import numpy as np
import pytest

from partita.devices.kernel_shape import CONV, DEPTHWISE, NORM, KernelShape
from partita.devices.laws import core_sets
from partita.devices.laws.law import law_file, names_of_laws, threads_us
from partita.devices.laws.thread_pool import CLASSES, KernelColumns

LAWS = [name for name in names_of_laws() if any("sets" in part for part in law_file(name).get("dtypes", {}).values())]
CHANNELS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
PIXELS = (4, 7, 14, 28, 56, 112, 224)


def kernel(pixels: int, in_channels: int, channels: int, side: int = 1, kind: str = CONV) -> KernelShape:
    alone = kind in (DEPTHWISE, NORM)
    weights = channels * side * side * (1 if alone else in_channels)
    return KernelShape(
        kind=kind, height=pixels, width=pixels, channels=channels, in_channels=in_channels, taps=side * side, side=side,
        groups=channels if kind == DEPTHWISE else 1, read_elements=pixels * pixels * in_channels, weights=weights,
    )  # fmt: skip


def series() -> list[list[KernelShape]]:
    """Each of growing work."""
    found = [[kernel(28, 64, c, side) for c in CHANNELS] for side in (1, 3)]
    found += [[kernel(14, c, 64, side) for c in CHANNELS] for side in (1, 3)]
    found += [[kernel(p, 64, 64, side) for p in PIXELS] for side in (1, 3)]
    found += [[kernel(p, 64, 64, 3, DEPTHWISE) for p in PIXELS], [kernel(14, c, c, 3, DEPTHWISE) for c in CHANNELS]]
    found += [[kernel(p, 64, 64, kind=NORM) for p in PIXELS], [kernel(14, c, c, kind=NORM) for c in CHANNELS]]
    return found


def test_every_class_of_kernels_is_in_one_group() -> None:
    members = [number for group in core_sets.GROUPS.values() for number in group]
    assert sorted(members) == list(range(len(CLASSES)))


def test_a_factor_is_that_of_the_kernel_s_group_and_size() -> None:
    kernels = KernelColumns((kernel(20, 128, 64), kernel(20, 128, 64, 3, DEPTHWISE)))
    coefficients = np.zeros(len(core_sets.GROUPS) * len(core_sets.TERMS))
    assert core_sets.factors(kernels, coefficients).tolist() == [1.0, 1.0]
    coefficients[0] = np.log(1.5)
    assert core_sets.factors(kernels, coefficients) == pytest.approx([1.5, 1.0])
    coefficients[3] = 0.5  # with the rows over their reference, which is 400
    assert core_sets.factors(KernelColumns((kernel(40, 128, 64),)), coefficients) == pytest.approx([1.5 * 2])


def test_beyond_the_reach_of_the_data_a_factor_no_longer_changes() -> None:
    coefficients = np.full(len(core_sets.GROUPS) * len(core_sets.TERMS), 0.1)
    far = KernelColumns((kernel(2000, 8192, 8192), kernel(4000, 16384, 16384)))
    first, second = core_sets.factors(far, coefficients)
    assert first == second


def test_a_set_that_nobody_measured_follows_the_law_of_the_pool() -> None:
    """Two large and one medium core were not measured: their law has no factors, those of measured sets do."""
    content = law_file("cpu-exynos9820-tflite")["dtypes"]["float32"]
    assert "2large1med" not in content["sets"]
    assert len(content["sets"]["2large"]) == len(core_sets.GROUPS) * len(core_sets.TERMS)
    shape = kernel(28, 64, 64, 3)
    times = [threads_us("cpu-exynos9820-tflite", "float32", {"large": 2, "med": n}, [shape])[0] for n in (0, 1)]
    assert 0.3 < times[1] / times[0] < 3


@pytest.mark.parametrize("name", LAWS)
def test_on_every_set_of_cores_more_work_never_takes_less(name: str) -> None:
    content = law_file(name)
    rows = series()
    shapes = [shape for row in rows for shape in row]
    ends = np.cumsum([len(row) for row in rows])[:-1]
    for dtype, part in content["dtypes"].items():
        for text in part["sets"]:
            cores = {kind: int(text.partition(kind)[0][-1]) for kind in content["types"] if kind in text}
            for times in np.split(threads_us(name, dtype, cores, shapes), ends):
                assert (np.diff(times) >= 0).all(), (dtype, text)


def test_there_are_laws_with_sets_of_cores() -> None:
    assert len(LAWS) == 12
