import zipfile

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from monai.transforms import LoadImage
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom.series_volume import Series
from scripts.volumes.dicom.slice import read_slice
from scripts.volumes.geometry import affine_of, grid_difference, index_to_world
from scripts.volumes.readers import read_image, read_volume

SERIES = "1.2.826.0.1.3680043.8.498.1"
AXIAL = [1, 0, 0, 0, 1, 0]
PRONE = [-1, 0, 0, 0, -1, 0]
STORED = np.random.default_rng(0).integers(0, 2000, (5, 6, 8)).astype(np.int16)


def slice_dataset(k, *, orientation=AXIAL, **changes):
    """One CT slice; k counts along the normal, 2.5 mm a step. None removes an entry."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    normal = np.cross(orientation[:3], orientation[3:])
    entries = {
        "SOPClassUID": CTImageStorage, "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientName": "Somebody^Known", "PatientID": "77", "Modality": "CT",
        "SeriesInstanceUID": SERIES, "InstanceNumber": 100 - k,
        "ImageOrientationPatient": list(orientation), "PixelSpacing": [0.75, 0.5],
        "ImagePositionPatient": [float(v) for v in np.array([-90, 40, -300]) + 2.5 * k * normal],
        "Rows": 6, "Columns": 8, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15,
        "PixelRepresentation": 1, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2",
        "RescaleSlope": 1, "RescaleIntercept": -1024, "PixelData": STORED[k % 5].tobytes(),
    }  # fmt: skip
    for keyword, value in {**entries, **changes}.items():
        if value is not None:
            setattr(data, keyword, value)
    return data


def write(folder, datasets):
    folder.mkdir(exist_ok=True)
    for number, data in enumerate(datasets):
        # names run against positions, as in many archives
        data.save_as(folder / f"file{90 - number}", enforce_file_format=True)
    return folder


@pytest.mark.parametrize("orientation", [AXIAL, PRONE], ids=["supine", "prone"])
def test_series_when_names_and_numbers_run_backwards_then_sorted_by_position(tmp_path, orientation):
    folder = write(tmp_path / "ct", [slice_dataset(k, orientation=orientation) for k in range(5)])
    (folder / "notes.txt").write_text("not DICOM")
    image = read_image(folder)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), STORED - 1024)
    assert image.GetPixelID() == sitk.sitkInt16
    np.testing.assert_allclose(image.GetSpacing(), (0.5, 0.75, 2.5))
    expected = pydicom.dcmread(folder / "file87").ImagePositionPatient
    np.testing.assert_allclose(index_to_world((0, 0, 3), affine_of(image)), expected)
    assert image.GetMetaDataKeys() == ()


def test_series_when_slope_has_fractions_then_hu_have_too(tmp_path):
    folder = write(tmp_path / "ct", [slice_dataset(k, RescaleSlope=0.5) for k in range(5)])
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_image(folder)), STORED * 0.5 - 1024)


def test_series_when_factors_differ_between_slices_then_each_by_its_own(tmp_path):
    slopes = [1, 2, 1, 0.5, 1]
    slices = [slice_dataset(k, RescaleSlope=slope) for k, slope in enumerate(slopes)]
    folder = write(tmp_path / "ct", slices)
    hu = sitk.GetArrayFromImage(read_image(folder))
    np.testing.assert_allclose(hu, STORED * np.reshape(slopes, (5, 1, 1)) - 1024)


@pytest.mark.parametrize("keyword", ["PixelSpacing", "ImageOrientationPatient"])
def test_series_when_headers_differ_across_a_rounding_edge_then_read(tmp_path, keyword):
    usual = np.array({"PixelSpacing": [0.70315, 0.70315]}.get(keyword, [1, 0.00005, 0, 0, 1, 0]))
    slices = [slice_dataset(k) for k in range(5)]
    for k, each in enumerate(slices):
        setattr(each, keyword, (usual + (-1) ** k * 1e-5).tolist())
    assert read_image(write(tmp_path / "ct", slices)).GetSize() == (8, 6, 5)


def test_series_when_positions_have_one_decimal_then_read(tmp_path):
    places = np.round(-100 + 1.25 * np.arange(40), 1)
    slices = [slice_dataset(k, ImagePositionPatient=[-90, 40, z]) for k, z in enumerate(places)]
    image = read_image(write(tmp_path / "ct", slices))
    assert image.GetSpacing()[2] == pytest.approx(1.25, abs=2e-3)


def test_series_when_two_slices_in_one_place_then_their_acquisitions_named(tmp_path):
    slices = [slice_dataset(k, AcquisitionNumber=1, AcquisitionTime="101500") for k in range(5)]
    slices.append(slice_dataset(2, AcquisitionNumber=2, AcquisitionTime="101530"))
    with pytest.raises(ValueError, match="Number [12], .*Time 1015[03]0; .*Time 1015[03]0; if"):
        read_image(write(tmp_path / "ct", slices))


def test_series_when_other_modalities_lie_beside_then_skipped(tmp_path):
    extra = slice_dataset(9, Modality="SEG", SeriesInstanceUID="1.9")
    folder = write(tmp_path / "ct", [*[slice_dataset(k) for k in range(5)], extra])
    assert read_image(folder).GetSize() == (8, 6, 5)


def test_series_when_several_then_refused_with_the_list_unless_chosen(tmp_path):
    other = [slice_dataset(k, SeriesInstanceUID=f"{SERIES}.2", Rows=6) for k in range(3)]
    folder = write(tmp_path / "ct", [*[slice_dataset(k) for k in range(5)], *other])
    with pytest.raises(ValueError, match=f"ct: holds 2 CT series; .*\n  {SERIES}: 5 files\n.*: 3"):
        read_image(folder)
    assert read_volume(folder, series_uid=f"{SERIES}.2").size == (8, 6, 3)
    with pytest.raises(ValueError, match="series_uid 1.5 is not among its series:\n  1.2.826"):
        read_volume(folder, series_uid="1.5")


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")
def test_series_when_slice_missing_then_monai_does_not_average_over_it(tmp_path):
    folder = write(tmp_path / "ct", [slice_dataset(k) for k in (0, 1, 3, 4)])
    with pytest.raises(ValueError, match="ct: slices: 1 missing between file89 and file88: 5 mm"):
        LoadImage("scripts.volumes.readers.SimpleITKReader")(folder)
    chosen = LoadImage("scripts.volumes.readers.SimpleITKReader", series_uid="1.5")
    with pytest.raises(ValueError, match="series_uid 1.5 is not among"):
        chosen(folder)


TILT = [1, 0, 0, 0, float(np.cos(0.2)), float(np.sin(0.2))]
# what is changed in slice 2 of 5, or in all; what the error says
SPOILT = {
    "doubled": ({2: {"ImagePositionPatient": [-90, 40, -297.5]}}, "have the same position; keep"),
    "uneven": ({2: {"ImagePositionPatient": [-90, 40, -294.2]}}, "unevenly spaced between file"),
    "mixed orientation": (
        {2: {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}},
        "ImageOrientationPatient must be the same .* in file88",
    ),
    "tilted gantry": (
        {k: {"ImageOrientationPatient": TILT, "ImagePositionPatient": [-90, 40, -300 + 2.5 * k]}
         for k in range(5)},
        "perpendicular, they are 11.46 degrees off .a tilted gantry",
    ),
    "other size": (
        {2: {"Rows": 4, "PixelData": STORED[2][:4].tobytes()}},
        "Rows must be the same in every slice: 6 in most, but 4 in file88",
    ),
    "other spacing": ({2: {"PixelSpacing": [0.7, 0.7]}}, "PixelSpacing must be the same"),
    "other patient": ({2: {"PatientID": "78"}}, "PatientID must be the same .* of file88 differs"),
    "no rescale": ({2: {"RescaleIntercept": None}}, "RescaleIntercept is missing in file88; .*HU"),
    "no slope": ({2: {"RescaleSlope": None}}, "RescaleSlope is missing in file88"),
    "no position": ({2: {"ImagePositionPatient": None}}, "ImagePositionPatient is missing in fi"),
    "no orientation": ({2: {"ImageOrientationPatient": None}}, "ImageOrientationPatient is miss"),
    "no spacing": ({2: {"PixelSpacing": None}}, "PixelSpacing is missing in file88; .*made up"),
    "no pixels": ({2: {"PixelData": None}}, "file88: holds no image: PixelData missing"),
    "multi-frame": ({2: {"NumberOfFrames": 4}}, "file88: has 4 frames in one file, and no func"),
    "inverted": (
        {2: {"PhotometricInterpretation": "MONOCHROME1"}},
        "file88: PhotometricInterpretation must be MONOCHROME2",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), SPOILT.values(), ids=SPOILT.keys())
def test_series_when_not_a_sound_stack_then_refused_by_file(tmp_path, changes, message):
    folder = write(tmp_path / "ct", [slice_dataset(k, **changes.get(k, {})) for k in range(5)])
    with pytest.raises(ValueError, match=f"ct.*{message}"):
        read_image(folder)


def test_series_when_many_files_lack_an_entry_then_a_few_are_named(tmp_path):
    folder = write(tmp_path / "ct", [slice_dataset(k, RescaleSlope=None) for k in range(9)])
    with pytest.raises(ValueError, match="missing in file82, .*file86 and 4 more; without it"):
        read_image(folder)


def test_series_when_a_file_is_cut_short_then_refused_with_both_counts(tmp_path):
    folder = write(tmp_path / "ct", [slice_dataset(k) for k in range(5)])
    file = folder / "file88"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(ValueError, match="file88: truncated: the header states 96 bytes .* 86;"):
        read_image(folder)


def test_series_when_single_slice_then_refused(tmp_path):
    with pytest.raises(ValueError, match="ct: slices: a volume needs at least 2, got 1"):
        read_image(write(tmp_path / "ct", [slice_dataset(0)]))


def test_folder_when_no_ct_in_it_then_said_what_is(tmp_path):
    folder = write(tmp_path / "mr", [slice_dataset(k, Modality="MR") for k in range(3)])
    (folder / "deeper").mkdir()
    with pytest.raises(
        ValueError, match="mr: no DICOM CT .* 3 files .modality MR, not CT. and 1 folders"
    ):
        read_image(folder)
    with pytest.raises(ValueError, match="deeper: .* it holds no DICOM files and 0 folders"):
        read_image(folder / "deeper")


@pytest.mark.real
def test_series_when_real_then_same_hu_and_grid_as_the_mhd_of_the_scan(real_data, tmp_path):
    with zipfile.ZipFile(real_data / "lidc_dicom" / "LIDC-IDRI-0003.zip") as archive:
        archive.extractall(tmp_path)
    (folder,) = {file.parent for file in tmp_path.rglob("*.dcm")}
    series = read_image(folder)
    scan = read_image(real_data / "luna16" / "subset0" / f"{folder.name}.mhd")
    assert grid_difference(series, scan) == ""
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(series), sitk.GetArrayViewFromImage(scan)
    )


@pytest.mark.parametrize("content", [b"", b"\0\1\2\3" * 40], ids=["empty", "binary"])
def test_folder_when_a_file_may_have_been_a_slice_then_refused_by_name(tmp_path, content):
    folder = write(tmp_path / "ct", [slice_dataset(k) for k in range(5)])
    (folder / "IM0007").write_bytes(content)
    with pytest.raises(ValueError, match="ct/IM0007: .*; remove it, or copy it again"):
        read_image(folder)


def test_phases_of_one_position_in_two_folders_then_named_with_their_folders(tmp_path):
    folders = [write(tmp_path / name, [slice_dataset(k) for k in range(3)]) for name in "ab"]
    with ArchiveReader() as reader:
        files = [Location(path) for folder in folders for path in sorted(folder.iterdir())]
        slices = [read_slice(reader, file) for file in files]
    with pytest.raises(ValueError, match="slices: a/file90 and b/file90 have the same position"):
        Series.of_ct(slices, str(tmp_path))
