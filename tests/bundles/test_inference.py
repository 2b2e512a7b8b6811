"""Whole CTs in, masks out: in the geometry of what came, whatever format it came in."""

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.volumes.readers import read_image
from tests.bundles.bundle_commands import files_of, run_words, say
from tests.bundles.stored_volumes import assert_same_grid, in_lps, is_flipped, write_forms


@pytest.fixture(scope="module")
def studies(cohort, trained, tmp_path_factory):
    """Inputs by name, and the folder of their masks; one command predicts all of them."""
    folder = tmp_path_factory.mktemp("studies")
    flipped = next(f for f in sorted((cohort / "phantoms").glob("subset*/*.mhd")) if is_flipped(f))
    image = read_image(flipped)
    inputs = write_forms(image, folder, "flipped", "below/1.2.840")
    asked = {"dataset_dir": folder, "output_dir": folder / "masks"}
    asked |= {"ckpt_path": trained / "training" / "model.pt"}
    say(*run_words("inferring", files_of("inference"), asked))
    return inputs, folder / "masks"


@pytest.mark.parametrize("name", ["flipped", "turned", "below/1.2.840"])
def test_mask_then_in_the_geometry_of_its_input(studies, name):
    inputs, masks = studies
    image, mask = read_image(inputs[name]), sitk.ReadImage(masks / f"{name}_nodules.nii.gz")
    assert_same_grid(mask, image)
    voxels = sitk.GetArrayFromImage(mask)
    assert set(np.unique(voxels)) == {0, 1}
    assert voxels.mean() < 0.5


def test_masks_then_equal_voxel_for_voxel_whatever_the_format(studies):
    masks = [sitk.ReadImage(studies[1] / f"{name}_nodules.nii.gz") for name in studies[0]]
    first, *others = map(in_lps, masks)
    for other in others:
        np.testing.assert_array_equal(first, other)
