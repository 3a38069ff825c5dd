from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from partita.errors import ModelError
from partita.graph.ir import Array, Graph, Value
from partita.graph.onnx_import import from_proto, read_onnx
from tests.graph.models import parsed

DATA = np.arange(6, dtype=np.float32).reshape(2, 3)


def with_weight(tensor: TensorProto) -> onnx.ModelProto:
    model = parsed("g (float[1] x) => (float[1] y) { y = Relu(x) }")
    tensor.name = "w"
    model.graph.initializer.append(tensor)
    return model


def external(location: str, **entries: object) -> TensorProto:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def read(folder: Path, tensor: TensorProto) -> Graph:
    (folder / "m.onnx").write_bytes(with_weight(tensor).SerializeToString())
    return read_onnx(folder / "m.onnx")


def embedded(array: Array) -> Array:
    return from_proto(with_weight(numpy_helper.from_array(array))).constants["w"]


def test_data_in_another_file_is_mapped_and_not_copied(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"1234" + DATA.tobytes())
    array = read(tmp_path, external("w.bin", offset=4, length=24)).constants["w"]
    np.testing.assert_array_equal(array, DATA)
    root: object = array
    while isinstance(root, np.ndarray) and not isinstance(root, np.memmap):
        root = root.base
    assert isinstance(root, np.memmap)
    assert not array.flags.writeable


def test_an_offset_that_fits_no_element_boundary_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"123" + DATA.tobytes())
    np.testing.assert_array_equal(read(tmp_path, external("w.bin", offset=3)).constants["w"], DATA)


def test_a_missing_file_leaves_the_weight_without_data(tmp_path: Path) -> None:
    graph = read(tmp_path, external("absent.bin"))
    assert graph.missing == {"w"}
    assert not graph.constants
    assert graph.value("w") == Value("float32", (2, 3))
    assert graph.is_constant("w")


def test_a_model_in_memory_has_no_folder_to_read_from() -> None:
    assert from_proto(with_weight(external("w.bin"))).missing == {"w"}


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(DATA.tobytes()[:-1])
    with pytest.raises(ModelError, match=r"weight 'w' needs 24 bytes, .* 'w\.bin', which has 23; .* cut short"):
        read(tmp_path, external("w.bin"))
    (tmp_path / "w.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"which has 0; .* cut short"):
        read(tmp_path, external("w.bin"))


def test_an_empty_weight_in_an_empty_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "w.bin").touch()
    tensor = external("w.bin")
    tensor.dims[0] = 0
    assert read(tmp_path, tensor).constants["w"].shape == (0, 3)


@pytest.mark.parametrize(
    "entries",
    [{"offset": 4}, {"length": 20}, {"length": 28}, {"offset": 2**63}, {"offset": 10**30}, {"offset": -1},
     {"length": "²"},
     {"length": "x"}, {"offset": "9" * 5000}, {"offset": ""}],
)  # fmt: skip
def test_an_offset_or_length_that_lies_is_refused(tmp_path: Path, entries: dict[str, object]) -> None:
    (tmp_path / "w.bin").write_bytes(DATA.tobytes())
    with pytest.raises(ModelError, match="weight 'w'"):
        read(tmp_path, external("w.bin", **entries))


@pytest.mark.parametrize(
    "location", ["../w.bin", "/etc/hostname", "sub/../../w.bin", "", ".", "link.bin", "folder/w.bin"]
)
def test_a_path_out_of_the_models_folder_is_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "w.bin").write_bytes(DATA.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    (folder / "folder").symlink_to(tmp_path)
    with pytest.raises(ModelError, match=r"weight 'w' lies at .*, outside of the model's folder; move the file"):
        read(folder, external(location))


def test_a_link_inside_the_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(DATA.tobytes())
    (tmp_path / "w.bin").symlink_to("blob")
    np.testing.assert_array_equal(read(tmp_path, external("w.bin")).constants["w"], DATA)


@pytest.mark.parametrize("location", ["a\0b", "loop", "x" * 300])
def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ModelError, match=r"weight 'w' lies at .*, which cannot be read"):
        read(tmp_path, external(location))


