"""Fusion rules: which chains a unit runs as one kernel."""

from pathlib import Path

import pytest

from partita.devices import Unit, fuses, load_soc
from partita.devices.fusion import fusions_named
from partita.errors import SocError

QNN, TFLITE = load_soc("sd8gen3-qnn"), load_soc("sd855-tflite")


@pytest.mark.parametrize(
    ("unit", "pattern", "dtype", "expected"),
    [
        (QNN.unit_named("npu"), "Conv+Relu", "float16", True),
        (QNN.unit_named("npu"), "Conv+Gelu", "float16", True),
        (QNN.unit_named("npu"), "Conv+Sigmoid+Mul", "float16", True),
        (QNN.unit_named("npu"), "Conv+HardSigmoid+Mul", "float16", False),
        (QNN.unit_named("npu"), "Conv+Add+Relu", "float16", False),
        (QNN.unit_named("npu"), "Add+Relu", "float16", True),
        (QNN.unit_named("npu"), "Conv+Relu", "float32", False),
        (QNN.unit_named("npu"), "Conv+Conv", "float16", False),
        (QNN.unit_named("cpu"), "Conv+Add+Relu", "float32", True),
        (QNN.unit_named("cpu"), "Conv+HardSwish", "float32", False),
        (TFLITE.unit_named("cpu"), "Conv+Relu", "float32", True),
        (TFLITE.unit_named("cpu"), "Conv+Add", "float32", False),
        (TFLITE.unit_named("cpu"), "MaxPool+Relu", "float32", False),
        (TFLITE.unit_named("gpu"), "Conv+Add+Relu", "float16", True),
        (TFLITE.unit_named("gpu"), "Concat+Relu", "float16", True),
        (TFLITE.unit_named("gpu"), "Conv+MaxPool", "float16", False),
        (TFLITE.unit_named("gpu"), "Reshape+Relu", "float16", False),
    ],
)
def test_measured_fusions_are_what_the_rules_say(unit: Unit, pattern: str, dtype: str, expected: bool) -> None:
    assert fuses(unit, pattern, dtype) is expected


def test_a_pattern_that_names_one_operator_is_no_matter_of_fusing() -> None:
    assert fuses(QNN.unit_named("npu"), "LayerNormalization", "float16")


def test_a_chain_longer_than_the_rule_allows_is_not_fused() -> None:
    gpu = TFLITE.unit_named("gpu")
    assert fuses(gpu, "+".join(["Conv"] + ["Relu"] * 5), "float16")
    assert not fuses(gpu, "+".join(["Conv"] + ["Relu"] * 6), "float16")


def test_a_wrong_fusion_file_is_named_with_its_field(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('format = "partita-fusions/1"\nbackend = "x"\n[[rules]]\nproducers = ["Conv"]\n')
    with pytest.raises(SocError, match=r"mine.toml: rules\[0\]\.followers is missing"):
        fusions_named(str(path))
