"""Colours that everyone can tell apart, on both pages."""

from itertools import combinations

import numpy as np
import pytest

from partita.reports.colours import ACCENT, BAR, FAINT, INK, LINK, PANEL, PAPER, UNIT_COLOURS, unit_colour

DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
TRITANOPIA = ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900))
"""Full dichromacy in linear RGB. Source: Machado, Oliveira and Fernandes, 2009, table of severity 1.0."""
NORMAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
Matrix = tuple[tuple[float, float, float], ...]


def linear(colour: str) -> np.ndarray:
    """sRGB to linear light, IEC 61966-2-1."""
    encoded = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Ratio of luminances as WCAG 2.1 defines it."""
    dark, light = sorted(float(linear(c) @ (0.2126, 0.7152, 0.0722)) for c in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(colour: str, vision: Matrix) -> np.ndarray:
    """CIE L*a*b* under D65 of a colour as someone with that vision sees it."""
    seen = np.clip(np.array(vision) @ linear(colour), 0, 1)
    to_xyz = np.array([(0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)])
    xyz = to_xyz @ seen / (0.9505, 1.0, 1.089)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("vision", [NORMAL, DEUTERANOPIA, PROTANOPIA, TRITANOPIA])
def test_any_two_kinds_of_unit_can_be_told_apart(vision: Matrix, dark: bool) -> None:
    for one, other in combinations(UNIT_COLOURS.values(), 2):
        distance = np.linalg.norm(lab(one.on(dark=dark), vision) - lab(other.on(dark=dark), vision))
        assert distance > 10, (one, other)


@pytest.mark.parametrize("dark", [False, True])
def test_bars_stand_out_from_the_page_and_their_labels_can_be_read(dark: bool) -> None:
    paper = PAPER.on(dark=dark)
    for colour in UNIT_COLOURS.values():
        assert contrast(colour.on(dark=dark), paper) >= 4.5
    assert contrast(LINK.on(dark=dark), paper) >= 3


@pytest.mark.parametrize("dark", [False, True])
def test_text_can_be_read_on_the_page_and_on_panels(dark: bool) -> None:
    for ground in (PAPER, PANEL):
        for colour in (INK, FAINT, ACCENT):
            assert contrast(colour.on(dark=dark), ground.on(dark=dark)) >= 4.5
    assert contrast(ACCENT.on(dark=dark), BAR.on(dark=dark)) >= 3


def test_an_unknown_kind_of_unit_has_a_colour_of_its_own() -> None:
    assert unit_colour("tpu") not in UNIT_COLOURS.values()
