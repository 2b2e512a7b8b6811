import pytest

from tests.scripts.retraining.adapt.scenes import make_scene


@pytest.fixture
def scene(monkeypatch, tmp_path):
    """A CT, its full reference, one drawn slice of it, and a network that was never trained."""
    return make_scene(monkeypatch, tmp_path)
