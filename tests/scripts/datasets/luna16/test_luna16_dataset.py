from dataclasses import replace

import pytest

from scripts.datasets.luna16.luna16_dataset import Luna16
from tests.scripts.datasets.dataset_contract import DataSetContract
from tests.scripts.datasets.luna16.cohort import TinyCohort, several


class TestLuna16(DataSetContract):
    @pytest.fixture
    def made(self, tmp_path):
        cohort = TinyCohort(tmp_path / "luna")
        for number in range(3):
            cohort.add(f"1.{number}", [((20, 18, 8 + number), 9.0)], subset=number)
        return Luna16(), cohort.folder

    def damage(self, scan):
        scan.files[1].unlink()
        return scan.files[1].name


@pytest.fixture
def cohort(tmp_path):
    return several(tmp_path / "luna", 3)


def test_find_then_what_can_be_known_before_reading(cohort):
    scan = Luna16().find(cohort.folder).scans[0]
    assert [path.name for path in scan.files] == ["1.0.mhd", "1.0.raw", "1.0.mhd", "1.0.raw"]
    assert (scan.group, scan.image_file) == (0, scan.files[0])
    assert scan.object_slices == (pytest.approx(9 / 2.5 + 1),)


def test_bad_row_then_leaves_its_scan_out_of_balls_only(cohort, tmp_path):
    cohort.row("1.1", "nan", 1, 2, 5)
    (problem,) = Luna16().find(cohort.folder).problems
    assert problem.left_out
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "1.1.nii.gz").touch()
    masks = Luna16(label="masks", masks=tmp_path / "masks")
    (problem,) = masks.find(cohort.folder).problems
    assert not problem.left_out


def test_dependence_then_on_rows_and_label_but_not_on_where_the_source_is(cohort, tmp_path):
    data_set = Luna16()
    before = [data_set.depends_on(scan) for scan in data_set.find(cohort.folder).scans]
    moved = cohort.folder.rename(tmp_path / "moved")
    after = [data_set.depends_on(scan) for scan in data_set.find(moved).scans]
    assert before == after
    scan = data_set.find(moved).scans[0]
    shifted = replace(scan.details.annotations[0], diameter_mm=4.0)
    changed = replace(scan, details=replace(scan.details, annotations=(shifted,)))
    assert data_set.depends_on(changed) != before[0]


def test_record_then_only_what_the_label_reads(tmp_path):
    assert Luna16(min_readers=3).record() == {"label": "ball"}
    readers = Luna16("readers", str(tmp_path), 3).record()
    assert readers == {"label": "readers", "outlines": str(tmp_path), "min_readers": 3}


@pytest.mark.parametrize("label", ["masks", "readers"])
def test_folder_of_labels_without_their_kind_then_refused(cohort, tmp_path, label):
    folders = {"masks": "masks", "readers": "outlines"}
    data_set = Luna16(**{folders[label]: tmp_path})
    with pytest.raises(ValueError, match=rf"is read only with --label {label}, got --label ball"):
        data_set.find(cohort.folder)
