"""prepare folder, luna16 and ircadb on the analytic chest: HU, label and place in LPS order."""

import numpy as np
import pytest
from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless

from scripts.datasets.folder.dataset import FolderDataSet
from scripts.datasets.ircadb.ircadb_dataset import Ircadb
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.preparation.cases import CaseTask, prepare_case
from scripts.preparation.prepare_options import SliceOptions
from tests.analytic.dicom_files import Encoding, write_series
from tests.analytic.independent import assert_chest, centroid_of
from tests.analytic.metaimage_files import write_metaimage, write_nrrd
from tests.analytic.nifti_files import Form, write_nifti
from tests.analytic.phantom import CENTRE, CENTROID, LUNGS, ORIENTATIONS, VOLUME_ML, Grid, grid_of

UID = "1.2.840.113.7"
SPACING, USUAL = (4, 4, 5), Encoding()
PLACES = pytest.mark.parametrize("descending", [False, True], ids=["ascending", "descending"])
WRITERS = {
    "image.nii.gz": write_nifti,
    "image.mhd": write_metaimage,
    "image.mha": write_metaimage,
    "image.nrrd": write_nrrd,
    "image": write_series,
}
NO_HU = {
    "HU + 1024": lambda hu: hu + 1024,
    "0 to 255": lambda hu: (np.clip(hu, -1000, 400) + 1000) * 255 // 1400,
    "0 to 1": lambda hu: (hu > 0).astype(int),
}


class MaskGrid(Grid):
    """The right mask in place of HU: the writers write it with 0 and this value."""

    value = 1

    def hu(self):
        return np.asarray(super().nodule() * self.value, np.int16)


class WhiteMask(MaskGrid):
    value = 255


class Lungs(Grid):
    """As in seg-lungs-LUNA16: 4 in the right lung, 3 in the left one."""

    def hu(self):
        values = np.zeros(self.shape, np.int16)
        for number, (centre, radii) in zip((4, 3), LUNGS, strict=True):
            away = (self.points() - CENTRE - centre) / np.array(radii)
            values[(away**2).sum(axis=-1) <= 1] = number
        return values


def labels_of(grid, kind=MaskGrid):
    return kind(grid.shape, grid.affine)


def assert_labelled(labelled, grid):
    """In LPS order, with the chest's HU and the nodule's voxels in their places."""
    assert_chest(labelled.volume, grid)
    found = Grid(labelled.volume.hu.shape, labelled.volume.affine_lps)
    directions = found.affine[:3, :3]
    np.testing.assert_array_equal(np.abs(directions).argmax(axis=0), [0, 1, 2])
    assert (directions.diagonal() > 0).all()
    mask = labels_of(grid).hu_near(found.points())
    np.testing.assert_array_equal(labelled.label, mask)
    assert mask.sum() * found.voxel_ml == pytest.approx(VOLUME_ML, rel=0.02)


def read_one(data_set, source):
    data_set = data_set.at(source)
    listing = data_set.find(source)
    assert not listing.problems
    (scan,) = listing.scans
    return data_set.read(scan)


@PLACES
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_folder_in_any_orientation_then_hu_and_label_in_place(tmp_path, orientation, descending):
    grid = grid_of(orientation, spacing=SPACING, descending=descending)
    write_series(tmp_path / "a" / "image", grid)
    write_nifti(tmp_path / "a" / "label.nii.gz", labels_of(grid))
    assert_labelled(read_one(FolderDataSet(), tmp_path), grid)


@pytest.mark.parametrize("image", WRITERS)
def test_folder_of_any_format_then_hu_and_label_in_place(tmp_path, image):
    grid = grid_of("oblique about x", spacing=SPACING)
    WRITERS[image](tmp_path / "a" / image, grid)
    write_nrrd(tmp_path / "a" / "label.nrrd", labels_of(grid.reversed()), space="RAS")
    assert_labelled(read_one(FolderDataSet(kind="instances"), tmp_path), grid)


