"""The tiny encoder, known during every test here."""

import pytest

from custom_nets.encoders import ENCODERS
from tests.custom_nets.tiny import TinyEncoder


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
