"""Weights in another order: kept as long as the weights, whose own pages may go."""

import gc
from pathlib import Path

import numpy as np
import pytest

from partita.kernels.arrays import Array
from partita.kernels.packing import packed, release_pages


def doubled(w: Array) -> Array:
    return 2 * w


def constant(*numbers: float) -> Array:
    array = np.array(numbers, np.float32)
    array.flags.writeable = False
    return array


def test_a_constant_is_packed_once_per_form() -> None:
    w = constant(1, 2)
    assert packed(w, "twice", doubled) is packed(w, "twice", doubled)
    assert packed(w, ("twice", 2), doubled) is not packed(w, "twice", doubled)


def test_what_can_be_written_to_is_packed_anew() -> None:
    w = np.ones(2, np.float32)
    first = packed(w, "twice", doubled)
    w[0] = 5
    np.testing.assert_array_equal(packed(w, "twice", doubled), [10, 2])
    np.testing.assert_array_equal(first, [2, 2])


def test_a_packed_form_goes_with_its_weights() -> None:
    made = []
    for number in range(3):
        made.append(packed(constant(number), "twice", doubled).copy())
        gc.collect()
    np.testing.assert_array_equal(np.ravel(made), [0, 2, 4])


def resident_kib(kind: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind))


def test_pages_of_a_mapped_file_go_and_come_back(tmp_path: Path) -> None:
    if not Path("/proc/self/status").exists():
        pytest.skip("counts resident pages as Linux does")
    path = tmp_path / "weights"
    np.arange(1 << 20, dtype=np.float32).tofile(path)
    w = np.memmap(path, np.uint8, "r")[40:-40].view(np.float32)
    total = w.sum(dtype=np.float64)
    before = resident_kib("RssFile")
    release_pages(w)
    assert before - resident_kib("RssFile") > 3 << 10
    assert w.sum(dtype=np.float64) == total


def test_what_was_written_to_a_private_mapping_stays(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    np.zeros(1 << 16, np.float32).tofile(path)
    mapped = np.memmap(path, np.float32, "c")
    mapped[:] = 3
    view = mapped[:]
    view.flags.writeable = False
    release_pages(view)
    assert (view == 3).all()
    release_pages(np.ones(1 << 16, np.float32))
