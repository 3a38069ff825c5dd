"""How the logarithms of models' latencies change with each parameter of the thread-pool law.

Derivatives are differences, taken of all kernels at once: a parameter that belongs to a class or a group of kernels is
moved together with its sisters, and the kernels' changes are then summed up by class.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from partita.devices.laws.parameters import shapes_of, unpack
from partita.devices.laws.thread_pool import (
    CLASSES,
    DENSE,
    DEPTHWISE,
    GEMM,
    GROUPED,
    PARAMETERS,
    UNFOLDED,
    Parameters,
    compute_us,
    kernel_us,
)
from partita.devices.laws.trees import Floats

if TYPE_CHECKING:
    from partita.studies.fitting.cpu import Measured

STEP = 1e-5
OF_COMPUTE = (
    "efficiency",
    "core",
    "class_on_core",
    "slopes",
    "output_cost",
    "hard_swish",
    "element_rate",
    "norm_row",
    "wide_window",
)
"""Parameters on which `compute_us` depends."""
SISTERS = {
    "slopes": ((0,), (1,), DEPTHWISE, (GROUPED,)),
    "output_cost": (DENSE, DEPTHWISE, (GROUPED,), (GEMM,)),
    "unfold": tuple((number,) for number in UNFOLDED),
}
"""Parameter -> classes of each of its groups of kernels."""

Together = tuple[list[int], list[tuple[int, ...] | None]]
"""Places in the vector that are moved together, and the classes that each of them changes (None: all)."""


def times_us(measured: "Measured", parameters: Parameters, compute: Floats | None = None) -> Floats:
    """[sets of cores, kernels] by the law of the pool alone."""
    kernels = measured.kernels
    compute = compute_us(kernels, parameters) if compute is None else compute
    rows = [
        kernel_us(kernels, parameters, measured.types, cores, measured.whole, measured.size_bytes, compute=compute)
        for cores in measured.cores
    ]
    return np.stack(rows)


def slopes(measured: "Measured", vector: Floats) -> Floats:
    """[models, sets of cores, parameters]: derivatives of the logarithm of latency."""
    parameters = unpack(vector, measured.types)
    compute = compute_us(measured.kernels, parameters)
    times = times_us(measured, parameters, compute)
    members = [np.flatnonzero(measured.kernels.classes == number) for number in range(len(CLASSES))]
    result = np.zeros((len(measured.counts), len(times), len(vector)))
    for name, (places, classes) in _moved_together(measured.types):
        moved = vector.copy()
        moved[places] += STEP
        after = unpack(moved, measured.types)
        change = (times_us(measured, after, None if name in OF_COMPUTE else compute) - times) / STEP
        for place, owners in zip(places, classes, strict=True):
            own = slice(None) if owners is None else np.concatenate([members[number] for number in owners])
            result[:, :, place] = measured.counts[:, own] @ change[:, own].T
    result /= (measured.counts @ times.T)[:, :, None]
    return result


def _moved_together(types: tuple[str, ...]) -> Iterator[tuple[str, Together]]:
    start = 0
    for name, shape in shapes_of(types).items():
        places = start + np.arange(int(np.prod(shape))).reshape(shape)
        start += places.size
        if PARAMETERS[name][0] == "class":
            each = [(number,) for number in range(len(CLASSES))]
            for column in places.reshape(len(CLASSES), -1).T:
                yield name, (column.tolist(), [*each])
        elif name in SISTERS:
            groups = SISTERS[name]
            for column in places.reshape(len(groups), -1).T:
                yield name, (column.tolist(), [*groups])
        else:
            for place in places.reshape(-1).tolist():
                yield name, ([place], [None])
