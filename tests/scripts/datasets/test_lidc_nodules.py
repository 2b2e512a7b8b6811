import csv
import re

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.lidc_nodules import COLUMNS, LidcNodules
from scripts.datasets.luna16.annotations import KnownSeries, read_annotations
from tests.scripts.datasets.dataset_contract import DataSetContract
from tests.scripts.datasets.folders import HU, SHAPE, write

UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.170706757615202213033480003264"  # of LIDC-IDRI-0003


def crops(folder, names=("P1_R_1", "P2_R_1")):
    """Crops whose votes fall by one a voxel along x, from 4."""
    votes = np.zeros(SHAPE, np.uint8)
    votes[2, 3, 1:5] = (4, 3, 2, 1)
    rows = []
    for name in names:
        write(folder / "image" / f"{name}.nii.gz", HU, "RAS")
        write(folder / "votes" / f"{name}.nii.gz", votes, "RAS")
        rows.append(f"{name}.nii.gz,{name[:2]},1.2,4,5|4|3|2,8.5")
    (folder / "index.csv").write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return folder


class TestLidcNodules(DataSetContract):
    @pytest.fixture
    def made(self, tmp_path):
        return LidcNodules(), crops(tmp_path / "in", ("P1_R_1", "P2_R_1", "P3_R_1"))


@pytest.mark.parametrize("readers", [1, 2, 3, 4])
def test_read_then_the_nodule_is_where_so_many_readers_agree(tmp_path, readers):
    data_set = LidcNodules(min_readers=readers).at(crops(tmp_path))
    listing = data_set.find(tmp_path)
    assert listing.problems == []
    labelled = data_set.read(listing.scans[0])
    expected = np.zeros(SHAPE, np.uint8)
    expected[2, 3, 1 : 6 - readers] = 1
    np.testing.assert_array_equal(labelled.label, expected)
    np.testing.assert_array_equal(labelled.volume.hu, HU)
    (nodule,) = labelled.objects
    assert nodule["id"] == 1
    assert nodule["malignancy"] == [5, 4, 3, 2]
    assert nodule["luna16_diameter_mm"] == 8.5
    assert labelled.lung is None
    assert data_set.record() == {"min_readers": readers}


def test_find_then_patients_of_the_index_and_missing_files_by_name(tmp_path):
    crops(tmp_path)
    (tmp_path / "votes" / "P2_R_1.nii.gz").unlink()
    listing = LidcNodules().find(tmp_path)
    assert [(scan.id, scan.patient_id) for scan in listing.scans] == [("P1_R_1", "P1")]
    assert "missing files: votes/P2_R_1.nii.gz" in str(listing.problems[0])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("P3_R_1.nii.gz,P3,1.2", "must have 6 cells, got 3"),
        ("P1_R_1.nii.gz,P3,1.2,four,5,8.5", "invalid literal .* 'four'"),
        ("P1_R_1.nii.gz,P3,1.2,4,5|x,8.5", "invalid literal .* 'x'"),
    ],
    ids=["short", "readers", "malignancy"],
)
def test_find_when_a_row_is_invalid_then_reported_and_the_others_listed(tmp_path, row, reason):
    crops(tmp_path)
    index = tmp_path / "index.csv"
    index.write_text(f"{index.read_text()}{row}\n")
    listing = LidcNodules().find(tmp_path)
    assert [scan.id for scan in listing.scans] == ["P1_R_1", "P2_R_1"]
    (problem,) = listing.problems
    assert problem.place == "index.csv row 4"
    assert re.match(reason, problem.reason)


def test_find_when_there_is_no_index_then_refused_with_what_is_wanted(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold index\.csv, image/ and votes/"):
        LidcNodules().find(tmp_path)
    (tmp_path / "index.csv").write_text("file,patient\na,b\n")
    with pytest.raises(ValueError, match="must have the columns file, patient, series"):
        LidcNodules().find(tmp_path)


def test_read_when_no_voxel_has_so_many_votes_then_refused_by_name(tmp_path):
    crops(tmp_path)
    write(tmp_path / "votes" / "P1_R_1.nii.gz", np.full(SHAPE, 1, np.uint8), "RAS")
    scans = LidcNodules().find(tmp_path).scans
    with pytest.raises(ValueError, match=r"votes/P1_R_1\.nii\.gz: no voxel .* 2 readers, at most"):
        LidcNodules().read(scans[0])


def test_read_when_votes_lie_elsewhere_then_refused(tmp_path):
    crops(tmp_path)
    write(tmp_path / "votes" / "P1_R_1.nii.gz", np.ones((3, 7, 9), np.uint8))
    scans = LidcNodules().find(tmp_path).scans
    with pytest.raises(
        ValueError,
        match="votes/P1_R_1.nii.gz: must be on the grid of its image P1_R_1.nii.gz: sizes differ",
    ):
        LidcNodules().read(scans[0])


@pytest.mark.parametrize("readers", [0, 5, "two"])
def test_options_when_readers_cannot_be_then_refused(readers):
    with pytest.raises(ValueError, match="min_readers: must be a whole number, 1 to 4"):
        LidcNodules(min_readers=readers)


@pytest.mark.real
def test_real_votes_then_voxels_equal_the_index(real_data):
    source = real_data / "lidc_nodules"
    scans = LidcNodules().find(source).scans
    assert len(scans) == 776
    with (source / "index.csv").open(newline="") as file:
        rows = {row["file"].removesuffix(".nii.gz"): row for row in csv.DictReader(file)}
    for scan in scans:
        votes = sitk.GetArrayFromImage(sitk.ReadImage(str(scan.files[1])))
        counted = [int((votes >= least).sum()) for least in (1, 2, 3)]
        assert counted == [int(rows[scan.id][f"voxels_ge{least}"]) for least in (1, 2, 3)]
        if int(rows[scan.id]["voxels_ge2"]):
            assert LidcNodules().read(scan).label.sum() == counted[1]


@pytest.mark.real
def test_real_nodules_of_lidc_idri_0003_then_where_luna16_lists_them(real_data):
    listed = read_annotations(real_data / "luna16" / "annotations.csv", KnownSeries({UID}))
    centres = np.array([nodule.centre_lps_mm for nodule in listed.nodules[UID]])
    scans = LidcNodules().find(real_data / "lidc_nodules").scans
    ours = [LidcNodules().read(scan) for scan in scans if scan.patient_id == "LIDC-IDRI-0003"]
    assert len(ours) == len(centres) == 3
    for labelled in ours:
        (nodule,) = labelled.objects
        distance_mm = np.linalg.norm(centres - nodule["centre_lps_mm"], axis=1).min()
        assert distance_mm < 0.5
        assert nodule["diameter_mm"] == pytest.approx(nodule["luna16_diameter_mm"], rel=0.08)
