"""The optional libraries that fits of phone CPUs and GPUs need."""

from importlib.util import find_spec

from partita.errors import StudyError

LIBRARIES = ("scipy", "lightgbm")


def check_installed() -> None:
    """StudyError if one is missing, with how to install it."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise StudyError(
            f"fitting a phone's CPU or GPU needs {' and '.join(missing)}: pip install 'partita[fit]' "
            "(using what was fitted does not)"
        )
