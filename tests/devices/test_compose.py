"""Soc files that build on another."""

from itertools import pairwise
from pathlib import Path

import pytest

from partita.devices import load_soc
from partita.devices.compose import composed
from partita.errors import SocError

HEAD = 'base = "sd8gen3-qnn"\nname = "mine"\n'


def test_a_number_is_taken_whole_so_that_no_range_of_the_base_stays_behind() -> None:
    base = {"x": {"value": 1, "low": 0, "high": 2, "source": "a"}}
    assert composed(base, {"x": {"value": 5, "source": "b"}}) == {"x": {"value": 5, "source": "b"}}


def test_a_fit_is_taken_whole_so_that_a_scaled_law_has_none() -> None:
    law = {"speed": 1, "fit": {"int8": {"models": ["a"]}, "float16": {"models": ["b"]}}}
    assert composed(law, {"speed": 2, "fit": {}}) == {"speed": 2, "fit": {}}
    assert composed(law, {"fit": {"int8": {"models": ["c"]}}})["fit"] == {"int8": {"models": ["c"]}}
    assert composed(law, {"speed": 2})["fit"] == law["fit"]


def test_npus_scaled_from_a_fitted_one_tell_no_fit_of_their_own() -> None:
    laws = {name: load_soc(name).unit_named("npu").npu_law for name in ("sd8gen3-qnn", "sd8gen2-qnn", "sd8elite-qnn")}
    assert {name: len(law.fit) for name, law in laws.items() if law is not None} == {
        "sd8gen3-qnn": 3, "sd8gen2-qnn": 0, "sd8elite-qnn": 0,
    }  # fmt: skip


def test_units_and_links_are_matched_by_name_and_new_ones_come_last() -> None:
    base = {"units": [{"name": "a", "x": 1}, {"name": "b", "x": 2}], "links": [{"source": "a", "target": "b", "y": 1}]}
    over = {"units": [{"name": "c", "x": 3}, {"name": "b", "x": 9}], "links": [{"source": "a", "target": "b", "y": 2}]}
    assert composed(base, over) == {
        "units": [{"name": "a", "x": 1}, {"name": "b", "x": 9}, {"name": "c", "x": 3}],
        "links": [{"source": "a", "target": "b", "y": 2}],
    }


def test_lists_without_names_are_taken_whole() -> None:
    assert composed({"dtypes": ["float16"]}, {"dtypes": ["float32"]}) == {"dtypes": ["float32"]}


def test_a_file_may_build_on_a_preset_and_say_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        HEAD + '[[units]]\nname = "npu"\ndispatch_us = { value = 9, kind = "measured", source = "my harness" }\n'
    )
    mine, base = load_soc(path), load_soc("sd8gen3-qnn")
    assert mine.name == "mine"
    assert mine.unit_named("npu").dispatch_us.value == 9
    assert mine.unit_named("npu").call_us == base.unit_named("npu").call_us
    assert mine.unit_named("cpu") == base.unit_named("cpu")
    assert mine.links == base.links


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "sd9"\n', "base is 'sd9', which is no preset; presets: "),
        ("base = 3\n", "base is 3, which is no preset"),
        ("base = []\n", r"base is \[\], which is no preset"),
        ('base = ["sd8gen3-qnn", 3]\n', "base is 3, which is no preset"),
        ('base = "mine.toml"\n', "base is 'mine.toml', which builds on this very file; name another"),
        ('base = "chips/abacus"\n', "base is 'chips/abacus', which is no preset; .*parts: .*chips/rpi5"),
        (HEAD + "speed = 3\n", "speed is not a known field"),
        (HEAD + '[[units]]\nname = "npu"\nsupport = "abacus"\n', r"units\[npu\].support is 'abacus'; known: "),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SocError, match=message) as caught:
        load_soc(path)
    assert "\n" not in str(caught.value)


def test_the_fast_chips_of_one_family_are_faster_in_every_figure_of_the_npu() -> None:
    socs = [load_soc(name) for name in ("sd888-qnn", "sd8gen2-qnn", "sd8gen3-qnn", "sd8elite-qnn")]
    npus = [soc.unit_named("npu") for soc in socs]
    for slow, fast in pairwise(npus):
        assert slow.peak_gmac_per_s["int8"].value < fast.peak_gmac_per_s["int8"].value
        assert slow.bandwidth_gb_per_s.value < fast.bandwidth_gb_per_s.value
        assert slow.call_us.value > fast.call_us.value
        assert slow.support < fast.support


def test_a_file_may_build_on_a_file_that_builds_on_another(tmp_path: Path) -> None:
    (tmp_path / "house.toml").write_text('base = "sd8gen2-qnn"\nname = "house"\ndescription = "of the house"\n')
    (tmp_path / "mine.toml").write_text('base = "house.toml"\nname = "mine"\n')
    mine = load_soc(tmp_path / "mine.toml")
    assert (mine.name, mine.description) == ("mine", "of the house")
    assert mine.units == load_soc("sd8gen2-qnn").units


def test_of_several_bases_the_later_stands_over_the_earlier(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('base = "sd8gen3-qnn"\nname = "a"\ndescription = "a"\n')
    (tmp_path / "b.toml").write_text('description = "b"\n')
    (tmp_path / "mine.toml").write_text('base = ["a.toml", "b.toml"]\n')
    mine = load_soc(tmp_path / "mine.toml")
    assert (mine.name, mine.description) == ("a", "b")