def test_constants_and_attributes_do_not_read_files_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(DATA.tobytes())
    for op in ("Constant", "ConstantOfShape"):
        model = parsed("g (int64[1] x) => (float y) { y = Relu(x) }")
        attribute = helper.make_attribute("value", external("../w.bin"))
        node = model.graph.node.add(op_type=op, output=["c"], input=[] if op == "Constant" else ["x"])
        node.attribute.append(attribute)
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / "m.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match="outside of the model's folder"):
            read_onnx(tmp_path / "models" / "m.onnx")


def test_a_constant_whose_file_is_missing_is_a_weight_without_data() -> None:
    model = parsed("g (float[2, 3] x) => (float[2, 3] y) { y = Add(x, c) }")
    node = model.graph.node.add(op_type="Constant", output=["c"])
    node.attribute.append(helper.make_attribute("value", external("absent.bin")))
    graph = from_proto(model)
    assert graph.missing == {"c"}
    assert graph.value("c") == Value("float32", (2, 3))


@pytest.mark.parametrize(
    "dtype",
    ["int4", "uint4", "int2", "uint2", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn", "float6_e2m3fn"],
)
def test_narrow_element_types_are_read_by_their_own_names(dtype: str) -> None:
    array = np.array([[0, 1, 0], [1, 0, 1], [1, 1, 0]]).astype(getattr(ml_dtypes, dtype))
    graph = from_proto(with_weight(numpy_helper.from_array(array)))
    assert graph.value("w") == Value(dtype, (3, 3))
    assert graph.constants["w"].dtype == array.dtype
    np.testing.assert_array_equal(graph.constants["w"].astype(np.float32), array.astype(np.float32))


def test_packed_elements_in_another_file_are_unpacked(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes([0x21, 0x43, 0x05]))
    tensor = external("w.bin")
    tensor.data_type = TensorProto.UINT4
    tensor.dims[:] = [5]
    assert read(tmp_path, tensor).constants["w"].astype(int).tolist() == [1, 2, 3, 4, 5]


def test_text_and_truth_values_are_read() -> None:
    assert embedded(np.array(["a", "é"], object)).tolist() == ["a", "é"]
    assert embedded(np.array([True, False])).tolist() == [True, False]


def test_numbers_in_typed_fields_are_read() -> None:
    for dtype, values in (
        (TensorProto.FLOAT, [1.5, 2.0]),
        (TensorProto.INT64, [1, -2]),
        (TensorProto.FLOAT16, [1.5, 2.0]),
    ):
        array = from_proto(with_weight(helper.make_tensor("w", dtype, [2], values))).constants["w"]
        assert array.tolist() == values


def test_text_in_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(48))
    tensor = external("w.bin")
    tensor.data_type = TensorProto.STRING
    with pytest.raises(ModelError, match="weight 'w' holds text, which cannot lie in another file"):
        read(tmp_path, tensor)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (
            TensorProto(data_type=1, dims=[2**40], raw_data=b"1234"),
            "needs 4398046511104 bytes of float32, but .* holds 4",
        ),
        (TensorProto(data_type=1, dims=[2**62, 2**62]), "which no memory holds"),
        (TensorProto(data_type=1, dims=[2**62, 0]), "which no memory holds"),
        (TensorProto(data_type=1, dims=[1] * 65, float_data=[1]), "which no memory holds"),
        (TensorProto(data_type=1, dims=[-1]), "has a negative dimension"),
        (TensorProto(data_type=1, dims=[3], float_data=[1, 2]), r"of shape \[3\] cannot be read"),
        (TensorProto(data_type=1, dims=[3]), r"of shape \[3\] cannot be read"),
        (TensorProto(data_type=8, dims=[1], string_data=[b"\xff"]), "cannot be read"),
        (TensorProto(data_type=22, dims=[2**39], int32_data=[1]), "cannot be read"),
        (TensorProto(data_type=0, dims=[1], raw_data=b"1"), "element type 0"),
        (TensorProto(data_type=77, dims=[1], raw_data=b"1"), "element type 77"),
    ],
)
def test_data_that_contradicts_its_shape_is_refused(tensor: TensorProto, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        from_proto(with_weight(tensor))


def test_two_weights_of_one_name_are_refused() -> None:
    model = with_weight(numpy_helper.from_array(DATA))
    model.graph.initializer.append(numpy_helper.from_array(DATA, "w"))
    with pytest.raises(ModelError, match="tensor 'w' is made twice"):
        from_proto(model)
