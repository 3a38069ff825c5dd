"""RNN, GRU and LSTM against onnxruntime over every attribute, and a layout that onnxruntime lacks against ours."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from partita.errors import KernelError
from partita.kernels.recurrent import gru, lstm, rnn
from tests.kernels.single_node import run_kernel, run_onnxruntime

Array = np.ndarray[Any, Any]
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
ACTIVATIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}


def noise(*shape: int, seed: int = 0) -> Array:
    return (0.5 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


@st.composite
def networks(draw: st.DrawFn, op: str) -> tuple[dict[str, Array | None], dict[str, Any]]:
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    d = 2 if direction == "bidirectional" else 1
    steps, batch, size, hidden = (draw(st.integers(1, 4)) for _ in range(4))
    g = GATES[op]
    inputs: dict[str, Array | None] = {
        "X": noise(steps, batch, size),
        "W": noise(d, g * hidden, size, seed=1),
        "R": noise(d, g * hidden, hidden, seed=2),
        "B": draw(st.sampled_from([None, noise(d, 2 * g * hidden, seed=3)])),
        "lens": None,
        "h": draw(st.sampled_from([None, noise(d, batch, hidden, seed=4)])),
    }
    if draw(st.booleans()):
        inputs["lens"] = np.array([draw(st.integers(1, steps)) for _ in range(batch)], np.int32)
    attributes: dict[str, Any] = {"direction": direction, "hidden_size": hidden}
    if draw(st.booleans()):
        attributes["clip"] = 0.4
    if op == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    if op == "LSTM":
        inputs["c"] = draw(st.sampled_from([None, noise(d, batch, hidden, seed=5)]))
        inputs["P"] = draw(st.sampled_from([None, noise(d, 3 * hidden, seed=6)]))
    return inputs, attributes


def check(op: str, inputs: dict[str, Array | None], attributes: dict[str, Any]) -> None:
    names = [name if x is not None else "" for name, x in inputs.items()]
    node = helper.make_node(op, names, ["y", "yh", "yc"][: 3 if op == "LSTM" else 2], **attributes)
    values = list(inputs.values())
    for ours, theirs in zip(run_kernel(node, values, 14), run_onnxruntime(node, values, 14), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(networks("LSTM"))
def test_lstm_is_what_onnxruntime_computes(case: tuple[dict[str, Array | None], dict[str, Any]]) -> None:
    check("LSTM", *case)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(networks("GRU"))
def test_gru_is_what_onnxruntime_computes(case: tuple[dict[str, Array | None], dict[str, Any]]) -> None:
    check("GRU", *case)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(networks("RNN"))
def test_rnn_is_what_onnxruntime_computes(case: tuple[dict[str, Array | None], dict[str, Any]]) -> None:
    check("RNN", *case)


@pytest.mark.parametrize(
    ("names", "alphas", "betas"),
    [
        (["Relu"], [], []),
        (["Sigmoid"], [], []),
        (["Affine"], [0.7], [0.1]),
        (["LeakyRelu"], [0.2], []),
        (["ThresholdedRelu"], [0.1], []),
        (["ScaledTanh"], [1.2], [0.8]),
        (["HardSigmoid"], [0.3], [0.4]),
        (["HardSigmoid"], [], []),
        (["Elu"], [0.9], []),
        (["Softsign"], [], []),
        (["Softplus"], [], []),
    ],
)
def test_every_activation_is_what_onnxruntime_computes(
    names: list[str], alphas: list[float], betas: list[float]
) -> None:
    inputs: dict[str, Array | None] = {"X": noise(3, 2, 4), "W": noise(1, 5, 4, seed=1), "R": noise(1, 5, 5, seed=2)}
    attributes: dict[str, Any] = {"activations": names, "hidden_size": 5}
    attributes |= {"activation_alpha": alphas} if alphas else {}
    attributes |= {"activation_beta": betas} if betas else {}
    check("RNN", inputs, attributes)


def test_activations_of_two_directions_take_their_parameters_in_turn() -> None:
    inputs: dict[str, Array | None] = {"X": noise(3, 2, 4), "W": noise(2, 5, 4, seed=1), "R": noise(2, 5, 5, seed=2)}
    attributes = {"activations": ["LeakyRelu", "ScaledTanh"], "activation_alpha": [0.3, 1.1], "activation_beta": [0.6]}
    check("RNN", inputs, {"hidden_size": 5, "direction": "bidirectional", **attributes})


def test_input_forget_couples_the_gates() -> None:
    inputs: dict[str, Array | None] = {"X": noise(3, 2, 4), "W": noise(1, 20, 4, seed=1), "R": noise(1, 20, 5, seed=2)}
    check("LSTM", inputs, {"hidden_size": 5, "input_forget": 1})


@pytest.mark.parametrize(("function", "gates", "states"), [(rnn, 1, 1), (gru, 3, 1), (lstm, 4, 2)])
def test_layout_1_moves_the_batch_to_the_front(function: Any, gates: int, states: int) -> None:
    x, w, r = noise(4, 3, 2), noise(2, 5 * gates, 2, seed=1), noise(2, 5 * gates, 5, seed=2)
    initial = [noise(2, 3, 5, seed=3 + i) for i in range(states)]
    plain = function(x, w, r, None, None, *initial, direction="bidirectional")
    swapped = [h.swapaxes(0, 1) for h in initial]
    moved = function(x.swapaxes(0, 1), w, r, None, None, *swapped, direction="bidirectional", layout=1)
    np.testing.assert_array_equal(moved[0].transpose(1, 2, 0, 3), plain[0])
    for ours, expected in zip(moved[1:], plain[1:], strict=True):
        np.testing.assert_array_equal(ours.swapaxes(0, 1), expected)


def test_a_recurrent_layer_says_which_attribute_is_wrong() -> None:
    x, w, r = noise(1, 1, 2), noise(1, 3, 2), noise(1, 3, 3)
    with pytest.raises(KernelError, match="direction must be"):
        rnn(x, w, r, direction="backward")
    with pytest.raises(KernelError, match="does not fit direction 'bidirectional'"):
        rnn(x, w, r, direction="bidirectional")
    with pytest.raises(KernelError, match="activation 'cosine' is unknown"):
        rnn(x, w, r, activations=["Cosine"])
    with pytest.raises(KernelError, match="1 activations are needed, 2 are given"):
        rnn(x, w, r, activations=["Tanh", "Tanh"])
