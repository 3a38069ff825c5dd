"""RNN, GRU and LSTM with every attribute of the standard."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from partita.errors import KernelError
from partita.kernels.arrays import Array
from partita.kernels.packing import packed
from partita.kernels.registry import kernel

Activation = Callable[[Array], Array]
State = tuple[Array, ...]
Step = Callable[[Array, State], State]
"""From the input's share of the gates (batch, gates * hidden) and the state to the next state, output first."""

_DEFAULT_ALPHA = {
    "affine": 1.0,
    "leakyrelu": 0.01,
    "thresholdedrelu": 1.0,
    "scaledtanh": 1.0,
    "hardsigmoid": 0.2,
    "elu": 1.0,
}
_DEFAULT_BETA = {"affine": 0.0, "scaledtanh": 1.0, "hardsigmoid": 0.5}


@dataclass(frozen=True, slots=True)
class Weights:
    """The parameters of one direction; `gates` stands for gates * hidden."""

    inputs: Array
    """(gates, input)"""
    recurrent: Array
    """(hidden, gates)"""
    input_bias: Array
    """(gates,)"""
    recurrent_bias: Array
    """(gates,)"""
    peepholes: Array | None
    """(3 * hidden,) for the gates i, o and f"""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one direction needs besides its weights."""

    hidden: int
    activations: tuple[Activation, ...]
    clip: float | None
    linear_before_reset: bool = False
    input_forget: bool = False

    def clipped(self, x: Array) -> Array:
        return x if self.clip is None else np.clip(x, -self.clip, self.clip)


MakeStep = Callable[[Weights, Cell], tuple[Array, Step]]
"""The bias of the input's share, and the step of one direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The attributes that RNN, GRU and LSTM share, as the node gives them."""

    activations: Sequence[str]
    activation_alpha: Sequence[float]
    activation_beta: Sequence[float]
    clip: float | None
    direction: str
    layout: int
    linear_before_reset: int = 0
    input_forget: int = 0


@kernel("RNN", since=7)
def rnn(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[str] = (),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
) -> tuple[Array, ...]:
    """`H = f(X W^T + H R^T + B)` over X (steps, batch, input): all H (steps, directions, batch, hidden), and the last.

    Source: ONNX operators, RNN-22.
    """
    options = Options(
        activations=activations,
        activation_alpha=activation_alpha,
        activation_beta=activation_beta,
        clip=clip,
        direction=direction,
        layout=layout,
    )
    return _run(X, (W, R, B, None), sequence_lens, (initial_h,), options, ("Tanh",), _rnn_step)


@kernel("GRU", since=7)
def gru(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[str] = (),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    linear_before_reset: int = 0,
) -> tuple[Array, ...]:
    """Gated recurrent unit over X (steps, batch, input): all H (steps, directions, batch, hidden), and the last.

    Source: ONNX operators, GRU-22.
    """
    options = Options(
        activations=activations,
        activation_alpha=activation_alpha,
        activation_beta=activation_beta,
        clip=clip,
        direction=direction,
        layout=layout,
        linear_before_reset=linear_before_reset,
    )
    return _run(X, (W, R, B, None), sequence_lens, (initial_h,), options, ("Sigmoid", "Tanh"), _gru_step)


@kernel("LSTM", since=7)
def lstm(
    X: Array,
    W: Array,
    R: Array,
    B: Array | None = None,
    sequence_lens: Array | None = None,
    initial_h: Array | None = None,
    initial_c: Array | None = None,
    P: Array | None = None,
    *,
    activation_alpha: Sequence[float] = (),
    activation_beta: Sequence[float] = (),
    activations: Sequence[str] = (),
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    input_forget: int = 0,
    layout: int = 0,
) -> tuple[Array, ...]:
    """Long short-term memory over X (steps, batch, input): all H (steps, directions, batch, hidden), last H, last C.

    Source: ONNX operators, LSTM-22.
    """
    options = Options(
        activations=activations,
        activation_alpha=activation_alpha,
        activation_beta=activation_beta,
        clip=clip,
        direction=direction,
        layout=layout,
        input_forget=input_forget,
    )
    defaults = ("Sigmoid", "Tanh", "Tanh")
    return _run(X, (W, R, B, P), sequence_lens, (initial_h, initial_c), options, defaults, _lstm_step)


