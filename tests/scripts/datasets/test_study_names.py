from pathlib import Path

import pytest

from scripts.datasets.candidates import Candidate
from scripts.datasets.study_names import by_scan, study_name
from scripts.prediction.sources.ct_sources import find_sources

CASES = {"Müller A": "Müller A/image.nii.gz", "P 2": "P 2/image.nii.gz", "P3": "scan 3.nii"}


def candidates(*names):
    return [Candidate(name, (0.0, 0.0, 0.0), 0.5) for name in names]


@pytest.fixture
def scans(tmp_path):
    """Own cases, two of them with one file name."""
    files = {name: tmp_path / "own" / "cases" / file for name, file in CASES.items()}
    for file in files.values():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    return files


@pytest.mark.parametrize("below", [".", "own", "own/cases"])
def test_names_that_predict_gives_files_then_their_scans_whatever_folder_was_predicted(
    scans, tmp_path, below
):
    sources = find_sources(tmp_path / below).sources
    found, unlisted = by_scan(candidates(*(one.name for one in sources)), scans, "mine.csv")
    assert not unlisted
    by_file = {source.name: Path(source.location).parent.name for source in sources}
    for scan, (candidate,) in found.items():
        assert by_file[candidate.series_uid] == scans[scan].parent.name


def test_names_of_the_scans_and_of_dicom_series_then_these(scans):
    found, unlisted = by_scan(candidates("P 2", study_name("1.2"), "9.9"), scans, "mine.csv")
    assert (list(found), unlisted) == (["P 2"], [study_name("1.2"), "9.9"])
    found, unlisted = by_scan(candidates(study_name("1.2")), {**scans, "1.2": None}, "mine.csv")
    assert (list(found), unlisted) == (["1.2"], [])


def test_name_that_several_scans_share_then_of_none(scans):
    found, unlisted = by_scan(candidates("image", "image-0a1b2c3d", "scan-3"), scans, "mine.csv")
    assert (list(found), unlisted) == (["P3"], ["image", "image-0a1b2c3d"])


def test_two_studies_of_one_scan_then_refused(scans):
    with pytest.raises(ValueError, match="mine.csv has two studies of the scan P3: P3 and scan-3"):
        by_scan(candidates("P3", "scan-3"), scans, "mine.csv")
