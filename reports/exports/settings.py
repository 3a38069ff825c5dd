"""Settings files that ask other runtimes for the placement of a plan."""

from collections.abc import Iterable
from glob import escape
from typing import Any

from partita.devices import Soc, Unit
from partita.devices.providers import Provider, delegate_of, provider_of
from partita.graph.plan import Plan

DESIGNATORS = {"cpu": "cpu", "gpu": "gpu", "npu": "npu", "dsp": "accelerator"}
"""How ONNX Runtime's `session.layer_assignment_settings` calls a kind of unit."""
CPU_PROVIDER = "CPUExecutionProvider"
NO_PROVIDER = "no execution provider of ONNX Runtime drives this unit"
NO_DELEGATE = "no delegate of LiteRT drives this unit"


def onnxruntime_settings(plan: Plan, soc: Soc) -> dict[str, Any]:
    """`onnxruntime.json`: the providers in order of priority and the session's configuration entries.

    ONNX Runtime gives an operator to the first provider that takes it, so the units of the plan come before the host.
    """
    units = _used(plan, soc)
    ordered = sorted(units, key=lambda unit: unit.name == soc.host)
    found = {unit.name: provider_of(unit, _main_dtype(plan, unit)) for unit in ordered}
    rules = "; ".join(f"{DESIGNATORS[unit.kind]}(={unit.name})" for unit in ordered)
    entries = {"session.layer_assignment_settings": rules, "session.record_ep_graph_assignment_info": "1"}
    if all(provider is not None and provider.name != CPU_PROVIDER for provider in found.values()):
        entries["session.disable_cpu_ep_fallback"] = "1"
    return {
        "format": "partita-onnxruntime-settings/1",
        "model": "model.onnx",
        "providers": [_provider(unit, found[unit.name]) for unit in ordered],
        "session_config_entries": entries,
        "graph_optimization_level": "ORT_ENABLE_ALL",
    }


def _provider(unit: Unit, provider: Provider | None) -> dict[str, Any]:
    if provider is None:
        return {"unit": unit.name, "provider": None, "options": {}, "source": NO_PROVIDER}
    return {
        "unit": unit.name,
        "provider": provider.name,
        "options": provider.options,
        "source": provider.source,
    }


def litert_settings(plan: Plan, soc: Soc) -> dict[str, Any]:
    """`litert.json`: for each unit its delegate, the flags of LiteRT's tools, and which operators it should get.

    Operators are named as the ONNX model names them: a converter to LiteRT numbers them anew.
    """
    return {
        "format": "partita-litert-settings/1",
        "num_threads": sum(soc.host_unit.cores.values()) or None,
        "delegates": [_delegate(plan, unit) for unit in _used(plan, soc)],
    }


def _delegate(plan: Plan, unit: Unit) -> dict[str, Any]:
    segments = [segment for segment in plan.segments if segment.unit == unit.name]
    runs = [[name for node in segment.operators for name in plan.placed[node].covers] for segment in segments]
    delegate = delegate_of(unit, _main_dtype(plan, unit))
    flags = dict(delegate.flags) if delegate is not None else {}
    if delegate is not None and delegate.counts_partitions:
        flags["max_delegated_partitions"] = str(len(runs))
    if delegate is not None and delegate.sets_least_nodes:
        flags["min_nodes_per_partition"] = str(min(map(len, runs)))
    return {
        "unit": unit.name,
        "delegate": delegate.name if delegate is not None else None,
        "flags": flags,
        "source": delegate.source if delegate is not None else NO_DELEGATE,
        "partitions": runs,
    }


def pins(plan: Plan) -> str:
    """`pins.txt`: one line OPERATOR=UNIT for every operator of the model, as `partita place --pin @pins.txt` reads."""
    lines = [f"{escape(name)}={operator.unit}" for operator in plan.operators for name in operator.covers]
    return "".join(f"{line}\n" for line in lines)


def _used(plan: Plan, soc: Soc) -> tuple[Unit, ...]:
    """The units that run something, in the Soc's order."""
    names = {segment.unit for segment in plan.segments}
    return tuple(unit for unit in soc.units if unit.name in names)


def _main_dtype(plan: Plan, unit: Unit) -> str:
    """What most of the unit's operators compute in."""
    return _most_frequent(operator.dtype for operator in plan.operators if operator.unit == unit.name)


def _most_frequent(names: Iterable[str]) -> str:
    listed = list(names)
    return max(dict.fromkeys(listed), key=listed.count)
