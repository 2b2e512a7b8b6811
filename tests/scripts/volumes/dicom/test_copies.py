from pydicom.uid import RLELossless

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.copies import copies_among
from scripts.volumes.dicom.parts import SliceFacts
from scripts.volumes.dicom.slice import read_slice
from tests.scripts.volumes.dicom.test_series_volume import slice_dataset, write


def copies_of(folder, datasets):
    paths = sorted(write(folder, datasets).iterdir(), reverse=True)
    with ArchiveReader() as reader:
        locations = [Location(path) for path in paths]
        facts = [SliceFacts.of(read_slice(reader, location)) for location in locations]
        return copies_among(reader, facts, locations)


def test_same_instance_in_another_header_or_syntax_then_a_copy(tmp_path):
    first = slice_dataset(0, SOPInstanceUID="1.5", PixelRepresentation=0)
    renamed = slice_dataset(
        0, SOPInstanceUID="1.5", PixelRepresentation=0, InstitutionName="Elsewhere"
    )
    packed = slice_dataset(0, SOPInstanceUID="1.5", PixelRepresentation=0)
    packed.compress(RLELossless, generate_instance_uid=False)
    assert copies_of(tmp_path / "ct", [first, renamed, packed]) == {1, 2}


def test_same_uid_with_other_pixels_factors_or_position_then_no_copy(tmp_path):
    others = [
        slice_dataset(0, SOPInstanceUID="1.5"),
        slice_dataset(0, SOPInstanceUID="1.5", PixelData=bytes(96)),
        slice_dataset(0, SOPInstanceUID="1.5", RescaleIntercept=0),
        slice_dataset(1, SOPInstanceUID="1.5"),
        slice_dataset(0, SOPInstanceUID="1.6"),
    ]
    assert copies_of(tmp_path / "ct", others) == set()


def test_damaged_file_then_no_copy(tmp_path):
    same = [slice_dataset(0, SOPInstanceUID="1.5") for _ in range(2)]
    folder = write(tmp_path / "ct", same)
    (folder / "file89").write_bytes((folder / "file89").read_bytes()[:-20])
    with ArchiveReader() as reader:
        locations = [Location(folder / name) for name in ("file90", "file89")]
        facts = [SliceFacts.of(read_slice(reader, location)) for location in locations]
        assert copies_among(reader, facts, locations) == set()
