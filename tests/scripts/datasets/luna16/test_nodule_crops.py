import csv

import nibabel
import numpy as np
import pytest

from scripts.datasets.contract import Scan
from scripts.datasets.lidc_nodules import LidcNodules
from scripts.datasets.luna16.luna16_dataset import Luna16
from scripts.datasets.luna16.nodule_crops import beginnings, crop_box
from scripts.datasets.luna16.outlines import Outline, Outlines, ReaderNodule
from scripts.datasets.ratings import RATINGS
from tests.scripts.datasets.luna16.cohort import ORIGIN, SPACING, TinyCohort
from tests.scripts.datasets.luna16.lidc_files import write_database
from tests.scripts.datasets.luna16.test_outlines import square


def outlined(name, x, y, half, slices, **ratings):
    levels = [ORIGIN[2] + SPACING[2] * k for k in slices]
    lines = tuple(Outline(z, True, np.array(square(x, y, half))) for z in levels)
    return ReaderNodule(name, lines, ratings)


@pytest.fixture
def source(tmp_path):
    """One scan: a nodule of two readers at (20, 18, 8), one of a single reader below it."""
    cohort = TinyCohort(tmp_path / "luna")
    cohort.add("1.1", [((20, 18, 8), 9.0)])
    cohort.add("1.2")
    first = [outlined("Nodule 001", 20, 18, 4, (7, 8, 9), texture=5, malignancy=4)]
    second = [outlined("8", 21, 18, 4, (8, 9), texture=1), outlined("9", 30, 30, 3, (3,))]
    scans = {"1.1": Outlines("1.1", [first, second]), "1.2": Outlines("1.2", [])}
    database = write_database(tmp_path / "a.sqlite", scans, patients=("A", "B"))
    return cohort.folder, database


def test_crops_then_image_votes_and_index_that_lidc_nodules_reads(source, tmp_path):
    folder, database = source
    problems = Luna16(outlines=database).crop(folder, tmp_path / "out", jobs=1)
    assert problems == []
    with (tmp_path / "out" / "index.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == "A_R_2.nii.gz"  # the other nodule lies nearer to the feet
    assert (row["patient"], row["series_uid"], row["readers"]) == ("A", "1.1", "2")
    assert (row["texture"], row["malignancy"]) == ("5|1", "4|3")
    assert [int(row[f"voxels_ge{n}"]) for n in (1, 2, 3)] == [49 + 2 * 56, 2 * 42, 0]
    assert [int(row[name]) for name in ("x0", "y0", "nx", "ny", "nz")] == [0, 0, 43, 40, 3]
    image, votes = (nibabel.load(tmp_path / "out" / k / row["file"]) for k in ("image", "votes"))
    whole = Luna16().read(Luna16().find(folder).scans[0]).volume
    np.testing.assert_array_equal(
        np.asarray(image.dataobj).transpose(2, 1, 0), whole.hu[7:10, 0:40, 0:43]
    )
    assert votes.get_data_dtype() == np.uint8
    data_set = LidcNodules()
    labelled = data_set.read(data_set.find(tmp_path / "out").scans[0])
    (nodule,) = labelled.objects
    assert labelled.label.sum() == 2 * 42
    assert (nodule["texture"], nodule["ratings"]["texture"]) == ("part_solid", [5, 1])
    expected = [ORIGIN[k] + SPACING[k] * (20.5, 18, 8.5)[k] for k in range(3)]
    np.testing.assert_allclose(nodule["centre_lps_mm"], expected, atol=1e-4)


def test_listed_nodule_that_nobody_outlined_then_reported_and_the_others_cut(source, tmp_path):
    folder, database = source
    cohort = TinyCohort.__new__(TinyCohort)
    cohort.folder, cohort.rows = folder, (folder / "annotations.csv").read_text().splitlines()[1:]
    cohort.row("1.1", ORIGIN[0] + 30, ORIGIN[1] + 30, ORIGIN[2] + 40, 5)
    (problem,) = Luna16(outlines=database).crop(folder, tmp_path / "out", jobs=1)
    assert "no reader's outline lies at the nodule of row 3" in str(problem)
    assert len(LidcNodules().find(tmp_path / "out").scans) == 1


def test_crops_without_outlines_then_refused(source, tmp_path):
    with pytest.raises(ValueError, match="outlines: must be given for --crops"):
        Luna16().crop(source[0], tmp_path / "out", jobs=1)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (200, 203, (180, 224)),  # 4 pixels: 20 on each side
        (200, 204, (181, 224)),  # an odd width: 43
        (200, 242, (194, 249)),  # 43: 15 % is 6
        (5, 10, (0, 30)),  # at the edge of the image
    ],
)
def test_box_of_a_crop_then_grown_evenly_to_a_least_size(low, high, expected):
    assert crop_box(low, high, 512, 44) == expected


def test_names_then_by_patient_with_a_number_for_several_scans():
    scans = [Scan(str(k), patient, ()) for k, patient in enumerate("ABA")]
    assert beginnings(scans) == ["A_1", "B", "A_2"]
    for patient in ("../A", "a/b", ".hidden", ""):
        with pytest.raises(ValueError, match="patients: must be plain names"):
            beginnings([Scan("1", patient, ())])


@pytest.mark.real
def test_real_crops_of_lidc_idri_0003_then_equal_those_of_the_folder(
    real_data, lidc_database, tmp_path
):
    Luna16(outlines=lidc_database).crop(real_data / "luna16", tmp_path, jobs=1)
    with (real_data / "lidc_nodules" / "index.csv").open(newline="") as file:
        wanted = {row["file"]: row for row in csv.DictReader(file)}
    with (tmp_path / "index.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [f"LIDC-IDRI-0003_R_{k}.nii.gz" for k in (2, 3, 4)]
    for row in rows:
        assert {name: row[name] for name in wanted[row["file"]]} == wanted[row["file"]]
        assert all(row[name].count("|") == 3 for name in RATINGS)
        for kind in ("image", "votes"):
            ours = nibabel.load(tmp_path / kind / row["file"])
            theirs = nibabel.load(real_data / "lidc_nodules" / kind / row["file"])
            np.testing.assert_array_equal(ours.dataobj, theirs.dataobj)
            np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)
