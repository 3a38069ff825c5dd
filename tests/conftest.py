"""Options of the test run."""

import pytest
from hypothesis import settings

# A busy machine may take its time: speed is measured in benchmarks/, and the same cases are drawn every time.
settings.register_profile("partita", deadline=None, derandomize=True)
settings.load_profile("partita")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="renew the golden files; look at them afterwards")
