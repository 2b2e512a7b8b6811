"""One series of the analytic chest for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.scripts.datasets.segments.written import ct, grid_in


@pytest.fixture(scope="session")
def series(tmp_path_factory):
    """The folder of a series, its headers in ascending order, and its grid."""
    folder = tmp_path_factory.mktemp("analytic") / "ct"
    images = ct(folder)
    return folder, images, grid_in(folder)
