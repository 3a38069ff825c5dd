"""If, Loop, Scan and SequenceMap. A subgraph arrives as a function from its inputs to its outputs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.registry import kernel

Value = Any
"""A tensor, a sequence (list) or an optional (the value or None)."""
Region = Callable[..., tuple[Value, ...]]


@kernel("If", since=1, widen=False)
def if_(cond: Array, *, then_branch: Region, else_branch: Region) -> tuple[Value, ...]:
    """The outputs of one of two subgraphs, which take no inputs."""
    return then_branch() if cond.item() else else_branch()


@kernel("Loop", since=1, widen=False)
def loop(
    M: Array | None = None, cond: Array | None = None, *v_initial: Value, body: Region, n_outputs: int = 0
) -> tuple[Value, ...]:
    """Repeat `body` at most `M` times and while its condition holds.

    The body takes the iteration, the condition and the carried values; it gives the condition, the carried values and
    an element of each collected output, which are stacked. An output without any element is float32 of shape (0,).
    Source: ONNX operators, Loop-25.
    """
    trips = None if M is None else int(M.item())
    goes_on = np.array(True) if cond is None else cond
    carried = tuple(v_initial)
    collected: list[list[Array]] = []
    trip = 0
    while (trips is None or trip < trips) and goes_on.item():
        goes_on, *results = body(np.array(trip, np.int64), goes_on, *carried)
        carried = tuple(results[: len(carried)])
        if not collected:
            collected = [[] for _ in results[len(carried) :]]
        for elements, element in zip(collected, results[len(carried) :], strict=True):
            elements.append(element)
        trip += 1
    if not collected:
        collected = [[] for _ in range(n_outputs - len(carried))]
    return *carried, *(np.stack(elements) if elements else np.zeros(0, np.float32) for elements in collected)


@kernel("Scan", since=8, widen=False)
def scan_8(
    sequence_lens: Array | None,
    *initial_state_and_scan_inputs: Array,
    body: Region,
    directions: Sequence[int] = (),
    num_scan_inputs: int,
) -> tuple[Array, ...]:
    """Scan-9 for each entry of a batch, (batch, sequence, ...), with a length for each entry.

    What lies behind the end of a short sequence is zero. Source: ONNX operators, Scan-8.
    """
    split = len(initial_state_and_scan_inputs) - num_scan_inputs
    initial, scanned = initial_state_and_scan_inputs[:split], initial_state_and_scan_inputs[split:]
    steps = scanned[0].shape[1]
    results = []
    for i in range(scanned[0].shape[0]):
        length = steps if sequence_lens is None else int(sequence_lens[i])
        given = [*(state[i] for state in initial), *(x[i, :length] for x in scanned)]
        outputs = scan(*given, body=body, num_scan_inputs=num_scan_inputs, scan_input_directions=directions)
        padding = [(0, steps - length)]
        padded = [np.pad(y, padding + [(0, 0)] * (y.ndim - 1)) for y in outputs[split:]]
        results.append((*outputs[:split], *padded))
    return tuple(np.stack(entries) for entries in zip(*results, strict=True))


@kernel("Scan", since=9, widen=False)
def scan(
    *initial_state_and_scan_inputs: Array,
    body: Region,
    num_scan_inputs: int,
    scan_input_axes: Sequence[int] = (),
    scan_input_directions: Sequence[int] = (),
    scan_output_axes: Sequence[int] = (),
    scan_output_directions: Sequence[int] = (),
    n_outputs: int = 0,
) -> tuple[Array, ...]:
    """Carry a state along the slices of the scanned inputs and stack what each step gives.

    Direction 1 reads an input, or writes an output, from the back. Source: ONNX operators, Scan-25.
    """
    split = len(initial_state_and_scan_inputs) - num_scan_inputs
    if split < 0 or num_scan_inputs < 1:
        raise KernelError(f"num_scan_inputs is {num_scan_inputs}, inputs are {len(initial_state_and_scan_inputs)}")
    state, scanned = initial_state_and_scan_inputs[:split], initial_state_and_scan_inputs[split:]
    axes = tuple(scan_input_axes) or (0,) * num_scan_inputs
    moved = [np.moveaxis(x, axis, 0) for x, axis in zip(scanned, axes, strict=True)]
    steps = moved[0].shape[0]
    if any(x.shape[0] != steps for x in moved):
        raise KernelError(f"scanned inputs have {[x.shape[0] for x in moved]} steps; they must agree")
    directions = tuple(scan_input_directions) or (0,) * num_scan_inputs
    ordered = [x[::-1] if direction else x for x, direction in zip(moved, directions, strict=True)]
    collected: list[list[Array]] = []
    for step in range(steps):
        results = body(*state, *(x[step] for x in ordered))
        state = tuple(results[:split])
        if not collected:
            collected = [[] for _ in results[split:]]
        for elements, element in zip(collected, results[split:], strict=True):
            elements.append(element)
    if not collected:
        collected = [[] for _ in range(n_outputs - split)]
    output_axes = tuple(scan_output_axes) or (0,) * len(collected)
    output_directions = tuple(scan_output_directions) or (0,) * len(collected)
    stacked = zip(collected, output_axes, output_directions, strict=True)
    return *state, *(_stack(elements, axis, direction) for elements, axis, direction in stacked)


def _stack(elements: list[Array], axis: int, direction: int) -> Array:
    if not elements:
        return np.zeros(0, np.float32)
    return np.stack(elements[::-1] if direction else elements, axis)


@kernel("SequenceMap", since=17, widen=False)
def sequence_map(input_sequence: list[Array], *additional_inputs: Value, body: Region, n_outputs: int = 1) -> Any:
    """`body` of each element of a sequence: one sequence for each of its outputs.

    An additional input that is a sequence is walked along; a tensor is given to every call.
    Source: ONNX operators, SequenceMap-17.
    """
    outputs: list[list[Array]] = [[] for _ in range(n_outputs)]
    for i, element in enumerate(input_sequence):
        others = (extra[i] if isinstance(extra, list) else extra for extra in additional_inputs)
        for collected, result in zip(outputs, body(element, *others), strict=True):
            collected.append(result)
    return tuple(outputs)
