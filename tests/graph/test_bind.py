import pytest

from partita.errors import ModelError
from partita.graph.bind import Shapes
from partita.graph.ir import Graph
from partita.graph.onnx_import import from_proto
from tests.graph.models import parsed


def bound(text: str, shapes: Shapes) -> Graph:
    return from_proto(parsed(text), shapes)


ONE = "g (float[batch, 3] x) => (float[batch, 3] y) { y = Relu(x) }"
TWO = "g (float[N, seq_a] x, float[N, seq_b] z) => (float y) { a = ReduceSum(x)  b = ReduceSum(z)  y = Add(a, b) }"


def test_the_shape_of_a_sequence_is_that_of_its_elements_and_may_stay_open() -> None:
    text = "g (seq(float[batch, 3]) x) => (int64 y) { y = SequenceLength(x) }"
    shapes: list[Shapes] = [{"batch": 4}, {"x": (4, 3)}, {}]
    assert [str(bound(text, s).value("x")) for s in shapes] == [
        "sequence(float32[4x3])", "sequence(float32[4x3])", "sequence(float32[?x3])",
    ]  # fmt: skip


@pytest.mark.parametrize("shapes", [{"batch": 2**40}, {"batch": 2**64}, {"x": (2**64, 3)}])
def test_a_size_that_no_memory_holds_is_refused(shapes: Shapes) -> None:
    with pytest.raises(ModelError, match=r"input 'x': .* more elements than any memory holds"):
        bound(ONE, shapes)


def test_a_symbol_is_sized_by_name() -> None:
    assert bound(ONE, {"batch": 4}).value("x").shape == (4, 3)


def test_a_pattern_sizes_every_symbol_it_fits() -> None:
    graph = bound(TWO, {"N": 2, "seq_*": 7})
    assert (graph.value("x").shape, graph.value("z").shape) == ((2, 7), (2, 7))


def test_a_name_goes_before_a_pattern() -> None:
    graph = bound(TWO, {"*": 1, "seq_b": 5})
    assert (graph.value("x").shape, graph.value("z").shape) == ((1, 1), (1, 5))


def test_a_whole_shape_sizes_its_symbols_in_other_inputs() -> None:
    graph = bound(TWO, {"x": (2, 3), "seq_b": 4})
    assert (graph.value("x").shape, graph.value("z").shape) == ((2, 3), (2, 4))


@pytest.mark.parametrize("shapes", [{"x": (2, 3), "z": (4, 5)}, {"x": (2, 3), "N": 4, "seq_b": 5}])
def test_two_sizes_for_one_symbol_are_refused(shapes: Shapes) -> None:
    with pytest.raises(ModelError, match=r"dimension 'N' cannot be \d and, in the shape given for input '[xz]', \d"):
        bound(TWO, shapes)


def test_a_symbol_given_beside_an_agreeing_whole_shape_is_not_refused() -> None:
    assert bound(ONE, {"x": (2, 3), "batch": 2}).value("x").shape == (2, 3)


def test_open_dimensions_are_listed_with_an_example_that_works() -> None:
    with pytest.raises(ModelError, match=r"no size: x\[0\] = 'batch'; give each one, for example --shape batch=1"):
        bound(ONE, {})
    with pytest.raises(ModelError, match=r"no size: x\[1\]; give each one, for example --shape x=2x1"):
        bound("g (float[2, ?] x) => (float[2, ?] y) { y = Relu(x) }", {})


def test_one_number_is_the_shape_of_an_input_with_one_dimension() -> None:
    text = "g (float[?] x) => (float[?] y) { y = Relu(x) }"
    with pytest.raises(ModelError, match="--shape x=1"):
        bound(text, {})
    assert bound(text, {"x": 1}).value("x").shape == (1,)


def test_dimensions_of_minus_one_are_open() -> None:
    model = parsed("g (float[2, 3] x) => (float[2, 3] y) { y = Relu(x) }")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    with pytest.raises(ModelError, match=r"no size: x\[0\]"):
        from_proto(model)
    assert from_proto(model, {"x": (5, 3)}).value("x").shape == (5, 3)


def test_dimensions_named_by_a_question_mark_need_not_be_equal() -> None:
    model = parsed("g (float[n, 3, h, w] x) => (float[n, 3, h, w] y) { y = Relu(x) }")
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = "?"
    assert from_proto(model, {"x": (1, 3, 48, 192)}).value("x").shape == (1, 3, 48, 192)


def test_an_input_of_unknown_rank_takes_a_whole_shape() -> None:
    model = parsed("g (float[2] x) => (float[2] y) { y = Relu(x) }")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(ModelError, match=r"no size: x \(rank unknown\)"):
        from_proto(model)
    assert from_proto(model, {"x": (2, 2)}).value("x").shape == (2, 2)


@pytest.mark.parametrize("shape", [(4, 4), (4,), (4, 3, 1), (-1, 3)])
def test_a_shape_that_contradicts_the_model_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"input 'x' is float32\[\?x3\]; the shape .* does not fit it"):
        bound(ONE, {"x": shape})


@pytest.mark.parametrize("size", [-1, (2, 3)])
def test_a_size_that_is_no_size_is_refused(size: int | tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="size given for dimension 'batch' must be a whole number"):
        bound(ONE, {"batch": size})


def test_a_binding_that_nothing_uses_is_refused_and_the_models_names_are_listed() -> None:
    with pytest.raises(ModelError, match=r"shape given for 'bacth', which is no input .* the model has: batch, x"):
        bound(ONE, {"batch": 1, "bacth": 1})
    with pytest.raises(ModelError, match=r"input 'x' is float32\[\?x3\]; the shape 4 does not fit"):
        bound(ONE, {"batch": 1, "x": 4})
