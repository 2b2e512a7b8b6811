"""Files of labels by their content, and those in the folder of a case."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from scripts.datasets.segments.open_file import CaseFiles, holds_segments, open_segments
from scripts.datasets.segments.seg import SegFile
from scripts.datasets.segments.slicer import SlicerFile
from scripts.datasets.segments.structure_set import StructureSetFile
from tests.scripts.datasets.folders import write
from tests.scripts.datasets.segments.written import (
    GRID,
    box,
    nodule,
    write_rtstruct,
    write_seg,
    write_slicer,
)

KEYS = {"Segment0_ID": "a", "Segment0_LabelValue": "1"}


@pytest.fixture(scope="module")
def case(series, tmp_path_factory):
    """A case with a CT and files of labels in several folders."""
    folder = tmp_path_factory.mktemp("case")
    shutil.copytree(series[0], folder / "ct")
    (folder / "seg").mkdir()
    write_seg(folder / "ct" / "beside.dcm", series[1], [nodule()])
    write_rtstruct(folder / "seg" / "plan.dcm", series[1], {"GTV": []})
    write_slicer(folder / "seg" / "a.seg.nrrd", box() * 1, GRID.affine, KEYS)
    write(folder / "seg" / "map.nii.gz", np.zeros((6, 7, 9), np.uint8))
    (folder / "seg" / "notes.txt").write_text("read by two")
    return folder


def test_files_then_opened_by_their_content(case):
    for name, kind in (
        ("ct/beside.dcm", SegFile),
        ("seg/plan.dcm", StructureSetFile),
        ("seg/a.seg.nrrd", SlicerFile),
    ):
        assert type(open_segments(case / name)) is kind
    assert open_segments(case / "seg" / "map.nii.gz") is None


def test_files_of_another_kind_then_refused_by_name(case):
    with pytest.raises(ValueError, match=r"notes\.txt: must be a label map .*DICOM SEG, RTSTRUCT"):
        open_segments(case / "seg" / "notes.txt")
    one = next(path for path in (case / "ct").iterdir() if path.name != "beside.dcm")
    with pytest.raises(ValueError, match="is a DICOM object of modality CT, labels must be SEG"):
        open_segments(one)


def test_case_then_its_labels_with_path_kind_and_title_and_its_series(case, series):
    files = CaseFiles.below(case)
    assert [str(one) for one in files.labels] == [
        "ct/beside.dcm (DICOM SEG 'CT_SEG')",
        "seg/a.seg.nrrd (3D Slicer segmentation)",
        "seg/map.nii.gz (label map)",
        "seg/plan.dcm (RTSTRUCT 'PLAN')",
    ]
    assert len(files.named_segments()) == 3
    assert files.series == {series[2].series_uid: (case / "ct",)}


@pytest.mark.parametrize(
    ("pattern", "where"),
    [
        ("*plan*", ["seg/plan.dcm"]),
        ("PLAN", ["seg/plan.dcm"]),
        ("ct_seg", ["ct/beside.dcm"]),
        ("seg/*", ["seg/a.seg.nrrd", "seg/map.nii.gz", "seg/plan.dcm"]),
        ("reader1", []),
    ],
)
def test_pattern_then_path_name_or_title(case, pattern, where):
    assert [one.where for one in CaseFiles.below(case).labels if one.fits(pattern)] == where


def test_folder_with_and_without_named_segments_then_distinguished(case, series):
    assert holds_segments(case)
    assert not holds_segments(series[0])
