from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scripts.phantom.abdomen.canvas import BITS
from scripts.phantom.abdomen.ircadb_patient import (
    VARIANTS,
    Options,
    make_patient,
    outline,
    pack,
    read_record,
)

SECTIONS = {"PATIENT_DICOM": {"image_0": b"ct"}, "MASKS_DICOM": {"liver/image_0": b"mask"}}
TINY = Options(seed=5, size=64, slices=24)


def members(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [name for name in archive.namelist() if not name.endswith("/")]


def test_packing_in_zips_then_one_of_each_section() -> None:
    files = pack(SECTIONS, "P", "zips")
    assert list(files) == ["P/PATIENT_DICOM.zip", "P/MASKS_DICOM.zip"]
    assert members(files["P/MASKS_DICOM.zip"]) == ["MASKS_DICOM/liver/image_0"]


def test_packing_nested_then_the_zips_in_one_of_the_patient() -> None:
    files = pack(SECTIONS, "P", "nested")
    assert list(files) == ["P.zip"]
    assert members(files["P.zip"]) == ["P/PATIENT_DICOM.zip", "P/MASKS_DICOM.zip"]


def test_packing_in_folders_then_plain_files_with_the_ct_in_a_doubled_folder() -> None:
    files = pack(SECTIONS, "P", "folders")
    assert set(files) == {
        "P/PATIENT_DICOM/PATIENT_DICOM/image_0",
        "P/MASKS_DICOM/liver/image_0",
    }


@pytest.mark.parametrize(
    ("kidneys", "named", "unnamed"),
    [
        ("sides", {"leftkidney", "rightkidney"}, set()),
        ("one", {"kidneys"}, set()),
        ("none", set(), {"leftkidney", "rightkidney"}),
    ],
)
def test_kidneys_then_in_the_folders_of_the_variant(
    kidneys: str, named: set[str], unnamed: set[str]
) -> None:
    labels = np.zeros((1, 1, 4), np.uint16)
    labels[0, 0, 1], labels[0, 0, 2] = BITS["left_kidney"], BITS["right_kidney"]
    variant = replace(VARIANTS[0], kidneys=kidneys, extras=())
    masks, unlabelled = outline(labels, np.zeros((1, 1, 4), np.uint8), (), variant)
    assert set(masks) - {"bone", "liver", "skin"} == named
    assert set(unlabelled) == unnamed
    if kidneys == "one":
        assert masks["kidneys"].sum() == 2


def test_patient_made_before_then_its_record_is_read_and_nothing_drawn(tmp_path: Path) -> None:
    first = make_patient((tmp_path, TINY, 0))
    dates = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert make_patient((tmp_path, TINY, 0)) == first
    assert read_record(tmp_path / "records" / "3Dircadb1.1.json") == first
    assert all(path.stat().st_mtime_ns == date for path, date in dates.items())
