"""What several tests of prediction share."""

from __future__ import annotations

import pytest

from scripts.prediction.one_series import model_of
from tests.scripts.prediction.studies import LIVER, LUNG, NODULES, ORGANS, ROOT, options_of


@pytest.fixture
def _at_the_root(monkeypatch):
    """Stand where the configs' files are found."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("MONAI_FAIL_ON_DUPLICATE_CONFIG", "1")


@pytest.fixture(scope="session")
def lung_options(tmp_path_factory):
    """The lung bundle with a network that takes everything above 190 HU for nodule."""
    return options_of(LUNG, tmp_path_factory.mktemp("lung"), NODULES)


@pytest.fixture(scope="session")
def liver_options(tmp_path_factory):
    """The liver bundle with a network that takes 50 to 170 HU for liver, more for bone."""
    return options_of(LIVER, tmp_path_factory.mktemp("liver"), ORGANS)


@pytest.fixture
def _fresh_model():
    """Forget the model of this process afterwards."""
    yield
    model_of.cache_clear()
