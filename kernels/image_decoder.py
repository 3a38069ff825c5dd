"""ImageDecoder: encoded pictures to pixels, by Pillow, which matplotlib brings along."""

import io

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel

_MODES = {"RGB": "RGB", "BGR": "RGB", "Grayscale": "L"}
"""Pillow's name of the pixels that each `pixel_format` is made of."""


@kernel("ImageDecoder", since=20, widen=False)
def image_decoder(encoded_stream: Array, *, pixel_format: str = "RGB") -> Array:
    """The pixels (height, width, channels) of an encoded picture, uint8; empty if it cannot be decoded.

    Source: ONNX operators, ImageDecoder-20.
    """
    from PIL import Image, UnidentifiedImageError  # only this operator needs it, and it takes a while to import

    if pixel_format not in _MODES:
        raise KernelError(f"pixel_format {pixel_format!r} must be one of {', '.join(_MODES)}")
    try:
        with Image.open(io.BytesIO(encoded_stream.tobytes())) as picture:
            pixels = np.asarray(picture.convert(_MODES[pixel_format]))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return np.zeros((0, 0, 0), np.uint8)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels[:, :, ::-1] if pixel_format == "BGR" else pixels
