"""DynamicQuantizeLSTM of onnxruntime's domain com.microsoft. Source: onnxruntime, docs/ContribOperators.md."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from partita.errors import KernelError
from partita.kernels.activation import sigmoid
from partita.kernels.arrays import Array, quiet
from partita.kernels.contrib import MICROSOFT
from partita.kernels.integers import centred, exact_matmul
from partita.kernels.quantize import dynamic_quantize_linear
from partita.kernels.registry import kernel

State = tuple[Array, Array]
"""Hidden state and cell, both (batch, hidden)."""


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Quantised weights (inputs, gates), by which a float32 matrix is multiplied after dynamic quantisation."""

    values: Array
    """Codes minus zero point, as float32."""
    scale: Array
    """One number, or one per gate."""

    def times(self, x: Array) -> Array:
        """x (rows, inputs), quantised to uint8 over its own range, times the weights: (rows, gates)."""
        codes, scale, zero_point = dynamic_quantize_linear(x)
        return np.asarray(exact_matmul(centred(codes, zero_point), self.values) * (scale * self.scale))


def _matrix(codes: Array, scale: Array, zero_point: Array) -> _Matrix:
    values = centred(codes, zero_point)
    values.flags.writeable = False  # so that what each step asks of it is remembered
    return _Matrix(values, scale)


@dataclass(frozen=True, slots=True)
class _Direction:
    """The parameters of one direction; the gates are i, o, f and c: input, output, forget and cell."""

    inputs: _Matrix
    recurrent: _Matrix
    bias: Array
    """(gates,), the sum of the biases of input and recurrence"""
    peepholes: Array | None
    """(3 * hidden,) for i, o and f"""
    clip: float
    input_forget: bool

    def step(self, share: Array, state: State) -> State:
        """The next state from the input's share of the gates (batch, gates)."""
        hidden, cell = state
        n = hidden.shape[1]
        gates = share + self.recurrent.times(hidden)
        peep = np.zeros(3 * n, np.float32) if self.peepholes is None else self.peepholes
        entry = sigmoid(self._clipped(gates[:, :n] + peep[:n] * cell))
        forget = sigmoid(self._clipped(gates[:, 2 * n : 3 * n] + peep[2 * n :] * cell))
        if self.input_forget:
            forget = 1 - entry
        new = forget * cell + entry * np.tanh(self._clipped(gates[:, 3 * n :]))
        out = sigmoid(self._clipped(gates[:, n : 2 * n] + peep[n : 2 * n] * new))
        return np.asarray(out * np.tanh(new)), np.asarray(new)

    def _clipped(self, x: Array) -> Array:
        return np.asarray(np.clip(x, -self.clip, self.clip)) if self.clip > 0 else x


def _scan(
    x: Array, state: State, step: Callable[[Array, State], State], lengths: Array, reverse: bool, y: Array
) -> State:
    """Walk over the steps of `x` (steps, batch, gates); one that has ended keeps its state and writes nothing."""
    everyone = np.arange(x.shape[1])
    for t in range(x.shape[0]):
        alive = t < lengths
        at = np.where(alive, lengths - 1 - t, t) if reverse else np.full_like(everyone, t)
        moved = step(x[at, everyone], state)
        state = (np.where(alive[:, None], moved[0], state[0]), np.where(alive[:, None], moved[1], state[1]))
        y[at[alive], everyone[alive]] = state[0][alive]
    return state


def _check(activations: Sequence[str], direction: str, directions: int) -> None:
    expected = ("sigmoid", "tanh", "tanh") * directions
    if activations and tuple(name.lower() for name in activations) != expected:
        raise KernelError(f"activations must be Sigmoid, Tanh, Tanh, are {', '.join(activations)}")
    if direction not in ("forward", "reverse", "bidirectional") or (direction == "bidirectional") != (directions == 2):
        raise KernelError(f"direction {direction!r} does not fit weights for {directions} directions")


@kernel("DynamicQuantizeLSTM", domain=MICROSOFT)
@quiet
def dynamic_quantize_lstm(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None,
    sequence_lens: Array | None,
    initial_h: Array | None,
    initial_c: Array | None,
    P: Array | None,
    W_scale: Array,
    W_zero_point: Array,
    R_scale: Array,
    R_zero_point: Array,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[str] = (),
    clip: float = 0.0,
    direction: str = "forward",
    hidden_size: int = 0,
    input_forget: int = 0,
) -> tuple[Array, Array, Array]:
    """LSTM with 8-bit weights W (directions, input, gates) and R (directions, hidden, gates): all H, last H, last C.

    X is quantised once over its whole range, H at each step. Only the default activations.
    """
    directions, hidden = R.shape[0], R.shape[1]
    _check(activations, direction, directions)
    steps, batch = X.shape[:2]
    lengths = np.full(batch, steps) if sequence_lens is None else sequence_lens
    y = np.zeros((steps, directions, batch, hidden), np.float32)
    last = np.zeros((2, directions, batch, hidden), np.float32)
    for kept, given in zip(last, (initial_h, initial_c), strict=True):
        kept[...] = 0 if given is None else given
    for d in range(directions):
        both = np.zeros(8 * hidden, np.float32) if B is None else B[d]
        parameters = _Direction(
            _matrix(W[d], W_scale[d], W_zero_point[d]),
            _matrix(R[d], R_scale[d], R_zero_point[d]),
            both[: 4 * hidden] + both[4 * hidden :],
            None if P is None else P[d],
            clip,
            bool(input_forget),
        )
        shares = parameters.inputs.times(X.reshape(steps * batch, -1)) + parameters.bias
        is_reverse = d == 1 or direction == "reverse"
        state = (last[0, d].copy(), last[1, d].copy())
        shares = shares.reshape(steps, batch, -1)
        last[0, d], last[1, d] = _scan(shares, state, parameters.step, lengths, is_reverse, y[:, d])
    return y, last[0], last[1]
