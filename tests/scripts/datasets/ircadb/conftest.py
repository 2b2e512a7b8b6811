"""A tiny cohort in the layout of 3D-IRCADb-01."""

import pytest

from tests.scripts.datasets.ircadb.dicom_images import (
    hu_volume,
    images,
    masks,
    patient_files,
    write_cohort,
)
from tests.scripts.datasets.ircadb.zips import write_files


@pytest.fixture
def source(tmp_path):
    """Patient 2 is numbered against z; patient 3 has no kidneys; 4 is as 1."""
    write_cohort(tmp_path / "in", 4)
    descending = images(hu_volume(2), descending=True)
    write_files(tmp_path / "in", patient_files(2, ct=descending, descending=True))
    bare = {name: mask for name, mask in masks().items() if "idney" not in name}
    return write_files(tmp_path / "in", patient_files(3, structures=bare))
