from __future__ import annotations

import pytest

from custom_nets.encoders import ENCODERS
from tests.custom_nets.tiny import TinyEncoder


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """Name under which networks can be built on the tiny encoder."""
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    return TinyEncoder.name
