"""What a perfect law could reach, from repeated measurements."""

import numpy as np
import pytest

from partita.studies.validation.fidelity.ceiling import Ceiling, of_gpu, table


def records(times_us: np.ndarray) -> list[dict[str, str]]:
    """Kernels by networks: the same convolutions in every network."""
    return [
        {
            "framework": "TFLite", "model": f"network{network}", "op_index": str(kernel), "op": "CONV_2D",
            "in_hw": "28", "in_ch": "64", "out_hw": "28", "stride": "1", "kernel": "1", "out_ch": str(4 + 4 * kernel),
            "groups": "1", "chip": "Adreno 640", "latency_us": str(time), "gpu_kernel": f"convolution_2d_{network}",
        }
        for network, row in enumerate(times_us) for kernel, time in enumerate(row)
    ]  # fmt: skip


def test_the_ceiling_is_what_the_true_times_reach() -> None:
    """Log-normal noise of 8 % about known times."""
    random = np.random.default_rng(0)
    true_us = np.linspace(50, 500, 400)
    measured_us = true_us * np.exp(random.normal(0, 0.08, (3, 400)))
    errors = np.abs(np.log(measured_us / true_us))
    found = of_gpu(records(measured_us))["all"]
    assert found.near == pytest.approx((errors <= np.log(1.1)).mean(), abs=0.03)
    assert found.median == pytest.approx(np.median(errors), rel=0.1)
    assert found.pairs_near < found.near - 0.1
    assert found.rows == 1200


def test_a_kernel_of_one_network_tells_nothing() -> None:
    assert of_gpu(records(np.array([[10.0, 20.0]]))) == {}


def test_kinds_count_as_often_as_they_occur() -> None:
    """Three kernels of a kind agree, of another kind one, in two networks each, does not: 6 of 8 rows."""
    agree = records(np.array([[10.0, 20.0, 30.0]] * 2))
    differ = [row | {"op": "MAX_POOL_2D", "kernel": "3"} for row in records(np.array([[10.0], [20.0]]))]
    found = of_gpu([*agree, *differ])
    assert (found["conv"].near, found["max_pool"].near) == (1.0, 0.0)
    assert found["all"].near == pytest.approx(0.75)


def test_the_table_has_a_line_for_each_gpu_with_what_the_law_reaches() -> None:
    lines = list(table({"Adreno 640": {"conv": Ceiling(5, 0.9, 0.95, 0.01), "all": Ceiling(5, 0.8, 0.85, 0.02)}}))
    assert any(line.startswith("| Adreno 640 | 80.0 % | 85.0 % | 2.0 % |") for line in lines)
    assert "| Adreno 640 | 95.0 % |" in lines
