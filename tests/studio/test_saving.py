"""What Studio saves means to the other commands what it showed."""

from pathlib import Path

import pytest

from partita.devices import load_soc, preset_names
from partita.devices.load import soc_from_text
from partita.studies.change import changed
from partita.studies.points import design_points
from partita.studies.study_file import load_study
from partita.studio.saving import file_name, soc_text, study_text
from partita.studio.settings import Settings
from tests.studio.sessions import SOC, small_session

SETTINGS = (
    Settings(),
    Settings(set={"units.npu.call_us": 60.0}),
    Settings(set={"dram.bandwidth_gb_per_s": 30.0, "links.cpu->npu.sync_us": 1.0}),
    Settings(gain={"npu": ("Erf",)}, lose={"gpu": ("Conv", "Relu")}, allow=("npu:int8",), objective="energy"),
    Settings(remove=("gpu",), set={"units.npu.utilisation.gemm": 0.5}),
)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("is_preset", [True, False])
def test_a_saved_soc_is_the_soc_that_was_solved(settings: Settings, is_preset: bool, tmp_path: Path) -> None:
    soc = load_soc(SOC)
    text = soc_text(soc, SOC if is_preset else str(tmp_path / "mine.toml"), settings, "saved")
    found = soc_from_text(text, tmp_path / "saved.toml")
    expected = changed(soc, settings.change).model_copy(update={"name": "saved"})
    assert found.to_json() == expected.to_json()


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_saved_whole_and_as_a_difference(name: str, tmp_path: Path) -> None:
    soc = load_soc(name)
    settings = Settings(set={f"units.{soc.host}.call_us": 7.0})
    for given in (name, "a-file.toml"):
        found = soc_from_text(soc_text(soc, given, settings, "saved"), tmp_path / "saved.toml")
        assert found.to_json() == changed(soc, settings.change).model_copy(update={"name": "saved"}).to_json()


def test_on_top_of_a_preset_only_what_differs_is_saved() -> None:
    text = soc_text(load_soc(SOC), SOC, Settings(set={"units.npu.call_us": 60.0}), "saved")
    assert f'base = "{SOC}"' in text
    assert "gpu" not in text
    assert len(text.splitlines()) < 12


def test_options_that_a_soc_file_cannot_hold_are_told_in_it() -> None:
    text = soc_text(load_soc(SOC), SOC, Settings(allow=("npu:int8",), objective="throughput"), "saved")
    assert "--allow npu:int8 --objective throughput" in text.splitlines()[0]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_saved_study_places_what_was_solved_as_one_of_its_points(settings: Settings, tmp_path: Path) -> None:
    session = small_session(tmp_path)
    path = tmp_path / "saved.study.toml"
    path.write_text(study_text(session.model, SOC, settings))
    study = load_study(path)
    assert study.wishes.objective == settings.objective
    assert study.allowed == settings.allowed
    socs = [changed(session.soc, point.change).to_json() for point in design_points(study)]
    assert changed(session.soc, settings.change).to_json() in socs
    assert session.soc.to_json() in socs


def test_a_download_has_a_name_that_is_no_path() -> None:
    assert file_name("../../etc/passwd", ".soc.toml") == "etc-passwd-studio.soc.toml"
    assert file_name("", ".soc.toml") == "model-studio.soc.toml"
    assert file_name("mobilenet_v2", ".study.toml") == "mobilenet_v2-studio.study.toml"
