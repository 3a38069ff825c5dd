"""The rounding noise that an operator's arithmetic is expected to add: facts by dtype and class, from measurements."""

from functools import cache

from partita.devices.load import FOLDER, read_toml
from partita.devices.number import Number
from partita.devices.soc import DEFAULT
from partita.errors import SocError

EXACT = "float32"
"""What noise is measured against."""


def noise_power(dtype: str, op_class: str) -> float:
    """Power of the noise over the power of the result; SocError for a dtype of which nothing is known."""
    if dtype == EXACT:
        return 0.0
    known = _facts().get(dtype)
    if known is None:
        raise SocError(f"devices/noise.toml knows nothing of {dtype}; it knows: {', '.join(_facts())}")
    return known.get(op_class, known[DEFAULT]).value


@cache
def _facts() -> dict[str, dict[str, Number]]:
    content = read_toml(FOLDER / "noise.toml", "devices/noise.toml")
    return {
        dtype: {op_class: Number.model_validate(number) for op_class, number in numbers.items()}
        for dtype, numbers in content.items()
    }
