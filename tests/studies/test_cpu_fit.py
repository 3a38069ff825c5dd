"""The fit of the thread-pool law: its derivatives, what it finds again; a model left out teaches it nothing."""

from dataclasses import replace

import numpy as np
import pytest

from partita.devices.kernel_shape import ADD, CONV, DEPTHWISE, NORM, KernelShape
from partita.devices.laws.trees import Floats
from partita.studies.fitting import core_sets, cpu
from partita.studies.fitting.pool_slopes import slopes

CORES = ({"large": 1}, {"large": 2}, {"large": 1, "small": 2})
TYPES = ("large", "small")


def shape(kind: str, pixels: int, in_channels: int, channels: int, side: int = 1) -> KernelShape:
    return KernelShape(
        kind=kind, height=pixels, width=pixels, channels=channels, in_channels=in_channels, taps=side * side, side=side,
        groups=channels if kind == DEPTHWISE else 1, read_elements=pixels * pixels * in_channels,
        weights=channels * side * side * (1 if kind == DEPTHWISE else in_channels), pads=side > 1,
    )  # fmt: skip


def measured(models: int = 14) -> cpu.Measured:
    """Networks of random widths; latencies by the law at its start, slower convolutions on two large cores."""
    random = np.random.default_rng(1)
    networks = {}
    for number in range(models):
        width = [int(c) for c in 8 * random.integers(2, 30, size=4)]
        networks[f"network{number}"] = [
            shape(CONV, 56, 3, width[0], 3), shape(CONV, 28, width[0], width[1], 3),
            shape(CONV, 14, width[1], width[2]), shape(DEPTHWISE, 14, width[2], width[2], 3),
            shape(DEPTHWISE, 14, width[2], width[2], 7), shape(ADD, 14, width[2], width[2]),
            shape(NORM, 14, width[2], width[2]), shape(CONV, 7, width[2], width[3], 3),
        ]  # fmt: skip
    names, kernels, counts = cpu.gathered(networks)
    whole = {"large": 2, "small": 4}
    made = cpu.Measured(names, kernels, counts, CORES, TYPES, whole, np.ones((models, len(CORES))), 4.0)
    latency_ms = core_sets.predicted_ms(made, cpu.start_of(TYPES), slower_on_two())
    return replace(made, latency_ms=latency_ms)


def slower_on_two() -> Floats:
    """Convolutions with windows take 1.3 times as long on the second set."""
    sets = np.zeros((len(CORES), core_sets.COEFFICIENTS))
    sets[1, 4] = np.log(1.3)
    return sets


def test_derivatives_are_those_of_the_law() -> None:
    data = measured(4)
    vector = cpu.start_of(TYPES) + np.random.default_rng(0).normal(0, 0.1, len(cpu.start_of(TYPES)))
    found, step = slopes(data, vector), 1e-6
    before = np.log(cpu.predicted_ms(vector, data))
    for place in range(len(vector)):
        moved = vector.copy()
        moved[place] += step
        assert found[:, :, place] == pytest.approx((np.log(cpu.predicted_ms(moved, data)) - before) / step, abs=1e-3)


def test_what_a_set_of_cores_does_otherwise_is_found_again() -> None:
    data = measured()
    found = core_sets.fit(data, range(len(data.models)), cpu.start_of(TYPES))
    predicted = core_sets.predicted_ms(data, cpu.start_of(TYPES), found)
    assert predicted == pytest.approx(data.latency_ms, rel=0.02)
    assert cpu.predicted_ms(cpu.start_of(TYPES), data)[:, 1] != pytest.approx(data.latency_ms[:, 1], rel=0.1)
    assert np.abs(found[0]).max() < 1e-6


def test_a_fit_comes_closer_than_its_start() -> None:
    data = measured()
    data = replace(data, latency_ms=data.latency_ms * 1.7)
    found = cpu.fitted_sets(data, range(len(data.models)))
    assert core_sets.predicted_ms(data, found.vector, found.sets) == pytest.approx(data.latency_ms, rel=0.03)


def test_a_model_that_is_left_out_teaches_its_prediction_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "TURNS", 4)
    data = measured(8)
    _, before = cpu.cross_validated(data, folds=8)
    latency_ms = data.latency_ms.copy()
    latency_ms[3] *= 5
    _, after = cpu.cross_validated(replace(data, latency_ms=latency_ms), folds=8)
    assert (before[3] == after[3]).all()
    assert (before[2] != after[2]).all()
