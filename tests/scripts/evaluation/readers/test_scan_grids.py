import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.luna16.lidc_database import LidcDatabase
from scripts.datasets.luna16.outlines import Outlines
from scripts.evaluation.readers.scan_grids import grid_of, grid_of_header, position_of, positions_in
from tests.scripts.datasets.luna16.cohort import ORIGIN, SPACING, TinyCohort
from tests.scripts.datasets.luna16.lidc_files import write_database


def database(tmp_path, slices):
    file = write_database(
        tmp_path / "a.sqlite", {"1.1": Outlines("1.1", [])}, pixel_mm=0.6, slices_mm=slices
    )
    return LidcDatabase(file)


def test_grid_of_the_database_then_from_its_slices(tmp_path):
    grid = grid_of(database(tmp_path, (-3.0, -7.0, -5.0)), "1.1", None)
    assert (grid.shape_zyx, grid.spacing_mm) == ((3, 512, 512), (0.6, 0.6, 2.0))
    assert (grid.first_z_mm, grid.position) == (-7.0, None)
    np.testing.assert_allclose(grid.affine @ [10, 20, 1, 1], [6, 12, -5, 1])


@pytest.mark.parametrize("slices", [(), (1.0,), (1.0, 2.0, 4.0)], ids=["none", "one", "gap"])
def test_slices_that_are_not_evenly_spaced_then_refused(tmp_path, slices):
    with pytest.raises(ValueError, match=f"{len(slices)} slices must be evenly spaced"):
        grid_of(database(tmp_path, slices), "1.1", None)


@pytest.mark.parametrize("flipped", [False, True])
def test_positions_of_luna16_then_direction_and_first_pixel(tmp_path, flipped):
    cohort = TinyCohort(tmp_path / "luna")
    direction = (-1, 0, 0, 0, -1, 0, 0, 0, 1) if flipped else (1, 0, 0, 0, 1, 0, 0, 0, 1)
    path = cohort.add("1.1", direction=direction)
    sign = -1 if flipped else 1
    assert positions_in(cohort.folder) == {"1.1": (sign, ORIGIN[:2])}
    grid = grid_of_header(path)
    assert (grid.shape_zyx, grid.spacing_mm) == ((24, 40, 48), SPACING)
    assert (grid.first_z_mm, grid.position) == (ORIGIN[2], (sign, ORIGIN[:2]))


def test_positions_of_crops_then_of_the_series_they_are_from(tmp_path):
    (tmp_path / "image").mkdir()
    image = sitk.Image(5, 6, 7, sitk.sitkInt16)
    image.SetSpacing((0.5, 0.5, 2.0))
    image.SetOrigin((-50.0, -40.0, 3.0))
    sitk.WriteImage(image, tmp_path / "image" / "a.nii.gz")
    (tmp_path / "index.csv").write_text("file,series_uid,x0,y0\na.nii.gz,1.1,100,20\n")
    ((direction, origin),) = positions_in(tmp_path).values()
    assert direction == 1
    assert origin == pytest.approx((-100.0, -50.0))


def test_position_of_a_part_then_counted_back_against_its_direction():
    affine = np.diag([-0.5, -0.5, 2.0, 1.0])
    affine[:2, 3] = (30.0, 20.0)
    assert position_of(affine, (10, 40)) == (-1, (35.0, 40.0))


def test_slices_that_run_towards_the_feet_then_refused(tmp_path):
    path = TinyCohort(tmp_path / "luna").add("1.1", direction=(1, 0, 0, 0, -1, 0, 0, 0, -1))
    with pytest.raises(ValueError, match="slices must run towards the head"):
        grid_of_header(path)
