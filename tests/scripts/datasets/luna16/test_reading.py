import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.luna16.scans import find_cohort
from scripts.volumes.geometry import affine_of, index_to_world
from tests.scripts.datasets.luna16.cohort import lung_mask, several


@pytest.fixture
def cohort(tmp_path):
    return several(tmp_path / "luna")


def read(cohort, number):
    data_set = Luna16()
    return data_set.read(data_set.find(cohort.folder).scans[number])


def test_flipped_scan_then_lps_with_the_affine_of_its_file_kept(cohort):
    labelled = read(cohort, 3)
    image = sitk.ReadImage(cohort.folder / "subset0" / "1.3.mhd")
    np.testing.assert_array_equal(labelled.file_affine, affine_of(image))
    np.testing.assert_array_equal(labelled.volume.hu, sitk.GetArrayFromImage(image)[:, ::-1, ::-1])
    (nodule,) = labelled.objects
    index = np.argwhere(labelled.label == 1).mean(axis=0)[::-1]
    centre = index_to_world(index, labelled.volume.affine_lps)
    np.testing.assert_allclose(centre, nodule["centre_lps_mm"], atol=0.6)
    assert labelled.by_centre


def test_lungs_of_seg_lungs_then_without_trachea_and_no_note(cohort):
    labelled = read(cohort, 0)
    assert labelled.facts == {"lung_field": "seg-lungs"}
    assert labelled.notes == []
    mask = lung_mask()
    assert labelled.lung[(mask == 3) | (mask == 4)].all()
    assert not labelled.lung[mask == 5].all()


def test_findings_and_rows_then_avoided(cohort):
    text = "seriesuid,coordX,coordY,coordZ,diameter_mm\n1.0,1,2,-80,4\n1.0,1,2,-70,-1\n"
    (cohort.folder / "annotations_excluded.csv").write_text(text)
    (own, excluded) = read(cohort, 0).avoid
    assert excluded == (1, 2, -80, 4)
    assert own[3] == 9.0


def test_truth_file_missing_then_said_so(cohort, tmp_path):
    (tmp_path / "masks").mkdir()
    for series in find_cohort(cohort.folder).scans[1:]:
        (tmp_path / "masks" / f"{series.uid}.nii.gz").touch()
    data_set = Luna16(label="masks", masks=tmp_path / "masks")
    with pytest.raises(FileNotFoundError, match="no masks for this series"):
        data_set.read(data_set.find(cohort.folder).scans[0])
