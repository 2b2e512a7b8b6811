"""Why files are left out: other modalities, pictures, indices, what is no DICOM at all."""

import pytest
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import (
    EnhancedCTImageStorage,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
)

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.kind import (
    images_listed,
    is_multi_frame,
    modality_of,
    why_not_dicom,
    why_not_slice,
)
from scripts.volumes.dicom.slice import read_slice
from tests.scripts.volumes.dicom.test_series_volume import slice_dataset, write

UNPLACED = {"ImagePositionPatient": None, "ImageOrientationPatient": None}
RAW_DATA = "1.2.840.10008.5.1.4.1.1.66"


def read(folder, **changes):
    with ArchiveReader() as reader:
        return read_slice(reader, Location(write(folder, [slice_dataset(0, **changes)]) / "file90"))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, ""),
        ({"Modality": "SR"}, "modality SR, not CT"),
        ({"Modality": "PR"}, "modality PR, not CT"),
        ({"Modality": "X Y"}, "without a modality, not CT"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localiser, not a slice"),
        ({"SOPClassUID": MediaStorageDirectoryStorage, "Modality": None}, "DICOMDIR, an index of"),
        ({"SOPClassUID": RAW_DATA, "Modality": None}, "without a modality, not CT"),
        ({"SOPClassUID": RAW_DATA, "PixelData": None}, "a CT object without an image"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, ""),
        ({"SOPClassUID": SecondaryCaptureImageStorage, **UNPLACED}, "secondary capture without"),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"], **UNPLACED}, "secondary capture"),
        (UNPLACED, ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_dicom_file_then_the_reason_by_its_header(tmp_path, changes, reason):
    told = why_not_slice(read(tmp_path / "ct", **changes))
    assert told.startswith(reason)
    assert bool(told) is bool(reason)


def test_modality_in_lower_case_and_with_blanks_then_a_slice(tmp_path):
    with disable_value_validation():
        each = read(tmp_path / "a", Modality=" ct")
    assert why_not_slice(each) == ""
    assert modality_of(each.header) == "CT"


def test_ct_without_modality_or_series_then_refused_as_cut_short(tmp_path):
    with pytest.raises(ValueError, match="has no Modality: its header is cut short"):
        why_not_slice(read(tmp_path / "a", Modality=None))
    with pytest.raises(ValueError, match="PixelData missing"):
        why_not_slice(read(tmp_path / "b", SeriesInstanceUID=None, PixelData=None))


def test_several_frames_then_recognised_by_number_or_class(tmp_path):
    assert not is_multi_frame(slice_dataset(0))
    assert is_multi_frame(slice_dataset(0, NumberOfFrames=2))
    assert is_multi_frame(slice_dataset(0, SOPClassUID=EnhancedCTImageStorage))


@pytest.mark.parametrize(
    ("name", "head", "refused"),
    [
        ("IM0001", b"", True),
        ("1.2.840.113704.7", b"\0\1", True),
        ("IM0001", b"\0\1\2", True),
        ("README", b"Read me first.\n", False),
        ("scan.ima", b"text", True),
        ("notes.txt", b"", False),
        ("picture.jpg", b"\xff\xd8", False),
        ("THUMB", b"\xff\xd8\xff\xe0\0\1", False),
        ("rest.tar.gz", b"\x1f\x8b\0\1", False),
        ("study", b"PK\x03\x04\0\1", False),
        ("._image_0", b"\0\5\x16\7", False),
        ("DICOMDIR", b"x", False),
    ],
)
def test_file_that_is_not_dicom_then_an_error_only_where_it_may_have_been_a_slice(
    name, head, refused
):
    reason, suspect = why_not_dicom(("ct", name), head, among_slices=True)
    assert suspect is refused
    assert reason


@pytest.mark.parametrize("name", ["a.hdr", "A.IMG", "a.img.gz", "brain.mgz", "a.mnc", "a.gipl.gz"])
def test_volume_of_another_format_then_said_so(name):
    reason, suspect = why_not_dicom(("ct", name), b"\x5c\x01\0\0", among_slices=True)
    assert "a volume of a format that is not read" in reason
    assert not suspect


def test_binary_file_without_suffix_where_no_slices_are_then_skipped():
    assert not why_not_dicom(("data", "blob"), b"\0\1", among_slices=False)[1]
    assert why_not_dicom(("data", "blob"), b"", among_slices=False)[1]


def test_dicomdir_then_the_number_of_images_of_each_series():
    records = [("PATIENT", ""), ("SERIES", "1.1"), ("IMAGE", ""), ("IMAGE", ""), ("SERIES", "1.2")]
    directory = Dataset()
    directory.DirectoryRecordSequence = []
    for kind, uid in [*records, ("IMAGE", "")]:
        record = Dataset()
        record.DirectoryRecordType = kind
        if uid:
            record.SeriesInstanceUID = uid
        directory.DirectoryRecordSequence.append(record)
    assert images_listed(directory) == {"1.1": 2, "1.2": 1}
    assert images_listed(Dataset()) == {}