def _run(
    x: Array,
    parameters: tuple[Array, Array, Array | None, Array | None],
    lengths: Array | None,
    initial: tuple[Array | None, ...],
    options: Options,
    default_activations: tuple[str, ...],
    make_step: MakeStep,
) -> tuple[Array, ...]:
    """All outputs of every direction, in the layout that the node asks for."""
    if options.layout == 1:
        x = x.swapaxes(0, 1)
        initial = tuple(None if state is None else state.swapaxes(0, 1) for state in initial)
    inputs, recurrent, bias, peepholes = parameters
    directions, hidden = recurrent.shape[0], recurrent.shape[2]
    if options.direction not in ("forward", "reverse", "bidirectional"):
        raise KernelError(f"direction must be forward, reverse or bidirectional, is {options.direction!r}")
    if directions != (2 if options.direction == "bidirectional" else 1):
        raise KernelError(f"R {recurrent.shape} does not fit direction {options.direction!r}")
    steps, batch = x.shape[:2]
    functions = _activations(options, default_activations * directions)
    per_direction = len(functions) // directions
    # A row by a transposed matrix is as fast as by a packed one, several rows are twice as slow (measured).
    transposed = recurrent.swapaxes(1, 2) if batch == 1 else packed(recurrent, "transposed", _transpose)
    y = np.zeros((steps, directions, batch, hidden), x.dtype)
    last = [np.zeros((directions, batch, hidden), x.dtype) for _ in initial]
    for i in range(directions):
        cell = Cell(
            hidden,
            functions[i * per_direction : (i + 1) * per_direction],
            options.clip,
            bool(options.linear_before_reset),
            bool(options.input_forget),
        )
        state = tuple(np.zeros((batch, hidden), x.dtype) if given is None else given[i] for given in initial)
        is_reverse = i == 1 or options.direction == "reverse"
        both = np.zeros(2 * inputs.shape[1], x.dtype) if bias is None else bias[i]
        halves = both[: inputs.shape[1]], both[inputs.shape[1] :]
        weights = Weights(inputs[i], transposed[i], *halves, None if peepholes is None else peepholes[i])
        state = _scan(x, state, make_step(weights, cell), weights, lengths, is_reverse, y[:, i])
        for kept, value in zip(last, state, strict=True):
            kept[i] = value
    if options.layout == 1:
        return y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in last)
    return y, *last


def _transpose(recurrent: Array) -> Array:
    """(directions, gates, hidden) as (directions, hidden, gates)."""
    return np.ascontiguousarray(recurrent.swapaxes(1, 2))


def _scan(
    x: Array,
    state: State,
    bias_and_step: tuple[Array, Step],
    weights: Weights,
    lengths: Array | None,
    is_reverse: bool,
    y: Array,
) -> State:
    """Walk over the steps of one direction, write every output to `y`, and return the last state.

    The input's share of all gates is one matrix product. A sequence that has ended keeps its state and outputs zeros.
    """
    bias, step = bias_and_step
    steps, batch = x.shape[:2]
    shares = (x.reshape(steps * batch, x.shape[2]) @ weights.inputs.T).reshape(steps, batch, weights.inputs.shape[0])
    shares += bias
    if lengths is None or (lengths == steps).all():
        for t in range(steps - 1, -1, -1) if is_reverse else range(steps):
            state = step(shares[t], state)
            y[t] = state[0]
        return state
    everyone = np.arange(batch)
    for t in range(steps):
        alive = t < lengths
        at = np.where(alive, lengths - 1 - t, t) if is_reverse else np.full(batch, t)
        moved = step(shares[at, everyone], state)
        state = tuple(np.where(alive[:, None], new, old) for new, old in zip(moved, state, strict=True))
        y[at, everyone] = np.where(alive[:, None], state[0], 0)
    return state


def _rnn_step(weights: Weights, cell: Cell) -> tuple[Array, Step]:
    (f,) = cell.activations
    recurrent = weights.recurrent

    def step(share: Array, state: State) -> State:
        return (f(cell.clipped(share + state[0] @ recurrent)),)

    return weights.input_bias + weights.recurrent_bias, step


