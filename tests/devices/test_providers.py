import pytest

from partita.devices import load_soc, preset_names
from partita.devices.load import names_in
from partita.devices.providers import _tables, delegate_of, provider_of


def test_a_qualcomm_npu_is_driven_with_the_number_of_its_generation() -> None:
    provider = provider_of(load_soc("sd8gen3-qnn").unit_named("npu"), "float16")
    assert provider is not None
    assert provider.name == "QNNExecutionProvider"
    assert provider.options == {"backend_type": "htp", "soc_model": "57", "enable_htp_fp16_precision": "1"}


def test_float16_is_asked_for_only_where_the_plan_computes_in_it() -> None:
    gpu = load_soc("sd855-tflite").unit_named("gpu")
    float16, float32 = delegate_of(gpu, "float16"), delegate_of(gpu, "float32")
    assert float16 is not None
    assert float32 is not None
    assert set(float16.flags) - set(float32.flags) == {"gpu_precision_loss_allowed"}


def test_a_unit_that_nothing_drives_has_no_provider() -> None:
    npu = load_soc("rk3588-rknn").unit_named("npu")
    assert provider_of(npu, "float16") is None
    assert delegate_of(npu, "float16") is None


@pytest.mark.parametrize("name", preset_names())
def test_every_option_of_every_preset_is_filled(name: str) -> None:
    for unit in load_soc(name).units:
        provider = provider_of(unit, unit.dtypes[0])
        assert provider is None or all(text and "{" not in text for text in provider.options.values())


def test_the_table_names_only_support_files_that_there_are() -> None:
    named = {name for runtime in ("onnxruntime", "litert") for name in _tables()[runtime]}
    assert named <= set(names_in("support"))
