"""Models that every test of the analytic chest shares, built once."""

from __future__ import annotations

import contextlib

import pytest

from scripts.prediction.network.model import Model
from tests.analytic.threshold_bundles import threshold_options
from tests.scripts.prediction.studies import LIVER, LUNG, ROOT


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    """Stand where the configs' files are found."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def lung_model(tmp_path_factory):
    """The lung bundle, which finds the phantom's nodule."""
    with contextlib.chdir(ROOT):
        return Model(threshold_options(LUNG, tmp_path_factory.mktemp("analytic-lung")))


@pytest.fixture(scope="session")
def liver_model(tmp_path_factory):
    """The liver bundle, which takes the phantom's nodule for the liver."""
    with contextlib.chdir(ROOT):
        return Model(threshold_options(LIVER, tmp_path_factory.mktemp("analytic-liver")))
