"""Fourier transforms, windows and the mel scale."""

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from partita.errors import KernelError
from partita.kernels.arrays import Array, dtype_of
from partita.kernels.registry import kernel


@kernel("DFT", since=17)
def dft_17(
    input: Array, dft_length: Array | None = None, *, axis: int = 1, inverse: int = 0, onesided: int = 0
) -> Array:
    """DFT-20 with the axis as an attribute. Source: ONNX operators, DFT-17."""
    return _transform(input, dft_length, axis, bool(inverse), bool(onesided))


@kernel("DFT", since=20)
def dft(
    input: Array,
    dft_length: Array | None = None,
    axis: Array | None = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Array:
    """Discrete Fourier transform along one axis of (..., 1 or 2): the last axis is real part and imaginary part.

    Source: ONNX operators, DFT-20.
    """
    return _transform(input, dft_length, -2 if axis is None else int(axis.item()), bool(inverse), bool(onesided))


def _transform(x: Array, length: Array | None, axis: int, inverse: bool, onesided: bool) -> Array:
    axis %= x.ndim
    if axis == x.ndim - 1 or x.shape[-1] not in (1, 2):
        raise KernelError(f"DFT needs (..., 1 or 2) and another axis than the last, has {x.shape} and axis {axis}")
    size = None if length is None else int(length.item())
    if onesided and inverse:
        return np.fft.irfft(_complex(x), size, axis)[..., None].astype(x.dtype, copy=False)
    if onesided:
        return _pairs(np.fft.rfft(x[..., 0], size, axis), x.dtype)
    return _pairs((np.fft.ifft if inverse else np.fft.fft)(_complex(x), size, axis), x.dtype)


def _complex(x: Array) -> Array:
    """(..., 1 or 2) as numbers (...), complex if there is an imaginary part."""
    return x[..., 0] if x.shape[-1] == 1 else x[..., 0] + x.dtype.type(1) * 1j * x[..., 1]


def _pairs(z: Array, dtype: np.dtype[Any]) -> Array:
    """Complex (...) as (..., 2)."""
    return np.stack((z.real, z.imag), axis=-1).astype(dtype, copy=False)


@kernel("STFT", since=17)
def stft(
    signal: Array,
    frame_step: Array,
    window: Array | None = None,
    frame_length: Array | None = None,
    *,
    onesided: int = 1,
) -> Array:
    """Fourier transforms of overlapping frames of (batch, length, 1 or 2): (batch, frames, bins, 2).

    Source: ONNX operators, STFT-17.
    """
    if signal.ndim == 2:
        signal = signal[..., None]
    step = int(frame_step.item())
    size = signal.shape[1]
    if frame_length is not None:
        size = int(frame_length.item())
    elif window is not None:
        size = window.shape[0]
    if size > signal.shape[1] or step < 1:
        raise KernelError(f"frames of {size} every {step} do not fit a signal of length {signal.shape[1]}")
    frames = sliding_window_view(_complex(signal), size, axis=1)[:, ::step]
    if window is not None:
        frames = frames * window
    is_real = signal.shape[2] == 1
    if onesided:
        if not is_real:
            raise KernelError("STFT of a complex signal cannot be one-sided")
        return _pairs(np.fft.rfft(frames), signal.dtype)
    return _pairs(np.fft.fft(frames), signal.dtype)


@kernel("HannWindow", since=17)
def hann_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """A raised cosine (size,). Source: ONNX operators, HannWindow-17."""
    return _cosine_window(size, (0.5, -0.5), output_datatype, periodic)


@kernel("HammingWindow", since=17)
def hamming_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """A raised cosine on a pedestal (size,): 25/46 and 21/46. Source: ONNX operators, HammingWindow-17."""
    return _cosine_window(size, (25 / 46, -21 / 46), output_datatype, periodic)


@kernel("BlackmanWindow", since=17)
def blackman_window(size: Array, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """Three cosine terms (size,) with 0.42, 0.5 and 0.08. Source: ONNX operators, BlackmanWindow-17."""
    return _cosine_window(size, (0.42, -0.5, 0.08), output_datatype, periodic)


def _cosine_window(size: Array, coefficients: tuple[float, ...], output_datatype: int, periodic: int) -> Array:
    """The sum of `coefficients[i] * cos(2 pi i n / period)`; a symmetric window has a period one shorter."""
    count = int(size.item())
    period = count if periodic else count - 1
    angle = np.arange(count) * (2 * np.pi / max(period, 1))
    total = sum(c * np.cos(i * angle) for i, c in enumerate(coefficients))
    return np.asarray(total).astype(dtype_of(output_datatype))


@kernel("MelWeightMatrix", since=17)
def mel_weight_matrix(
    num_mel_bins: Array,
    dft_length: Array,
    sample_rate: Array,
    lower_edge_hertz: Array,
    upper_edge_hertz: Array,
    *,
    output_datatype: int = 1,
) -> Array:
    """Triangles of height 1, evenly spaced on the mel scale: (dft_length // 2 + 1, num_mel_bins).

    mel(f) = 2595 log10(1 + f / 700). Source: ONNX operators, MelWeightMatrix-17.
    """
    bands, length = int(num_mel_bins.item()), int(dft_length.item())
    low, high = (2595 * math.log10(1 + float(edge.item()) / 700) for edge in (lower_edge_hertz, upper_edge_hertz))
    mels = np.arange(bands + 2) * ((high - low) / (bands + 2)) + low
    hertz = 700 * (10 ** (mels / 2595) - 1)
    edges = ((length + 1) * hertz // int(sample_rate.item())).astype(np.int64)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    at = np.arange(length // 2 + 1)[:, None]
    rising = np.where(left == centre, 1.0, (at - left) / np.maximum(centre - left, 1))
    falling = (right - at) / np.maximum(right - centre, 1)
    is_rising = (at >= left) & (at <= centre)
    is_falling = (at >= centre) & (at < right)
    y = np.where(is_falling, falling, np.where(is_rising, rising, 0.0))
    return y.astype(dtype_of(output_datatype))
