"""Intervals from the errors on a few networks that were left out."""

import numpy as np
import pytest

from partita.studies.fitting.intervals import quantile, spread


def test_one_more_than_was_seen_is_counted_as_outside() -> None:
    assert quantile(np.arange(19) / 100) == pytest.approx(0.17)
    assert quantile(np.array([0.1, 0.2, 0.3])) == pytest.approx(0.3)


def test_an_interval_is_drawn_to_the_usual_tail_the_more_the_fewer_networks_there_are() -> None:
    calm = np.full(9, 0.1)
    assert spread(calm, 3.9, 0) == pytest.approx(np.exp(0.1))
    assert spread(calm, 3.9, 5) > spread(calm, 3.9, 1) > spread(np.full(99, 0.1), 3.9, 5)
    wild = np.array([0.1] * 9 + [2.0])
    assert spread(wild, 3.9, 5) < spread(wild, 3.9, 0)


def test_nine_of_ten_new_errors_are_inside_an_interval_made_of_eleven() -> None:
    random = np.random.default_rng(7)
    sizes = np.abs(random.standard_t(3, size=(2000, 12))) * np.exp(random.normal(size=(2000, 1)))
    inside = np.mean([np.log(spread(row[1:], 3.9, 5)) >= row[0] for row in sizes])
    assert 0.85 < inside < 0.95
