import io

import numpy as np
import pytest
from PIL import Image

from partita.errors import KernelError
from partita.kernels.image_decoder import image_decoder

PIXELS = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def encoded(pixels: np.ndarray, form: str = "PNG") -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return np.frombuffer(stream.getvalue(), np.uint8)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_pixels_come_back_as_they_were_encoded(form: str) -> None:
    np.testing.assert_array_equal(image_decoder(encoded(PIXELS, form)), PIXELS)


def test_bgr_turns_the_channels_around() -> None:
    np.testing.assert_array_equal(image_decoder(encoded(PIXELS), pixel_format="BGR"), PIXELS[:, :, ::-1])


def test_grey_has_one_channel() -> None:
    assert image_decoder(encoded(PIXELS), pixel_format="Grayscale").shape == (4, 5, 1)


def test_grey_pictures_become_rgb_when_asked_for() -> None:
    np.testing.assert_array_equal(image_decoder(encoded(PIXELS[:, :, 0]))[:, :, 2], PIXELS[:, :, 0])


@pytest.mark.parametrize("stream", [np.zeros(0, np.uint8), np.zeros(9, np.uint8), encoded(PIXELS)[:40]])
def test_what_cannot_be_decoded_gives_an_empty_picture(stream: np.ndarray) -> None:
    assert image_decoder(stream).shape == (0, 0, 0)


def test_an_unknown_pixel_format_is_refused() -> None:
    with pytest.raises(KernelError, match="'CMYK' must be one of RGB, BGR, Grayscale"):
        image_decoder(encoded(PIXELS), pixel_format="CMYK")