def _gru_step(weights: Weights, cell: Cell) -> tuple[Array, Step]:
    """The gates are z, r and h: update, reset and candidate."""
    f, g = cell.activations
    n = cell.hidden
    recurrent = weights.recurrent
    gates, candidate = recurrent[:, : 2 * n], recurrent[:, 2 * n :]
    bias = weights.input_bias.copy()
    bias[: 2 * n] += weights.recurrent_bias[: 2 * n]
    late_bias = weights.recurrent_bias[2 * n :]
    if not cell.linear_before_reset:
        bias[2 * n :] += late_bias

    def step(share: Array, state: State) -> State:
        h = state[0]
        if cell.linear_before_reset:
            products = h @ recurrent
            zr = f(cell.clipped(share[:, : 2 * n] + products[:, : 2 * n]))
            candidates = zr[:, n:] * (products[:, 2 * n :] + late_bias)
        else:
            zr = f(cell.clipped(share[:, : 2 * n] + h @ gates))
            candidates = (zr[:, n:] * h) @ candidate
        candidates += share[:, 2 * n :]
        new = g(cell.clipped(candidates))
        return (new + zr[:, :n] * (h - new),)

    return bias, step


def _lstm_step(weights: Weights, cell: Cell) -> tuple[Array, Step]:
    """The gates are i, o, f and c: input, output, forget and cell."""
    f, g, h = cell.activations
    n = cell.hidden
    recurrent = weights.recurrent
    peepholes = weights.peepholes

    def step(share: Array, state: State) -> State:
        hidden, memory = state
        gates = hidden @ recurrent
        gates += share
        if peepholes is not None:
            gates[:, :n] += peepholes[:n] * memory
            gates[:, 2 * n : 3 * n] += peepholes[2 * n :] * memory
        clipped = cell.clipped(gates)
        iof = f(clipped[:, : 3 * n])
        entry, out, forget = iof[:, :n], iof[:, n : 2 * n], iof[:, 2 * n :]
        if cell.input_forget:
            forget = 1 - entry
        new_memory = forget * memory
        new_memory += entry * g(clipped[:, 3 * n :])
        if peepholes is not None:
            out = f(cell.clipped(gates[:, n : 2 * n] + peepholes[n : 2 * n] * new_memory))
        return out * h(new_memory), new_memory

    return weights.input_bias + weights.recurrent_bias, step


def _activations(options: Options, defaults: tuple[str, ...]) -> tuple[Activation, ...]:
    """The activation functions of all directions; each takes its alpha and beta from the lists in turn."""
    names = [name.lower() for name in (options.activations or defaults)]
    if len(names) != len(defaults):
        raise KernelError(f"{len(defaults)} activations are needed, {len(names)} are given: {', '.join(names)}")
    alphas, betas = iter(options.activation_alpha), iter(options.activation_beta)
    functions = []
    for name in names:
        alpha = next(alphas, _DEFAULT_ALPHA[name]) if name in _DEFAULT_ALPHA else 0.0
        beta = next(betas, _DEFAULT_BETA[name]) if name in _DEFAULT_BETA else 0.0
        functions.append(_activation(name, alpha, beta))
    return tuple(functions)


def _activation(name: str, alpha: float, beta: float) -> Activation:
    table: dict[str, Activation] = {
        "relu": lambda x: np.maximum(x, 0),
        "tanh": np.tanh,
        "sigmoid": _sigmoid,
        "affine": lambda x: alpha * x + beta,
        "leakyrelu": lambda x: np.where(x >= 0, x, alpha * x),
        "thresholdedrelu": lambda x: np.where(x > alpha, x, x.dtype.type(0)),
        "scaledtanh": lambda x: alpha * np.tanh(beta * x),
        "hardsigmoid": lambda x: np.clip(alpha * x + beta, 0, 1),
        "elu": lambda x: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))),
        "softsign": lambda x: x / (1 + np.abs(x)),
        "softplus": lambda x: np.logaddexp(x, x.dtype.type(0)),
    }
    if name not in table:
        raise KernelError(f"activation {name!r} is unknown; there are: {', '.join(table)}")
    return table[name]


def _sigmoid(x: Array) -> Array:
    """By the hyperbolic tangent, which cannot overflow: 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2."""
    y = np.tanh(x * x.dtype.type(0.5))
    y *= 0.5
    y += 0.5
    return y
