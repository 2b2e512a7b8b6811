"""One case of the analytic chest for the tests of labels with names."""

from __future__ import annotations

import shutil

import pytest

from tests.scripts.datasets.segments.written import ct


@pytest.fixture(scope="session")
def analytic(tmp_path_factory):
    """The folder of a series and its headers in ascending order."""
    folder = tmp_path_factory.mktemp("analytic") / "ct"
    return folder, ct(folder)


@pytest.fixture
def case(tmp_path, analytic):
    """A source with one case, whose CT lies in ``ct/``; and its headers."""
    shutil.copytree(analytic[0], tmp_path / "source" / "a" / "ct")
    return tmp_path / "source" / "a", analytic[1]
