"""The table of large decoders: two figures a row, graphs from published sizes, and what cannot be predicted."""

from pathlib import Path

import pytest

from partita.studies.validation.decoders import decoder_graph, decoders
from partita.studies.validation.tables.aihub_llm import run_us
from partita.studies.validation.validate import validate

HEADER = "model,component,precision,device,runtime,context_length,tokens_per_second,ttft_ms_min,ttft_ms_max,tag,commit"
ELITE = "Snapdragon 8 Elite QRD"


def table(folder: Path, *rows: str) -> Path:
    path = folder / "llm.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


def test_a_row_gives_tokens_a_second_and_the_time_of_one_chunk(tmp_path: Path) -> None:
    row = f"llama_v3_2_1b_instruct,Llama,w4a16,{ELITE},genie,4096,53.6,37.1,1186,v0.46.1,52c080d245"
    done = validate(table(tmp_path, row))
    assert done.table.name == "aihub_llm"
    assert [(p.measure, p.measured) for p in done.predictions] == [("tokens/s", 53.6), ("ms", 37.1)]
    for prediction in done.predictions:
        assert 0.5 < prediction.predicted / prediction.measured < 2.5
        assert not prediction.in_sample


def test_rows_without_preset_or_sizes_or_of_another_precision_are_told(tmp_path: Path) -> None:
    done = validate(
        table(
            tmp_path,
            "llama_v3_2_1b_instruct,L,w4a16,Some Laptop,genie,4096,10,100,1000,v1,a",
            f"unheard_of_1b,U,w4a16,{ELITE},genie,4096,10,100,1000,v1,a",
            f"llama_v3_2_1b_instruct,L,w8a8,{ELITE},genie,4096,10,100,1000,v1,a",
        )
    )
    assert not done.predictions
    assert set(done.unpredicted) == {
        "no preset of Some Laptop", "the sizes of its decoder are not known", "no prediction of w8a8 for decoders",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "billions"),
    [("llama_v3_2_1b_instruct", 1.24), ("llama_v3_1_8b_instruct", 7.5), ("phi_3_5_mini_instruct", 3.7)],
)
def test_decoders_have_the_published_number_of_weights(name: str, billions: float) -> None:
    assert decoders()[name].parameters / 1e9 == pytest.approx(billions, rel=0.02)


def test_decoders_of_the_same_sizes_are_given_once() -> None:
    assert decoders()["llama_v3_taide_8b_chat"] == decoders()["llama_v3_1_8b_instruct"]
    assert decoders()["qwen2_5_7b_instruct"] == decoders()["qwen2_7b_instruct"]


def test_each_layer_keeps_its_keys_and_values() -> None:
    sizes = decoders()["llama_v3_2_1b_instruct"]
    graph = decoder_graph(sizes, 1, 31)
    assert sum(name.startswith("past.") for name in graph.inputs) == 2 * sizes.layers
    assert len(graph.outputs) == 1 + 2 * sizes.layers


def test_a_prompt_takes_longer_than_a_token_and_a_larger_decoder_longer_than_a_small_one() -> None:
    small, large = (decoders()[name] for name in ("llama_v3_2_1b_instruct", "llama_v3_1_8b_instruct"))
    token_us, prompt_us = (run_us(small, "sd8elite-qnn", tokens) for tokens in (1, 128))
    assert token_us < prompt_us < 128 * token_us
    assert run_us(large, "sd8elite-qnn", 1) > 4 * token_us
