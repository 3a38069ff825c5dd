"""The conversions between float16 and float32 against numpy's own, bit by bit."""

import numpy as np

from partita.kernels.halves import to_float16, to_float32


def test_every_half_widens_exactly() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    expected = halves.astype(np.float32)
    widened = to_float32(halves)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(widened.view(np.uint32)[numbers], expected.view(np.uint32)[numbers])
    assert np.isnan(widened[~numbers]).all()


def test_floats_round_to_the_nearest_half_with_ties_to_even() -> None:
    generator = np.random.default_rng(1)
    any_bits = generator.integers(0, 1 << 32, 300_000, dtype=np.uint32).view(np.float32)
    near = generator.normal(0, 1, 300_000) * 10.0 ** generator.integers(-9, 6, 300_000)
    finite = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    ties = (finite[:-1] + finite[1:]) / 2
    edges = np.array([65504, 65519.99, 65520, 65536, 1e38, np.inf, 2**-24, 2**-25, 2**-26, 0.0], np.float32)
    with np.errstate(all="ignore"):
        x = np.concatenate([any_bits, near.astype(np.float32), ties, np.nextafter(ties, np.float32(9e9)), edges])
        x = np.concatenate([x, -x])
        expected = x.astype(np.float16)
    rounded = to_float16(x)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(rounded.view(np.uint16)[numbers], expected.view(np.uint16)[numbers])
    assert np.isnan(rounded[~numbers]).all()


def test_shape_and_layout_stay() -> None:
    x = np.arange(60_000, dtype=np.float32).reshape(1, 40, 50, 30).transpose(0, 3, 1, 2) % 2048
    np.testing.assert_array_equal(to_float16(x), x.astype(np.float16))
    np.testing.assert_array_equal(to_float32(x.astype(np.float16)), x)
    assert to_float32(np.array(1.5, np.float16)).shape == ()
    assert to_float16(np.zeros((0, 3), np.float32)).shape == (0, 3)
