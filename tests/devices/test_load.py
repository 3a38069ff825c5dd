"""Reading Soc files: the presets, and every way in which a file can be wrong."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from partita.devices import facts, load_soc, preset_names
from partita.devices.fusion import fusions_named
from partita.devices.load import FOLDER, LARGEST_FILE_BYTES, names_in
from partita.devices.support import support_named
from partita.errors import SocError


def test_there_are_presets() -> None:
    assert {"sd8gen3-qnn", "sd855-tflite"} <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_bears_its_own_name(name: str) -> None:
    soc = load_soc(name)
    assert soc.name == name
    assert soc.host_unit.kind == "cpu"
    for unit in soc.units:
        assert soc.host == unit.name or soc.link(soc.host, unit.name).sync_us.value >= 0


@pytest.mark.parametrize("name", preset_names())
def test_every_number_of_a_preset_begins_its_source_with_a_key_of_its_sources(name: str) -> None:
    soc = load_soc(name)
    for fact in facts(soc):
        assert re.split(r"[:;, ]", fact.source)[0] in soc.sources, fact


@pytest.mark.parametrize("name", preset_names())
def test_a_guess_in_a_preset_states_its_range(name: str) -> None:
    for fact in facts(load_soc(name)):
        if fact.source.startswith("GUESS") and not fact.path.endswith("spread"):
            assert fact.low is not None, fact
            assert fact.high is not None, fact


@pytest.mark.parametrize("name", names_in("support"))
def test_every_support_file_is_sound(name: str) -> None:
    assert support_named(name).rules


@pytest.mark.parametrize("name", names_in("fusions"))
def test_every_fusion_file_is_sound(name: str) -> None:
    assert fusions_named(name).rules


def test_a_preset_can_also_be_read_by_its_path() -> None:
    path = FOLDER / "presets" / "sd855-tflite.toml"
    assert load_soc(path) == load_soc(str(path)) == load_soc("sd855-tflite")


def test_an_unknown_name_lists_the_presets() -> None:
    with pytest.raises(SocError, match=r"no preset 'sd9'; presets: .*sd855-tflite, .*sd8gen3-qnn"):
        load_soc("sd9")


def _as_folder(path: Path) -> None:
    path.mkdir()


def _as_huge(path: Path) -> None:
    path.write_bytes(b"#" * (LARGEST_FILE_BYTES + 1))


def _holding(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def _missing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (_missing, "cannot be read: no such file"),
        (_as_folder, "is a folder"),
        (_as_huge, "has more than 4000000 bytes"),
        (_holding(b""), "the file is empty"),
        (_holding(b" \n"), "the file is empty"),
        (_holding(b"name = \xff"), "byte 7 is not UTF-8"),
        (_holding(b"name = "), "not a TOML file"),
        (_holding(b"a = " + b"[" * 5000), "not a TOML file"),
        (_holding(b'format = "partita-soc/1"'), "name is missing"),
        (_holding(b"name = 2020-01-01"), "format is missing"),
    ],
)
def test_a_file_that_is_no_soc_is_refused_in_one_line_with_its_path(
    tmp_path: Path, prepare: Callable[[Path], None], message: str
) -> None:
    path = tmp_path / "chip.toml"
    prepare(path)
    with pytest.raises(SocError, match=message) as caught:
        load_soc(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_soc_that_names_an_unknown_support_file_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    text = (FOLDER / "presets" / "sd855-tflite.toml").read_text().replace('"tflite-gpu"', '"tflite-gpus"', 1)
    path = tmp_path / "chip.toml"
    path.write_text(text)
    with pytest.raises(SocError, match=r"units\[gpu\]\.support is 'tflite-gpus'; known: .*tflite-gpu"):
        load_soc(path)
