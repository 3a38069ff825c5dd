"""Fitted laws on hardware that is not as it was when they were fitted: what a what-if study asks."""

from typing import Any

import pytest

from partita.devices import load_soc, operator_cost, preset_names
from partita.devices.soc import Number, Unit
from partita.graph.build import GraphBuilder
from partita.graph.ir import Graph

FITTED = [
    (name, unit.name)
    for name in preset_names()
    for unit in load_soc(name).units
    if unit.law is not None or unit.npu_law is not None
]


def convolution() -> Graph:
    b = GraphBuilder("convolution")
    x = b.input("x", "float32", (1, 64, 56, 56))
    b.output(b.node("Conv", x, b.missing("w", "float32", (128, 64, 3, 3)), pads=[1, 1, 1, 1], name="conv"))
    return b.build()


def latency_us(unit: Unit) -> float:
    graph = convolution()
    return operator_cost(graph, graph.nodes[0], unit, unit.dtypes[0]).latency_us


def times(number: Number, factor: float) -> Number:
    return number.model_copy(update={"value": number.value * factor, "low": None, "high": None})


def with_rates(unit: Unit, factor: float) -> Unit:
    changed: dict[str, Any] = {
        field: {dtype: times(rate, factor) for dtype, rate in getattr(unit, field).items()}
        for field in ("peak_gmac_per_s", "peak_gop_per_s")
    }
    return unit.model_copy(update=changed)


@pytest.mark.parametrize(("preset", "name"), FITTED)
def test_a_fitted_unit_with_twice_the_arithmetic_takes_less_but_no_less_than_half(preset: str, name: str) -> None:
    unit = load_soc(preset).unit_named(name)
    as_it_is, twice, half = latency_us(unit), latency_us(with_rates(unit, 2)), latency_us(with_rates(unit, 0.5))
    assert 0.5 * as_it_is <= twice < as_it_is < half <= 2 * as_it_is


@pytest.mark.parametrize(("preset", "name"), FITTED)
def test_the_numbers_of_a_preset_are_those_that_its_law_was_rated_at(preset: str, name: str) -> None:
    unit = load_soc(preset).unit_named(name)
    law = unit.npu_law
    if law is None:
        assert unit.law == f"{name}-{preset}"
        return
    assert {dtype: rate.value for dtype, rate in unit.peak_gmac_per_s.items()} == law.at.peak_gmac_per_s
    assert {dtype: rate.value for dtype, rate in unit.peak_gop_per_s.items()} == law.at.peak_gop_per_s
    assert unit.on_chip_gb_per_s is not None
    assert unit.on_chip_gb_per_s.value == law.at.on_chip_gb_per_s
