import json
from typing import Any

import pytest

from partita.devices import Soc, load_soc
from partita.errors import SocError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": "dsp"}, "co_execution.first is 'dsp', which is no unit; units: cpu, gpu"),
        ({"second": "gpu"}, "co_execution.second is 'gpu' too"),
        ({"pre_sync_us": None}, "co_execution.pre_sync_us is missing"),
    ],
)
def test_wrong_co_execution_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    content = json.loads(load_soc("sd855-tflite").to_json())
    merged = content["co_execution"] | change
    content["co_execution"] = {name: value for name, value in merged.items() if value is not None}
    with pytest.raises(SocError, match=message) as raised:
        Soc.from_json(json.dumps(content))
    assert "\n" not in str(raised.value)
