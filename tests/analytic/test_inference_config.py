"""The bundles' own `run inferring` on the analytic chest, in several formats at once."""

import numpy as np
import pytest

from tests.analytic.dicom_files import UID, write_series
from tests.analytic.enhanced_files import slices_of, write_enhanced
from tests.analytic.metaimage_files import write_metaimage, write_nrrd
from tests.analytic.nifti_files import Form, write_nifti
from tests.analytic.phantom import CENTROID, VOLUME_ML, grid_of
from tests.analytic.routes import volume_and_centre
from tests.bundles.bundle_commands import run_here


@pytest.mark.parametrize(("name", "postfix"), [("lung", "nodules"), ("liver", "organs")])
def test_chests_in_every_format_then_the_mask_of_the_nodule_in_its_place(
    tmp_path, request, name, postfix
):
    options = request.getfixturevalue(f"{name}_model").options
    source = tmp_path / "in"
    write_series(source / "coronal", grid_of("coronal", descending=True))
    write_series(source / "prone", grid_of("prone"), series="2")
    write_enhanced(source / "frames", slices_of(grid_of()), SeriesInstanceUID=f"{UID}.1.3")
    write_nifti(source / "leaning.nii.gz", grid_of("oblique about x"), Form(qform=0))
    write_metaimage(source / "feet.mhd", grid_of("feet first"))
    write_nrrd(source / "ras.nrrd", grid_of("sagittal"), space="RAS")
    files = [str(options.bundle / "configs" / "inference.json"), *options.config_files]
    asked = {"dataset_dir": str(source), "output_dir": str(tmp_path / "out")}
    asked |= {"ckpt_path": options.checkpoints[0], "device": "cpu"}
    run_here("inferring", files, asked)
    for each in ("coronal", "prone", "frames", "leaning", "feet", "ras"):
        volume_ml, centre = volume_and_centre(tmp_path / "out" / f"{each}_{postfix}.nii.gz")
        assert volume_ml == pytest.approx(VOLUME_ML, rel=0.02), each
        np.testing.assert_allclose(centre, CENTROID, atol=0.3)
