"""PipeDream: the model is cut into stretches, one for each unit at most, so that the slowest stretch is quickest.

Source: Narayanan et al., "PipeDream: Generalized Pipeline Parallelism for DNN Training", SOSP 2019, section 3.1:
dynamic programming over the cuts of an ordered model. Here units differ and each may be left out, and a stretch is as
slow as its kernels and the transfers into it together.
"""

from typing import Any

import numpy as np

from partita.partitioner.baselines.cover import Assignment, on_unit, on_units, singles
from partita.partitioner.problem import HOST, Problem

MOST_CUTS = 200
"""Places at which longer models may be cut, evenly spread."""
NEVER_US = 1e15
Array = np.ndarray[Any, np.dtype[Any]]


def contiguous_split(problem: Problem) -> Assignment | None:
    """The best split; None if no sequence of units can run the model so."""
    units = len(problem.call_us)
    cuts = np.unique(np.linspace(0, problem.operators, min(problem.operators, MOST_CUTS) + 1).round().astype(int))
    work_us = _work_before(problem)[:, cuts]
    way_us = _ways_at(problem)[:, :, cuts]
    slowest: dict[tuple[int, int], Array] = {}
    back: dict[tuple[int, int], Array] = {}
    previous: dict[tuple[int, int], Array] = {}
    for mask in range(1, 1 << units):
        for unit in (u for u in range(units) if mask >> u & 1):
            stage_us = work_us[unit][None, :] - work_us[unit][:, None] + problem.call_us[unit]
            stage_us = np.where((stage_us < NEVER_US) & (cuts[:, None] < cuts[None, :]), stage_us, np.inf)
            first = np.full(len(cuts), np.inf)
            first[0] = 0.0
            best = np.maximum(first[:, None], stage_us + way_us[problem.unit_of_location[problem.host], unit][:, None])
            source = np.full(best.shape, -1)
            for last in (u for u in range(units) if u != unit and mask >> u & 1):
                before = slowest[mask & ~(1 << unit), last]
                through = np.maximum(before[:, None], stage_us + way_us[last, unit][:, None])
                source = np.where(through < best, last, source)
                best = np.minimum(best, through)
            back[mask, unit] = best.argmin(axis=0)
            slowest[mask, unit] = best.min(axis=0)
            previous[mask, unit] = source
    state = min(slowest, key=lambda key: (slowest[key][-1], key))
    if not np.isfinite(slowest[state][-1]):
        return None
    return on_units(problem, _units(problem, state, cuts, back, previous), problem.unit_of_location[problem.host])


def _units(
    problem: Problem,
    state: tuple[int, int],
    cuts: Array,
    back: dict[tuple[int, int], Array],
    previous: dict[tuple[int, int], Array],
) -> list[int]:
    units = [0] * problem.operators
    end = len(cuts) - 1
    while end > 0:
        mask, unit = state
        begin = int(back[state][end])
        units[cuts[begin] : cuts[end]] = [unit] * int(cuts[end] - cuts[begin])
        state = mask & ~(1 << unit), int(previous[mask, unit][begin, end])
        end = begin
    return units


def _work_before(problem: Problem) -> Array:
    """[unit][cut]: time of all kernels before it; NEVER_US for each that the unit cannot run."""
    single = singles(problem)
    times = np.full((len(problem.call_us), problem.operators + 1), 0.0)
    for i in range(problem.operators):
        for u in range(len(problem.call_us)):
            there = [single[i][a][0] for a in on_unit(problem, i, u) if a in single[i]]
            times[u, i + 1] = min(there, default=NEVER_US)
    return np.cumsum(times, axis=1)


def _ways_at(problem: Problem) -> Array:
    """[from unit][to unit][cut]: time of moving all that crosses the cut, between the units' first locations."""
    units = len(problem.call_us)
    first = [problem.unit_of_location.index(u) for u in range(units)]
    change = np.zeros((units, units, problem.operators + 2))
    for tensor in problem.tensors:
        last = max(tensor.consumers)
        made = 0 if tensor.producer == HOST else tensor.producer + 1
        if last == HOST or last < made:
            continue
        for u in range(units):
            for v in range(units):
                if u != v:
                    change[u, v, made] += tensor.transfer_us[first[u]][first[v]]
                    change[u, v, last + 1] -= tensor.transfer_us[first[u]][first[v]]
    return np.cumsum(change, axis=2)[:, :, : problem.operators + 1]
