"""A chip from ten models: the nearest law of another, with factors."""

import numpy as np
import pytest

from partita.devices.kernel_shape import ADD, CONV, DEPTHWISE, KernelShape
from partita.errors import StudyError
from partita.studies.fitting.transfer import Offered, mean_us, parts_us, predicted_us, transferred

TEN = list(range(10))


def law(name: str, seed: int, fixed_us: float = 100.0) -> Offered:
    """Forty made-up models of log-normal parts."""
    parts = np.random.default_rng(seed).lognormal(8, 0.8, (40, 4))
    return Offered(name, np.column_stack([parts, np.full(40, fixed_us)]))


def shape(kind: str, taps: int = 1) -> KernelShape:
    return KernelShape(kind=kind, height=1, width=1, channels=1, in_channels=1, taps=taps, read_elements=1)


def test_a_chip_whose_parts_are_dearer_by_factors_is_found_again() -> None:
    known = law("near", 1)
    latency_us = 3 * known.parts_us @ np.array([1.0, 1.2, 1.3, 0.8, 1.0])
    found = transferred([known], TEN, latency_us[:10])
    assert predicted_us(found, known) == pytest.approx(latency_us, rel=0.06)


def test_the_law_that_needs_the_least_change_is_taken_and_twice_the_same() -> None:
    laws = [law("far", 2), law("near", 1)]
    latency_us = 2 * laws[1].parts_us.sum(axis=1)
    found = transferred(laws, TEN, latency_us[:10])
    assert found.law == "near"
    assert found.factors["overall"] == pytest.approx(2, rel=0.02)
    assert found == transferred(laws, TEN, latency_us[:10])


def test_more_work_stays_slower_whatever_the_factors() -> None:
    known = law("near", 1)
    found = transferred([known], TEN, known.parts_us[:10].sum(axis=1) ** 0.5)
    more = Offered(known.name, known.parts_us * [1.0, 1.0, 1.0, 1.5, 1.0])
    assert (predicted_us(found, more) > predicted_us(found, known)).all()


def test_kernels_are_counted_to_their_part() -> None:
    shapes = [shape(CONV), shape(DEPTHWISE, taps=9), shape(ADD), shape(CONV), shape(CONV, taps=9)]
    times_us = np.array([1.0, 2.0, 4.0, np.nan, 16.0])
    assert parts_us(shapes, times_us, 8.0).tolist() == [1.0, 16.0, 2.0, 4.0, 8.0]


def test_two_models_are_too_few() -> None:
    with pytest.raises(StudyError, match="2 measured models are too few"):
        transferred([law("near", 1)], [0, 1], np.ones(2))


def test_without_a_law_there_is_nothing_to_transfer() -> None:
    with pytest.raises(StudyError, match="no law of another chip"):
        transferred([], TEN, np.ones(10))


def test_the_mean_is_the_law_that_fits_unless_others_fit_alike() -> None:
    near, far = law("near", 1), law("far", 2)
    latency_us = 2 * near.parts_us.sum(axis=1)
    assert mean_us([far, near], TEN, latency_us[:10]) == pytest.approx(latency_us, rel=0.05)
    twins = [law("one", 1), law("other", 1)]
    assert mean_us(twins, TEN, latency_us[:10]) == pytest.approx(mean_us(twins[:1], TEN, latency_us[:10]))


def test_the_mean_of_laws_that_err_apart_lies_between_them() -> None:
    random = np.random.default_rng(5)
    true = law("true", 1)
    near = [Offered(name, true.parts_us * np.exp(random.normal(0, 0.15, true.parts_us.shape))) for name in "ab"]
    latency_us = true.parts_us.sum(axis=1)
    each = [predicted_us(transferred([one], TEN, latency_us[:10]), one) for one in near]
    found = mean_us(near, TEN, latency_us[:10])
    assert (np.minimum(*each) <= found * 1.0001).all()
    assert (found <= np.maximum(*each) * 1.0001).all()
