"""A small study on disk: a model, a Soc and a study file in one folder."""

import json
from pathlib import Path

import onnx

from partita.studies.study_file import Study, load_study
from tests.devices.example_soc import content, number
from tests.graph.models import parsed

MODEL = """g (float[1,64,32,32] x) => (float[1,64,32,32] y) {
  a = Conv<pads = [1,1,1,1]>(x, w)
  b = Relu(a)
  c = Erf(b)
  d = Conv<pads = [1,1,1,1]>(c, w)
  y = Sigmoid(d)
}"""
HEAD = 'format = "partita-study/1"\nname = "small"\nsocs = ["example.toml"]\n'
MODELS = '[[models]]\npath = "model.onnx"\n'


def write_toml(fields: object) -> str:
    """The Soc as TOML: JSON is TOML's inline form but for colons and null."""
    assert isinstance(fields, dict)
    return "".join(f"{json.dumps(key)} = {_inline(value)}\n" for key, value in fields.items())


def _inline(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {_inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(v) for v in value) + "]"
    return json.dumps(value)


def written_study(folder: Path, body: str, head: str = "") -> Path:
    """The file of a study of a small model on a small Soc."""
    model = parsed(MODEL)
    weights = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [64, 64, 3, 3], [0.5] * (64 * 64 * 9))
    model.graph.initializer.append(weights)
    onnx.save(model, folder / "model.onnx")
    fields = content()
    fields["units"][2] |= {"peak_gmac_per_s": {"float16": number(4000)}, "peak_gop_per_s": {"float16": number(400)}}
    (folder / "example.toml").write_text(write_toml(fields))
    path = folder / "small.study.toml"
    path.write_text(f"{HEAD}{head}\n{MODELS}\n{body}")
    return path


def small_study(folder: Path, body: str, head: str = "") -> Study:
    return load_study(written_study(folder, body, head))
