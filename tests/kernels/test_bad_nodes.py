"""Operators with wrong ranks, dtypes, attributes or missing inputs: an error that names the node, or a result."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

import partita.kernels  # noqa: F401  (registers every kernel)
from partita.errors import KernelError, ModelError
from partita.graph.ir import Array, Node
from partita.kernels.executor import compute
from tests.kernels.fuzzing.compare import node_of
from tests.kernels.fuzzing.draw import GENERATORS, Case, Draw

CASES = 4
Spoil = Callable[[Case, Draw], Case]


def _with_input(case: Case, draw: Draw, change: Callable[[Array], Array]) -> Case:
    at = draw.integer(0, len(case.inputs) - 1)
    inputs = list(case.inputs)
    given = inputs[at]
    if given is not None:
        inputs[at] = change(given)
    return replace(case, inputs=tuple(inputs))


def another_rank(case: Case, draw: Draw) -> Case:
    return _with_input(case, draw, lambda x: x[None] if draw.chance() or not x.ndim or not len(x) else x[0])


def another_size(case: Case, draw: Draw) -> Case:
    return _with_input(case, draw, lambda x: np.resize(x, [size + draw.integer(0, 1) for size in x.shape]))


def another_dtype(case: Case, draw: Draw) -> Case:
    dtype = draw.pick(np.bool_, np.int32, np.float32, np.float64, np.object_)
    return _with_input(case, draw, lambda x: x.astype(dtype))


def nothing_in_it(case: Case, draw: Draw) -> Case:
    return _with_input(case, draw, lambda x: np.zeros([0] * x.ndim, x.dtype))


def an_input_less(case: Case, draw: Draw) -> Case:
    return replace(case, inputs=case.inputs[: draw.integer(0, len(case.inputs) - 1)])


def an_input_more(case: Case, draw: Draw) -> Case:
    return replace(case, inputs=(*case.inputs, draw.tensor((2, 3))))


def an_unknown_attribute(case: Case, draw: Draw) -> Case:
    return replace(case, attributes={**case.attributes, "no_such_attribute": draw.integer(0, 3)})


def an_attribute_off(case: Case, draw: Draw) -> Case:
    """Text that means nothing, numbers that are negative or zero, lists one too long or too short."""
    if not case.attributes:
        return case
    name = draw.pick(*sorted(case.attributes))
    value = case.attributes[name]
    if isinstance(value, str):
        value = "no_such_mode"
    elif isinstance(value, list | tuple) and isinstance(value[0], str):
        value = draw.pick(value[:-1] or ["no_such_mode"], [*value, "Tanh"], ["no_such_mode" for _ in value])
    elif isinstance(value, list | tuple):
        value = draw.pick(
            tuple(value)[:-1] or (1, 1, 1), (*value, 1), tuple(-5 for _ in value), tuple(0 for _ in value)
        )
    elif isinstance(value, int):
        value = draw.pick(-7, 0, 9)
    return replace(case, attributes={**case.attributes, name: value})


SPOILS: tuple[Spoil, ...] = (
    another_rank, another_size, another_dtype, nothing_in_it, an_input_less, an_input_more, an_unknown_attribute,
    an_attribute_off,
)  # fmt: skip


def refusal_of(node: Node, inputs: Sequence[Array | None]) -> str | None:
    """The error's message, None if the operator can be computed; any other kind of error is let through."""
    try:
        with np.errstate(all="ignore"):
            compute(node, inputs)
    except (KernelError, ModelError) as error:
        return str(error)
    return None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy warns of the mean of nothing
@pytest.mark.parametrize("kind", sorted(GENERATORS))
@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: str(spoil.__name__))
def test_a_spoiled_operator_is_computed_or_refused_by_name(kind: str, spoil: Spoil) -> None:
    for seed in range(CASES):
        draw = Draw(seed)
        case = spoil(GENERATORS[kind](draw), draw)
        node, inputs = node_of(case, "spoiled")
        message = refusal_of(node, inputs)
        assert message is None or "'spoiled'" in message, f"{case}: {message}"
        assert message is None or "\n" not in message, f"{case}: {message}"


def test_a_result_that_no_memory_holds_is_refused_by_name() -> None:
    node = Node("n", "ConstantOfShape", ("shape",), ("y",), {}, "", 9)
    with pytest.raises(KernelError, match=r"node 'n'.* do not fit: Unable to allocate"):
        compute(node, [np.array([1 << 50])])


def test_an_unknown_operator_is_named_with_its_domain_and_version() -> None:
    with pytest.raises(ModelError, match=r"node 'n' \(elsewhere::Nothing\).*elsewhere::Nothing at opset 3"):
        compute(Node("n", "Nothing", ("x",), ("y",), {}, "elsewhere", 3), [np.zeros(1)])
