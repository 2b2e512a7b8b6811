"""NIfTI files in every form of the standard, beside nibabel's reading."""

import nibabel
import numpy as np
import pytest

from scripts.volumes.readers import read_volume
from tests.analytic.independent import assert_chest, same_places
from tests.analytic.nifti_files import RAS, UNITS, Form, write_nifti
from tests.analytic.phantom import ORIENTATIONS, grid_of

COARSE = grid_of(spacing=(7, 6, 8))
NAMES = ("scan.nii", "scan.nii.gz")
FORMS = {
    "qform and sform": Form(),
    "qform only": Form(sform=0),
    "sform only": Form(qform=0),
    "aligned sform": Form(qform=1, sform=2),
    "big endian": Form(big_endian=True),
    "float": Form(dtype="f4"),
    "double": Form(dtype="f8"),
    "32 bits": Form(dtype="i4"),
    "unsigned": Form(dtype="u2", inter=-1024),
    "slope 0.5": Form(slope=0.5),
    "slope and intercept": Form(slope=0.5, inter=-1024, dtype="u2"),
    "slope 0 means none": Form(slope=0),
    "unknown units": Form(units="unknown"),
    "four dimensions, the last 1": Form(dim=4),
}
RARER = {
    "NIfTI-2": Form(version=2),
    "NIfTI-2, big endian": Form(version=2, big_endian=True),
    "metres": Form(units="m"),
    "microns": Form(units="micron"),
    "header extension": Form(extension=b"<a>header extension</a>"),
    "voxels further on": Form(offset=1024),
}


def assert_same_by_nibabel(path, grid, form):
    """nibabel finds the chest too: the file is what its form says."""
    image = nibabel.load(path)
    affine = np.array(image.affine)
    affine[:3] /= UNITS[form.units][1]
    assert same_places(grid, grid.shape, RAS @ affine)
    found = np.asarray(image.dataobj).reshape(grid.shape[::-1], order="F")
    np.testing.assert_array_equal(found.transpose(2, 1, 0), grid.hu())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_nifti_in_any_form_then_every_hu_at_its_position(tmp_path, form, name):
    path = write_nifti(tmp_path / name, COARSE, form)
    assert_same_by_nibabel(path, COARSE, form)
    assert_chest(read_volume(path), COARSE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", RARER.values(), ids=RARER)
def test_nifti_in_a_rarer_form_then_every_hu_at_its_position(tmp_path, form, name):
    path = write_nifti(tmp_path / name, COARSE, form)
    assert_same_by_nibabel(path, COARSE, form)
    assert_chest(read_volume(path), COARSE)


@pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_nifti_in_any_orientation_then_every_hu_at_its_position(tmp_path, orientation, descending):
    grid = grid_of(orientation, spacing=(7, 6, 8), descending=descending)
    for form in (Form(), Form(sform=0), Form(qform=0)):
        path = write_nifti(tmp_path / "scan.nii", grid, form)
        assert_same_by_nibabel(path, grid, form)
        assert_chest(read_volume(path), grid)


def test_nifti_with_neither_form_then_refused_with_the_reason(tmp_path):
    path = write_nifti(tmp_path / "scan.nii", COARSE, Form(qform=0, sform=0))
    with pytest.raises(ValueError, match="form") as caught:
        read_volume(path)
    assert "apart" not in str(caught.value)


def test_nifti_whose_scanner_forms_differ_then_refused(tmp_path):
    path = write_nifti(tmp_path / "scan.nii", COARSE, Form(sform_shift_mm=5))
    with pytest.raises(ValueError, match="qform and sform"):
        read_volume(path)
