"""Chains of convolutions that run band by band, against the same convolutions one after the other."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.kernels import conv_bands, threads
from partita.kernels.arrays import Array
from partita.kernels.conv_bands import Ring, chains_of
from partita.kernels.conv_layout import Convolution
from partita.kernels.conv_plan import Plan
from partita.kernels.windows import make_windows
from tests.kernels.oracle import examples, seeds

pytest.importorskip("numba")
LOW, HIGH = np.float32(-0.5), np.float32(1)


def convolution(
    rng: np.random.Generator, names: tuple[str, str], sizes: tuple[int, ...], channels: tuple[int, int],
    kernel: int = 1, stride: int = 1,
) -> Convolution:  # fmt: skip
    """Depthwise if it has 0 filters."""
    group = 1 if channels[1] else channels[0]
    w = rng.standard_normal((channels[1] or group, channels[0] // group, kernel, kernel), np.float32)
    w.flags.writeable = False
    windows = make_windows(sizes, (kernel,) * 2, strides=(stride,) * 2, pads=(kernel // 2,) * 4)
    bias = rng.standard_normal(len(w), np.float32)
    return Convolution(x=names[0], w=w, output=names[1], windows=windows, group=group, bias=bias, low=LOW, high=HIGH)


def inverted_residual(rng: np.random.Generator, sizes: tuple[int, int], stride: int, first: int) -> list[Convolution]:
    """A convolution of `first` x `first` to more channels (none for 0), a depthwise one, one of 1x1 that may add."""
    inner = 35 if first else 5
    parts = [convolution(rng, ("x", "wide"), sizes, (5, inner), first)] if first else []
    parts.append(convolution(rng, ("wide" if first else "x", "deep"), sizes, (inner, 0), 3, stride))
    last = convolution(rng, ("deep", "y"), parts[-1].windows.outputs, (inner, 5))
    return [*parts, replace(last, addend="x" if stride == 1 else None)]


def planned(parts: list[Convolution], x: Array) -> Array:
    shape = (x.shape[0], len(parts[-1].w), *parts[-1].windows.outputs)
    return Plan(parts, {"x": x.shape}, {"y": shape}).run({"x": x})["y"]


@pytest.fixture
def always_chained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv_bands, "LEAST_CHAIN_BYTES", 0)
    monkeypatch.setattr(conv_bands, "BAND_BYTES", 5000)


@examples
@given(sizes=st.tuples(st.integers(4, 11), st.integers(8, 17)), stride=st.integers(1, 2), batch=st.integers(1, 2),
       first=st.sampled_from((0, 1, 3)), seed=seeds)  # fmt: skip
def test_bands_and_threads_change_no_bit(
    sizes: tuple[int, int], stride: int, batch: int, first: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    parts = inverted_residual(rng, sizes, stride, first)
    x = rng.standard_normal((batch, 5, *sizes), np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "threads", lambda: 1)
        expected = planned(parts, x)
        assert not chains_of(parts, ["y"], batch, 1)
        patch.setattr(conv_bands, "LEAST_CHAIN_BYTES", 0)
        patch.setattr(conv_bands, "BAND_BYTES", 5000)
        for count in (1, 2, 3):
            patch.setattr(threads, "threads", lambda count=count: count)
            patch.setattr("partita.kernels.compiled.LEAST_WORK", 0)
            assert [len(chain.rings) for chain in chains_of(parts, ["y"], batch, count)] == [len(parts) - 1]
            np.testing.assert_array_equal(planned(parts, x), expected)


@pytest.mark.usefixtures("always_chained")
def test_a_tensor_that_others_want_is_kept_as_a_whole() -> None:
    parts = inverted_residual(np.random.default_rng(0), (12, 12), 1, 1)
    assert chains_of(parts, ["y"], 1, 1)
    assert not chains_of(parts, ["y", "deep"], 1, 1)
    (shorter,) = chains_of(parts, ["y", "wide"], 1, 1)
    assert (shorter.first, len(shorter.rings)) == (1, 1)
    added = [*parts[:-1], replace(parts[-1], addend="deep")]
    assert not chains_of(added, ["y"], 1, 1)


@pytest.mark.usefixtures("always_chained")
def test_threads_get_the_same_number_of_bands() -> None:
    parts = inverted_residual(np.random.default_rng(0), (28, 28), 1, 1)
    for count in (1, 2, 3, 4):
        (chain,) = chains_of(parts, ["y"], 1, count)
        assert len(chain.cuts) % count == 0 or len(chain.cuts) == 28
        assert chain.cuts[0, -1, 0] == 0
        assert chain.cuts[-1, -1, 1] == 28 * 28


def test_a_ring_gives_zeros_for_lines_outside_of_the_tensor() -> None:
    ring = Ring((2, 4, 5, 6), begin=1, end=1, count=3)
    windows = make_windows((5, 6), (3, 3), pads=(1, 1, 1, 1))
    line = 4 * 4 * 8
    expected = [[3, 0, 1], [0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 3], [3, 2, 0], [2, 0, 1], [0, 1, 2], [1, 2, 0],
                [2, 0, 3]]  # fmt: skip
    np.testing.assert_array_equal(ring.lines_of(windows).reshape(-1, 3) // line, expected)
    assert ring.rows[6] == line + 16
    assert ring.size_bytes == 4 * line
    assert [3 * line, line] in ring.border.tolist()
