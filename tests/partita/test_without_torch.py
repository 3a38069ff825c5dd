"""`from_torch` where torch is not installed."""

import pytest

import partita as pt
from partita.errors import ModelError


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("partita.torch_export.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"needs torch, which is not installed; install partita\[torch\]"):
        pt.from_torch(object(), ())
