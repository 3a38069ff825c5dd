import tracemalloc
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from partita.graph.build import GraphBuilder
from partita.graph.external import ALIGNMENT, LEAST_BYTES, WeightFile
from partita.graph.ir import Array
from partita.graph.onnx_export import to_model
from partita.graph.onnx_import import read_onnx


def written(folder: Path, arrays: dict[str, Array]) -> tuple[onnx.ModelProto, WeightFile]:
    """A model whose only output is Relu(x), with the arrays as its weights, in `folder`."""
    b = GraphBuilder("g")
    for name, array in arrays.items():
        b.constant(name, array)
    b.output(b.node("Relu", b.input("x", "float32", (1,))), *arrays)
    file = WeightFile("weights.bin")
    model = to_model(b.build(), file.tensor)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    file.write(folder)
    return model, file


@pytest.mark.parametrize(
    "array",
    [
        np.arange(3000, dtype=np.float32).reshape(50, 60),
        np.arange(3000, dtype=np.float32).reshape(50, 60).T,
        np.arange(9000).astype(ml_dtypes.int4),
        np.arange(5000).astype(ml_dtypes.bfloat16),
        np.arange(5000) % 3 == 0,
    ],
    ids=["float32", "transposed", "int4", "bfloat16", "bool"],
)
def test_weights_read_back_as_they_were(tmp_path: Path, array: Array) -> None:
    model, _ = written(tmp_path, {"w": array})
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)
    assert not model.graph.initializer[0].raw_data
    again = read_onnx(tmp_path / "model.onnx").constants["w"]
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(again, array)


def test_small_weights_and_text_stay_in_the_model(tmp_path: Path) -> None:
    text: Any = np.full(LEAST_BYTES, "x", dtype=object)
    model, file = written(tmp_path, {"small": np.ones(7, np.float32), "text": text})
    assert {tensor.data_location for tensor in model.graph.initializer} == {onnx.TensorProto.DEFAULT}
    assert file.size_bytes == 0
    assert not (tmp_path / "weights.bin").exists()


def test_an_array_that_two_models_use_lies_in_the_file_once(tmp_path: Path) -> None:
    file = WeightFile("weights.bin")
    first, second = np.ones(LEAST_BYTES, np.uint8), np.zeros(LEAST_BYTES + 1, np.uint8)
    places = [file.tensor(name, array) for name, array in (("a", first), ("b", second), ("c", first))]
    offsets = [next(e.value for e in place.external_data if e.key == "offset") for place in places]
    assert offsets == ["0", str(ALIGNMENT), "0"]
    file.write(tmp_path)
    assert (tmp_path / "weights.bin").stat().st_size == file.size_bytes == ALIGNMENT + second.size


def test_mapped_weights_are_not_copied_into_memory(tmp_path: Path) -> None:
    size_bytes = 2**25
    (tmp_path / "source.bin").write_bytes(bytes(size_bytes))
    weight = np.memmap(tmp_path / "source.bin", np.float32, "r")
    tracemalloc.start()
    written(tmp_path, {"w": weight})
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "weights.bin").stat().st_size == size_bytes
    assert peak_bytes < size_bytes / 16