def luna16(folder, grid, **changes):
    """One scan with the nodule's row in annotations.csv, and its mask."""
    write_metaimage(folder / "luna" / "subset0" / f"{UID}.mhd", grid, **changes)
    write_nifti(folder / "masks" / f"{UID}.nii.gz", labels_of(grid))
    x, y, z = CENTROID
    row = f"{UID},{x},{y},{z},24.0"
    text = f"seriesuid,coordX,coordY,coordZ,diameter_mm\n{row}\n"
    (folder / "luna" / "annotations.csv").write_text(text)
    return folder / "luna"


@PLACES
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_luna16_in_any_orientation_then_hu_and_label_in_place(tmp_path, orientation, descending):
    grid = grid_of(orientation, spacing=SPACING, descending=descending)
    source = luna16(tmp_path, grid)
    labelled = read_one(Luna16(label="masks", masks=tmp_path / "masks"), source)
    assert_labelled(labelled, grid)
    assert labelled.lung[labelled.label > 0].all()
    ball = read_one(Luna16(), source)
    centre = centroid_of(ball.label > 0, ball.volume.affine_lps)
    np.testing.assert_allclose(centre, CENTROID, atol=0.6)


@pytest.mark.parametrize("values", NO_HU.values(), ids=NO_HU)
def test_luna16_of_values_that_are_no_hu_then_refused(tmp_path, values):
    class Other(Grid):
        def hu(self):
            return np.asarray(values(super().hu().astype(int)), np.int16)

    grid = grid_of(spacing=SPACING)
    source = luna16(tmp_path, Other(grid.shape, grid.affine))
    write_metaimage(source / "seg-lungs-LUNA16" / f"{UID}.mhd", labels_of(grid, Lungs))
    data_set = Luna16(label="masks", masks=tmp_path / "masks")
    (scan,) = data_set.find(source).scans
    task = CaseTask(data_set, scan, tmp_path / "out", SliceOptions("all"))
    assert "values must be HU" in str(prepare_case(task).problem)


def ircadb(folder, grid, encoding=USUAL, **changes):
    """One patient whose liver is the nodule; file names run with the slices, as there."""
    patient = folder / "3Dircadb1.1"
    names = "image_{}".format
    write_series(patient / "PATIENT_DICOM", grid, encoding, names=names, **changes)
    masks = labels_of(grid, WhiteMask)
    write_series(patient / "MASKS_DICOM" / "liver", masks, Encoding(signed=False), names=names)
    return folder


@PLACES
@pytest.mark.parametrize("orientation", ["axial", "prone", "oblique about x", "coronal"])
def test_ircadb_in_any_orientation_then_hu_and_label_in_place(tmp_path, orientation, descending):
    grid = grid_of(orientation, spacing=SPACING, descending=descending)
    assert_labelled(read_one(Ircadb(), ircadb(tmp_path, grid)), grid)


@pytest.mark.parametrize(
    "encoding",
    [
        Encoding(signed=False, intercept=-1024),
        Encoding(bits=12, signed=False, intercept=-1024),
        Encoding(bits=12, high_bit=15, signed=False, intercept=-1024),
        Encoding(slope=0.5),
        Encoding(RLELossless),
        Encoding(JPEGLSLossless),
        Encoding(JPEGLosslessSV1, signed=False, intercept=-1024),
        Encoding(JPEG2000Lossless),
    ],
    ids=[
        *("unsigned", "12 bits", "12 bits at the top", "slope 0.5"),
        *("RLE", "JPEG-LS", "JPEG lossless", "JPEG 2000"),
    ],
)
def test_ircadb_in_any_encoding_then_hu_and_label_in_place(tmp_path, encoding):
    grid = grid_of(spacing=SPACING)
    assert_labelled(read_one(Ircadb(), ircadb(tmp_path, grid, encoding)), grid)


def test_folder_with_forms_of_nifti_that_differ_then_still_one_grid(tmp_path):
    grid = grid_of("oblique about z", spacing=SPACING)
    write_nifti(tmp_path / "a" / "image.nii", grid, Form(sform=0, big_endian=True, dtype="f4"))
    write_nifti(tmp_path / "a" / "label.nii.gz", labels_of(grid), Form(qform=0, dtype="u1"))
    assert_labelled(read_one(FolderDataSet(), tmp_path), grid)
