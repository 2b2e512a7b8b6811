"""The encoder that trains in milliseconds."""

import pytest

from custom_nets.encoders import ENCODERS
from tests.custom_nets.tiny import TinyEncoder


@pytest.fixture
def tiny_encoder(monkeypatch):
    """Name of an encoder of a few channels, known during one test."""
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    return TinyEncoder.name
