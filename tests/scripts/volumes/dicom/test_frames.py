"""A multi-frame file taken apart into slices; reading them: tests/analytic/test_enhanced.py."""

import pydicom
import pytest

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.frames import frames_of
from scripts.volumes.dicom.slice import read_slice
from tests.analytic.dicom_files import write_series
from tests.analytic.enhanced_files import slices_of, write_enhanced
from tests.analytic.phantom import grid_of

GRID = grid_of(spacing=(9, 9, 16))


def read(path):
    with ArchiveReader() as reader:
        return read_slice(reader, Location(path))


def test_file_of_one_slice_then_itself(tmp_path):
    each = read(write_series(tmp_path, GRID)[0])
    assert frames_of(each) == [each]


def test_frames_then_numbered_with_the_elements_of_file_and_groups(tmp_path):
    person = {"PatientName": "Ünì^Cødé", "SpecificCharacterSet": "ISO_IR 192"}
    file = read(write_enhanced(tmp_path, slices_of(GRID), **person))
    frames = frames_of(file)
    assert [each.frame for each in frames] == list(range(1, GRID.shape[0] + 1))
    for each, grid in zip(frames, slices_of(GRID), strict=True):
        assert each.name == f"enhanced.dcm frame {each.frame}"
        assert each.header.NumberOfFrames == 1
        assert str(each.header.PatientName) == person["PatientName"]
        assert each.numbers("ImagePositionPatient") == pytest.approx(grid.affine[:3, 3])
        assert each.numbers("PixelSpacing") == (9, 9)
        assert each.frame_of is file
    assert file.header.NumberOfFrames == GRID.shape[0]  # untouched
    assert "ImagePositionPatient" not in file.header


def test_group_of_a_frame_then_before_the_shared_one(tmp_path):
    path = write_enhanced(tmp_path, slices_of(GRID))
    data = pydicom.dcmread(path)
    own = pydicom.Dataset()
    own.PixelSpacing, own.SliceThickness = [3, 4], 5
    data.PerFrameFunctionalGroupsSequence[2].PixelMeasuresSequence = [own]
    data.save_as(path)
    spacings = [each.numbers("PixelSpacing") for each in frames_of(read(path))]
    assert spacings[2] == (3, 4)
    assert set(spacings[:2] + spacings[3:]) == {(9, 9)}
