"""The per-layer estimate of Arm's compiler vela: `vela --verbose-performance`, a CSV in NPU clocks."""

from collections.abc import Mapping, Sequence

from partita.devices.profiles.profile import Profile, Row, number, profile_format
from partita.devices.profiles.read import parse_csv

COLUMNS = ("Op Cycles", "NNG Operator", "Name")
ORIGINAL = ("Original Operator", "TFLite_operator")
"""The column of the model's operator is named by the second in releases before 4."""


def _recognises(text: str) -> bool:
    header = text.lstrip().partition("\n")[0]
    return "NNG Operator" in header and "Op Cycles" in header


@profile_format("vela", "vela per-layer performance (CSV)", _recognises)
def read(text: str, where: str) -> Profile:
    """One row per operator of the model: the NPU's operations that it was lowered to are added up.

    The estimate is in clocks; whoever uses it says at which frequency the NPU runs.
    """
    layers = parse_csv(text, where, COLUMNS)
    groups: list[list[Mapping[str, str]]] = []
    for layer in layers:
        if groups and _continues(groups[-1][0], layer):
            groups[-1].append(layer)
        else:
            groups.append([layer])
    rows = tuple(_row(group, order, where) for order, group in enumerate(groups))
    return Profile(format="vela", rows=rows, notes=("vela estimates clocks; nothing was measured on a device",))


def _original(layer: Mapping[str, str]) -> str:
    return next((layer[column] for column in ORIGINAL if column in layer), "")


def _continues(first: Mapping[str, str], layer: Mapping[str, str]) -> bool:
    """Whether a layer is part of the same operator: of its name, or of a lowering whose parts are numbered."""
    if _original(first) != _original(layer):
        return False
    if layer["Name"] == first["Name"]:
        return True
    is_lowered = first["NNG Operator"] != _original(first)
    return is_lowered and layer["Name"].startswith(f"{_stem(first)}_")


def _stem(layer: Mapping[str, str]) -> str:
    return layer["Name"].rpartition("_")[0] or layer["Name"]


def _row(layers: Sequence[Mapping[str, str]], order: int, where: str) -> Row:
    first = layers[0]
    is_lowered = first["NNG Operator"] != _original(first) and len(layers) > 1
    return Row(
        name=_stem(first) if is_lowered and layers[-1]["Name"] != first["Name"] else first["Name"],
        op=_original(first) or first["NNG Operator"],
        order=order,
        unit=first.get("Target", "NPU").lower() or None,
        cycles=sum(number(layer, "Op Cycles", f"{where}: layer {layer['Name']!r}") or 0.0 for layer in layers),
    )
