"""How points are drawn."""

from pathlib import Path

import numpy as np
import pytest

from partita.errors import StudyError
from partita.studies.points import design_points
from partita.studies.sobol import MOST_DIMENSIONS, latin_hypercube, sobol
from tests.studies.example_study import small_study

TWO = '[[variables]]\npath = "npu.call_us"\nvalues = [1, 2, 3]\n[[variables]]\npath = "gpu.call_us"\nscale = [1, 2]\n'


def test_sobol_begins_as_published() -> None:
    expected = [(0, 0), (0.5, 0.5), (0.75, 0.25), (0.25, 0.75), (0.375, 0.375), (0.875, 0.875)]
    assert sobol(6, 2).tolist() == [list(point) for point in expected]


def test_each_sobol_dimension_puts_one_point_into_each_slice() -> None:
    points = sobol(256, MOST_DIMENSIONS)
    for dimension in range(MOST_DIMENSIONS):
        assert sorted((points[:, dimension] * 256).astype(int)) == list(range(256))


def test_neighbouring_sobol_dimensions_fill_the_square_evenly() -> None:
    points = sobol(64, 2)
    cells = {(int(a * 8), int(b * 8)) for a, b in points}
    assert len(cells) == 64


def test_too_many_sobol_dimensions_are_refused() -> None:
    with pytest.raises(StudyError, match="at most 13 variables"):
        sobol(4, MOST_DIMENSIONS + 1)


def test_a_latin_hypercube_has_one_point_in_each_slice_and_repeats_by_seed() -> None:
    points = latin_hypercube(40, 5, 3)
    for dimension in range(5):
        assert sorted((points[:, dimension] * 40).astype(int)) == list(range(40))
    assert np.array_equal(points, latin_hypercube(40, 5, 3))


def test_a_grid_has_all_pairs_and_the_last_variable_is_fastest(tmp_path: Path) -> None:
    points = design_points(small_study(tmp_path, TWO))
    assert [dict(p.labels)["gpu.call_us"] for p in points] == ["1", "2"] * 3
    assert points[2].change.set == {"npu.call_us": 2}
    assert points[2].change.scale == {"gpu.call_us": 1}


def test_one_at_a_time_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    points = design_points(small_study(tmp_path, f'[design]\nkind = "one_at_a_time"\n{TWO}'))
    assert len(points) == 1 + 3 + 2


@pytest.mark.parametrize("kind", ["sobol", "latin_hypercube"])
def test_a_drawn_design_stays_in_its_ranges(tmp_path: Path, kind: str) -> None:
    body = (
        f'[design]\nkind = "{kind}"\npoints = 20\n[[variables]]\npath = "npu.call_us"\n'
        "range = { low = 1, high = 100, log = true }\n"
    )
    values = [point.change.set["npu.call_us"] for point in design_points(small_study(tmp_path, body))]
    assert len(values) == 20
    assert min(values) >= 1
    assert max(values) <= 100
    assert 8 <= sum(value < 10 for value in values) <= 12


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('[[variables]]\npath = "a"\n', "give one of values, scale"),
        ("[[variables]]\nvalues = [1]\n", "give path or dimension"),
        ('[[variables]]\npath = "a"\nvalues = [1]\nscale = [2]\n', "give one of"),
        ('[[variables]]\npath = "a"\nrange = { low = 2, high = 1 }\n', "high must be above low"),
        ('[[analyses]]\nkind = "break_even"\nunit = "npu"\n', "break_even needs path"),
        ('[[analyses]]\nkind = "tornado"\nresult = "speed"\n', "'speed' is no result; there is: latency_ms"),
        ("colour = 1\n", "colour is not a known field"),
    ],
)
def test_a_bad_study_file_is_one_clear_line(tmp_path: Path, body: str, message: str) -> None:
    head = body if body.startswith("colour") else ""
    with pytest.raises(StudyError, match=message):
        small_study(tmp_path, "" if head else body, head)
