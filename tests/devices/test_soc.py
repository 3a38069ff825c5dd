"""The Soc: what it refuses, how it names what is wrong, and its links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partita.devices import Soc
from partita.errors import SocError
from tests.devices.example_soc import changed, content, link, make, number


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("chip", None, r"example.toml: chip is missing"),
        ("colour", "red", r"example.toml: colour is not a known field"),
        ("units.2.call_us.value", "fast", r"units\[npu\]\.call_us\.value: .*number.*is 'fast'"),
        ("units.2.call_us.value", True, r"units\[npu\]\.call_us\.value: .*number"),
        ("units.2.call_us.value", -1, r"units\[npu\]\.call_us: 0 <= low <= value <= high must hold"),
        ("units.2.call_us.value", float("inf"), r"units\[npu\]\.call_us\.value: .*finite"),
        ("units.2.call_us.low", 99.0, r"units\[npu\]\.call_us: 0 <= low <= value <= high must hold"),
        ("units.2.call_us.source", "", r"units\[npu\]\.call_us\.source: .*at least 1 character"),
        ("units.2.call_us.kind", "rumour", r"units\[npu\]\.call_us\.kind: .*'vendor', 'measured'"),
        ("units.2.bandwidth_gb_per_s", number(0), r"units\[npu\]\.bandwidth_gb_per_s: must be above 0, is 0"),
        ("units.2.bandwidth_gb_per_s", number(39), r"units\[npu\] moves 39 GB/s alone, more than dram.peak_gb_per_s"),
        ("units.2.peak_gmac_per_s.float16", None, r"units\[npu\]: peak_gmac_per_s.float16 is missing"),
        ("units.2.peak_gmac_per_s.float32", number(9), r"units\[npu\]: peak_gmac_per_s.float32 is not known"),
        ("units.2.utilisation.default", None, r"units\[npu\]: utilisation.default is missing"),
        ("units.2.utilisation.convs", number(1), r"units\[npu\]: utilisation.convs is not known; there is: default, "),
        ("units.2.on_chip_gb_per_s", None, r"on_chip_bytes and on_chip_gb_per_s must be given together"),
        ("units.2.on_chip_gb_per_s", number(1), r"on_chip_gb_per_s must be at least bandwidth_gb_per_s"),
        ("units.2.spread", number(0.9), r"spread must be at least 1, is 0.9"),
        ("units.2.dtypes", ["float12"], r"units\[npu\]\.dtypes\[0\]: .*'float32'.*is 'float12'"),
        ("units.2.name", "cpu", r"unit 'cpu' occurs twice"),
        ("units", [], r"units: .*at least 1 item"),
        ("host", "dsp", r"host is 'dsp', which is no unit; units: cpu, gpu, npu"),
        ("links.1.target", "dsp", r"links\[1\].target is 'dsp', which is no unit"),
        ("links.1.target", "gpu", r"links\[1\] joins 'gpu' to itself"),
        ("links.1", link("cpu", "gpu"), r"link 'cpu -> gpu' occurs twice"),
        ("format", "partita-soc/9", r"format: .*'partita-soc/1', is 'partita-soc/9'"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_expected_on_one_line(path: str, value: object, message: str) -> None:
    with pytest.raises(SocError, match=message) as caught:
        make(changed(path, value))
    assert "\n" not in str(caught.value)


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(SocError, match="plan: invalid JSON"):
        Soc.from_json("{", where="plan")


def test_the_json_form_gives_the_same_soc_back() -> None:
    soc = make()
    again = Soc.from_json(soc.to_json())
    assert again == soc
    assert again.digest == soc.digest
    assert again.to_json() == soc.to_json()


@given(path=st.sampled_from(["units.0.call_us", "units.2.tile.m", "dram.peak_gb_per_s", "links.3.sync_us"]),
       factor=st.floats(1.01, 3))  # fmt: skip
def test_any_other_number_gives_another_digest(path: str, factor: float) -> None:
    original = make()
    assert make(changed(path, number(77 * factor))).digest != original.digest


def test_the_order_of_fields_does_not_change_the_digest() -> None:
    assert make(dict(reversed(content().items()))).digest == make().digest


def test_a_changed_copy_has_its_own_digest_and_links() -> None:
    soc = make()
    before = soc.digest, soc.link("cpu", "gpu").sync_us.value
    copy = soc.model_copy(update={"links": (), "name": "other"})
    assert before[0] == soc.digest != copy.digest
    with pytest.raises(SocError, match="SoC 'other' has no link cpu -> gpu"):
        copy.link("cpu", "gpu")


def test_an_unknown_unit_is_answered_with_the_known_ones() -> None:
    with pytest.raises(SocError, match="no unit 'tpu'; it has: cpu, gpu, npu"):
        make().unit_named("tpu")


def test_units_without_a_link_of_their_own_are_joined_through_the_host() -> None:
    through = make().link("gpu", "npu")
    assert through.sync_us.value == 20 + 30
    assert through.copy_gb_per_s.value == pytest.approx(1 / (1 / 4 + 1 / 6))
    assert through.sync_us.kind == "derived"


def test_a_link_of_their_own_is_preferred_to_the_way_through_the_host() -> None:
    fields = changed("links.1", link("gpu", "npu", 1, 9))
    assert make(fields).link("gpu", "npu").sync_us.value == 1


def test_without_any_way_between_two_units_the_error_says_which_links_would_do() -> None:
    fields = changed("links.1", link("gpu", "npu"))
    with pytest.raises(SocError, match="has no link gpu -> cpu, nor both"):
        make(fields).link("gpu", "cpu")


def test_a_class_without_a_utilisation_takes_the_default() -> None:
    unit = make().unit_named("cpu")
    assert unit.utilisation_of("softmax").value == 0.5
    assert unit.utilisation_of("dense_conv").value == 0.8
