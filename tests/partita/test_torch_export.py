"""`from_torch`: modules exported and loaded in one call give what torch computes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import partita as pt
from partita.errors import PartitaError, PlanError
from partita.kernels.executor import run

torch: Any = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def convolutions() -> Any:
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Flatten())


class Attends(torch.nn.Module):  # type: ignore[misc]  # torch may be absent
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, tokens: Any, scale: Any) -> Any:
        return self.layer(tokens) * scale


class Recurs(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = torch.nn.GRU(8, 12, batch_first=True), torch.nn.Linear(12, 3)

    def forward(self, x: Any) -> Any:
        return self.head(self.cell(x)[0]).softmax(-1)


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (convolutions(), (torch.randn(2, 3, 16, 16),)),
        (Attends(), {"tokens": torch.randn(1, 7, 16), "scale": torch.tensor([2.0])}),
        (Recurs(), torch.randn(1, 9, 8)),
    ],
    ids=["convolutions", "attention", "recurrent"],
)
def test_a_module_computes_what_it_does_in_torch(module: Any, inputs: Any) -> None:
    graph = pt.from_torch(module, inputs)
    keywords = inputs if isinstance(inputs, dict) else {}
    arguments = inputs if isinstance(inputs, tuple) else () if keywords else (inputs,)
    feeds = dict(zip(graph.inputs, (x.numpy() for x in (*arguments, *keywords.values())), strict=True))
    (found,) = run(graph, feeds).values()
    module.eval()
    with torch.no_grad():
        expected = module(*arguments, **keywords).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_named_dimensions_have_the_sizes_of_the_examples_or_those_that_are_given(tmp_path: Path) -> None:
    module, x = torch.nn.Sequential(torch.nn.Linear(8, 12), torch.nn.GELU()), torch.randn(2, 9, 8)
    dynamic = {"input": {0: "batch", 1: "steps"}}
    as_given = pt.from_torch(module, x, dynamic)
    assert as_given.value(as_given.inputs[0]).dims == (2, 9, 8)
    other = pt.from_torch(module, x, dynamic, shapes={"steps": 5}, path=tmp_path / "wide.onnx")
    assert other.value(other.inputs[0]).dims == (2, 5, 8)
    assert pt.load(tmp_path / "wide.onnx", {"batch": 3, "steps": 4}).value(other.inputs[0]).dims == (3, 4, 8)


def test_a_plan_can_be_saved_if_the_file_is_kept(tmp_path: Path) -> None:
    soc = pt.soc("sd8gen3-qnn")
    module, x = convolutions(), torch.randn(1, 3, 16, 16)
    kept = pt.partition(pt.from_torch(module, x, path=tmp_path / "m.onnx"), soc)
    pt.save_plan(kept, tmp_path / "m.plan.json")
    assert pt.load_plan(tmp_path / "m.plan.json").latency_us == kept.latency_us
    with pytest.raises(PlanError, match="loaded from a file"):
        pt.save_plan(pt.partition(pt.from_torch(module, x), soc), tmp_path / "n.plan.json")


def test_the_module_stays_in_the_mode_in_which_it_was() -> None:
    module = convolutions()
    module[1].eval()
    pt.from_torch(module, torch.randn(1, 3, 8, 8))
    assert (module.training, module[0].training, module[1].training) == (True, True, False)


def test_what_cannot_be_exported_is_said_on_one_line() -> None:
    class Branches(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    x = torch.randn(2, 3)
    cases: tuple[tuple[Any, Any, str], ...] = (
        (Branches(), None, "torch cannot export Branches"),
        (convolutions(), {"image": {0: "batch"}}, "dynamic names 'image', but the examples are for: input"),
        (convolutions(), {"input": ["batch"]}, "must say which axis has which name"),
        (object(), None, "takes a torch.nn.Module, not a object"),
    )
    for module, dynamic, told in cases:
        with pytest.raises(PartitaError, match=told) as caught:
            pt.from_torch(module, x, dynamic)
        assert "\n" not in str(caught.value)
