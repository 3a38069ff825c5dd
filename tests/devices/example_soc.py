"""A small Soc for tests, and a way to change one of its fields."""

import copy
import json
from typing import Any

from partita.devices import Soc


def number(value: float, **more: float) -> dict[str, Any]:
    return {"value": value, "kind": "estimated", "source": "a test", **more}


def unit(name: str, kind: str, dtypes: tuple[str, ...], **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "title": name,
        "dtypes": list(dtypes),
        "layout": "NCHW",
        "support": "onnxruntime-cpu",
        "fusions": "onnxruntime-cpu",
        "call_us": number(10, low=5, high=40),
        "dispatch_us": number(2, low=1, high=3),
        "peak_gmac_per_s": {dtype: number(100, low=50, high=150) for dtype in dtypes},
        "peak_gop_per_s": {dtype: number(20) for dtype in dtypes},
        "utilisation": {"default": number(0.5), "dense_conv": number(0.8, low=0.6, high=0.9)},
        "bandwidth_gb_per_s": number(10, low=8, high=12),
        "layout_gb_per_s": number(5),
        "cast_gb_per_s": number(8),
        "spread": number(1.2),
        **more,
    }


def link(source: str, target: str, sync_us: float = 20, copy_gb_per_s: float = 4) -> dict[str, Any]:
    return {
        "source": source,
        "target": target,
        "sync_us": number(sync_us),
        "copy_gb_per_s": number(copy_gb_per_s),
    }


def content() -> dict[str, Any]:
    """The fields of a Soc with a CPU (float32, NCHW), a GPU (float16, NHWC) and an NPU (float16, NHWC)."""
    return {
        "format": "partita-soc/1",
        "name": "example",
        "chip": "none",
        "runtime": "none",
        "description": "",
        "host": "cpu",
        "inference_us": number(0),
        "units": [
            unit("cpu", "cpu", ("float32",)),
            unit("gpu", "gpu", ("float16", "float32"), layout="NHWC", support="qnn-gpu", fusions="qnn-gpu"),
            unit(
                "npu", "npu", ("float16",), layout="NHWC", support="qnn-htp:v75", fusions="qnn-htp",
                tile={"m": number(32), "n": number(32), "k": number(32)},
                on_chip_bytes=number(1e6), on_chip_gb_per_s=number(40),
            ),
        ],
        "links": [link("cpu", "gpu"), link("gpu", "cpu"), link("cpu", "npu", 30, 6), link("npu", "cpu", 30, 6)],
        "dram": {"peak_gb_per_s": number(40), "share_of_one": number(0.7), "share_of_several": number(0.85)},
    }  # fmt: skip


def changed(path: str, value: Any) -> dict[str, Any]:
    """The fields with the one at `path` (such as "units.0.call_us") set to `value`; None takes it away."""
    fields: dict[str, Any] = copy.deepcopy(content())
    holder: Any = fields
    *parents, last = path.split(".")
    for key in parents:
        holder = holder[int(key)] if isinstance(holder, list) else holder[key]
    if value is None:
        del holder[last]
    else:
        holder[int(last) if isinstance(holder, list) else last] = value
    return fields


def make(fields: dict[str, Any] | None = None) -> Soc:
    return Soc.from_json(json.dumps(content() if fields is None else fields), where="example.toml")
