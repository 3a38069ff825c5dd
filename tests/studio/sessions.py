"""Sessions for tests: a network of five operators, of which the Snapdragon's NPU refuses one."""

from pathlib import Path

from partita.devices import load_soc
from partita.graph.onnx_import import read_onnx
from partita.passes.pipeline import prepare
from partita.studies.study_file import ModelEntry
from partita.studio.session import Session
from tests.studies.example_study import written_study

SOC = "sd8gen3-qnn"


def small_session(folder: Path) -> Session:
    """Its model lies in `folder`."""
    written_study(folder, "")
    path = folder / "model.onnx"
    graph = prepare(read_onnx(path))
    return Session(ModelEntry(path=str(path), name="small"), graph, load_soc(SOC), SOC, time_limit_s=10.0)
