"""Blocks by their names: their kernels, and the law of four phones on them."""

from pathlib import Path

import pytest

from partita.errors import StudyError
from partita.studies.fitting.blocks import Blocks, fit, gathered, intervals_of
from partita.studies.validation.blocks import kernels, macs, parse
from partita.studies.validation.prediction import Prediction
from partita.studies.validation.table import read_records
from partita.studies.validation.tables.nnmeter_blocks import PHONES
from partita.studies.validation.validate import validate

HEADER = "block_key,pixel1_ms,pixel4_ms,pixel6_ms,xiaomi11_ms"
MEASURED = (
    "conv_112_16_16_1_1_hard_swish_5_nose,2.89245,1.3035,0.855833,1.08929",
    "conv_56_32_32_6_2_hard_swish_5_se,5.31332,2.69615,1.69488,2.52615",
    "transattn_7_160_hard_swish_4_ln,2.5027,1.1916,0.768234,1.25903",
    "transds_14_96_208_2_4,1.66286,0.793952,0.510233,0.892306",
    "transffn_8_248_4_hard_swish_ln,5.61586,2.71282,1.80042,3.35507",
)
"""Source: microsoft/nn-Meter, branch dev/hybrid-transformer, block look-up tables (MIT)."""


def table(folder: Path, *rows: str) -> Path:
    path = folder / "blocks.csv"
    path.write_text("\n".join((HEADER, *rows)) + "\n")
    return path


def predicted(folder: Path, *names: str) -> list[Prediction]:
    return list(validate(table(folder, *(f"{name},1,1,1,1" for name in names))).predictions)


def test_a_name_says_all_sizes_of_a_block() -> None:
    block = parse("conv_56_32_48_3_2_hard_swish_5_nose")
    assert (block.side, block.cin, block.cout, block.expansion, block.stride, block.window) == (56, 32, 48, 3, 2, 5)
    assert not block.squeezes
    assert parse("transattn_7_160_hard_swish_4_ln").cout == 160


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pool_56_32", "no kind 'pool' of block is known; there are: conv, "),
        ("conv_56_32", "has 2 parts after conv, expected side_cin_cout_"),
        ("transds_14_96_x_2_4", "cout is 'x', expected a whole number"),
        ("transds_0_96_96_2_4", "side is '0'"),
        ("transffn_8_248_4_relu_swish_ln", "hard is 'relu', expected hard"),
    ],
)
def test_a_name_that_is_none_is_told_why(name: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        parse(name)


def test_the_work_of_a_block_is_that_of_its_layers() -> None:
    expand, depthwise, project, shortcut = 8 * 8 * 16 * 64, 4 * 4 * 9 * 64, 4 * 4 * 64 * 24, 4 * 4 * 16 * 24
    squeeze, mean, pool = 2 * 64 * 16, 4 * 4 * 64, 4 * 4 * 4 * 16
    every = expand + depthwise + project + shortcut + squeeze + mean + pool
    assert macs(kernels(parse("transds_8_16_24_2_4"))) == every


def test_an_attention_multiplies_its_heads_with_each_other() -> None:
    tokens, wide, values = 49, 160, 160 * 4
    products = tokens * tokens * (wide + values)
    dense = tokens * wide * (2 * wide + values) + tokens * values * wide
    assert macs(kernels(parse("transattn_7_160_hard_swish_4_ln"))) == products + dense


def test_measured_blocks_are_predicted_within_a_fifth_on_all_phones(tmp_path: Path) -> None:
    found = validate(table(tmp_path, *MEASURED)).predictions
    assert {row.device for row in found} == set(PHONES)
    assert all(row.error < 0.2 for row in found)
    assert {row.level for row in found} == {"block"}


@pytest.mark.parametrize(
    "names",
    [
        [f"transds_{side}_96_208_2_4" for side in (4, 8, 14, 32, 64)],
        [f"transds_14_96_{cout}_2_4" for cout in (104, 208, 320, 1024)],
        [f"conv_56_32_48_{expansion}_2_hard_swish_5_se" for expansion in (1, 2, 4, 6, 12)],
        [f"transattn_{side}_160_hard_swish_4_ln" for side in (2, 7, 14, 32, 64)],
        [f"transffn_8_{cin}_4_hard_swish_ln" for cin in (48, 96, 248, 320, 1024)],
    ],
)
def test_more_work_is_never_predicted_faster(tmp_path: Path, names: list[str]) -> None:
    found = predicted(tmp_path, *names)
    for phone in PHONES:
        latencies = [row.predicted for row in found if row.device == phone]
        assert latencies == sorted(latencies)


def test_a_block_of_no_known_kind_is_counted_and_the_others_are_predicted(tmp_path: Path) -> None:
    found = validate(table(tmp_path, "pool_3_4,1,1,1,1", MEASURED[0]))
    assert found.unpredicted == {"no block of a known kind and size": 4}
    assert len(found.predictions) == 4


def test_a_latency_that_is_no_number_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"line 2: column 'pixel1_ms' holds 'fast'"):
        validate(table(tmp_path, "transds_14_96_208_2_4,fast,1,1,1"))


def test_a_fit_comes_closer_to_a_slower_phone_than_the_law_of_another(tmp_path: Path) -> None:
    data = gathered(read_records(table(tmp_path, *MEASURED)), "Pixel 4")
    slower = Blocks(data.blocks, data.latency_us * 3)
    error = abs(slower.predicted_us(fit(slower, turns=10)) / slower.latency_us - 1)
    assert error.max() < 0.1


def test_intervals_hold_their_own_prediction(tmp_path: Path) -> None:
    data = gathered(read_records(table(tmp_path, *MEASURED)), "Pixel 4")
    found, _ = intervals_of(data, 2 * data.latency_us)
    assert found["all"] == [0.5, 1.0]
