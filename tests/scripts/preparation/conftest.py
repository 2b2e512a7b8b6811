"""A tiny cohort, and the same prepared."""

import pytest

from scripts.preparation.cohort import prepare_cohort
from tests.scripts.datasets.luna16.cohort import request, several


@pytest.fixture
def cohort(tmp_path):
    return several(tmp_path / "luna")


@pytest.fixture
def prepared(cohort, tmp_path):
    prepare_cohort(request(cohort, tmp_path / "out"))
    return tmp_path / "out"
