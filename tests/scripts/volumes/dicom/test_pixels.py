"""Stored values and HU of slices in every encoding that scanners and archives write."""

import io
import threading
import time

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from scripts.storage.archive import ArchiveReader, Location
from scripts.volumes.dicom import pixels
from scripts.volumes.dicom.pixels import read_volume_of, stored_values
from scripts.volumes.dicom.series_volume import Series, read_series
from scripts.volumes.dicom.slice import read_slice
from scripts.volumes.readers import NOTES, SimpleITKReader
from tests.scripts.volumes.dicom.test_series_volume import slice_dataset, write

SHAPE = (6, 8)


def stored(low, high, seed=0):
    return np.random.default_rng(seed).integers(low, high, SHAPE)


def values_of(path):
    with ArchiveReader() as reader:
        return stored_values(read_slice(reader, Location(path)), reader)


def written(folder, values, *, bits=16, high_bit=15, signed=False, **changes):
    """One slice whose values are stored in ``bits`` bits that end at ``high_bit``."""
    raw = (values & (2**bits - 1)) << (high_bit + 1 - bits)
    data = slice_dataset(
        0,
        BitsStored=bits,
        HighBit=high_bit,
        PixelRepresentation=int(signed),
        PixelData=raw.astype(np.uint16).tobytes(),
        **changes,
    )
    return write(folder, [data]) / "file90"


def in_jpeg_2000(k, values):
    """A slice in a syntax that pydicom reads with Pillow, and cannot write."""
    code = io.BytesIO()
    picture = Image.fromarray(values.astype(np.uint16))
    picture.save(code, "JPEG2000", irreversible=False, no_jp2=True, num_resolutions=1)
    data = slice_dataset(k, PixelRepresentation=0, PixelData=encapsulate([code.getvalue()]))
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    return data


@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize(("bits", "high_bit"), [(16, 15), (12, 11), (12, 15), (12, 13)])
def test_values_in_some_of_the_bits_then_as_the_standard_places_them(
    tmp_path, bits, high_bit, signed
):
    values = stored(-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else stored(0, 2**bits)
    path = written(tmp_path / "ct", values, bits=bits, high_bit=high_bit, signed=signed)
    np.testing.assert_array_equal(values_of(path), values)


def test_bits_beyond_those_stored_then_left_out(tmp_path):
    values = stored(0, 2**12)
    dirty = (values | 0xA000).astype(np.uint16).tobytes()  # old scanners kept overlays there
    data = slice_dataset(0, BitsStored=12, HighBit=11, PixelRepresentation=0, PixelData=dirty)
    np.testing.assert_array_equal(values_of(write(tmp_path / "ct", [data]) / "file90"), values)


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
    ids=lambda syntax: syntax.name,
)
def test_values_in_an_uncompressed_syntax_then_the_same(tmp_path, syntax):
    values = stored(-1000, 1000).astype(np.int16)
    data = slice_dataset(0, PixelData=values.tobytes())
    data.file_meta.TransferSyntaxUID = syntax
    np.testing.assert_array_equal(values_of(write(tmp_path / "ct", [data]) / "file90"), values)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=lambda syntax: syntax.name)
def test_values_compressed_without_loss_then_the_same(tmp_path, syntax):
    values = stored(0, 4000).astype(np.uint16)
    data = slice_dataset(0, PixelRepresentation=0, PixelData=values.tobytes())
    data.compress(syntax, generate_instance_uid=False)
    np.testing.assert_array_equal(values_of(write(tmp_path / "ct", [data]) / "file90"), values)


@pytest.mark.parametrize("kept", [False, True], ids=["from the disk", "from memory"])
def test_values_that_only_gdcm_decodes_then_the_same_without_rescaling(tmp_path, kept):
    values = np.random.default_rng(0).integers(0, 4000, (64, 80)).astype(np.uint16)
    image = sitk.GetImageFromArray(values[None])
    for tag, value in (("0008|0060", "CT"), ("0028|1052", "-1024"), ("0028|1053", "2")):
        image.SetMetaData(tag, value)
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(tmp_path / "a.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")  # lossless
    writer.Execute(image)
    with ArchiveReader() as reader:
        each = read_slice(reader, Location(tmp_path / "a.dcm"), keep=kept)
        assert not each.pixels.damage
        expected = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.dcm")))[0]
        slope, intercept = each.number("RescaleSlope", 1), each.number("RescaleIntercept", 0)
        np.testing.assert_array_equal(stored_values(each, reader) * slope + intercept, expected)


def test_hu_that_are_whole_and_fit_then_int16_else_wider(tmp_path):
    def volume(name, **changes):
        folder = write(tmp_path / name, [slice_dataset(k, **changes) for k in range(3)])
        return read_volume_of(read_series(folder)).hu

    assert volume("whole").dtype == np.int16
    assert volume("large", RescaleSlope=100).max() > 32767
    assert volume("fractions", RescaleSlope=0.5).dtype == np.float64


def test_slices_of_unlike_factors_then_no_fraction_lost(tmp_path):
    factors = [1000, 0.5, 1]  # beyond 16 bits, then fractions, then neither
    folder = write(
        tmp_path / "ct",
        [slice_dataset(k, RescaleSlope=s, RescaleIntercept=0) for k, s in enumerate(factors)],
    )
    with ArchiveReader() as reader:
        slices = [read_slice(reader, Location(path)) for path in sorted(folder.iterdir())]
        series = Series.of(slices, "ct")
        expected = [
            stored_values(each, reader).astype(float) * s
            for each, s in zip(series.slices, factors, strict=True)
        ]
    np.testing.assert_array_equal(read_volume_of(series).hu, expected)


def test_pixels_damaged_in_a_compressed_slice_then_refused_by_name(tmp_path):
    data = slice_dataset(0, PixelRepresentation=0, PixelData=stored(0, 9).astype("<u2").tobytes())
    data.compress(RLELossless, generate_instance_uid=False)
    path = write(tmp_path / "ct", [data]) / "file90"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="ct/file90: truncated: an item of its compressed pixels"):
        values_of(path)


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_series_in_jpeg_2000_then_decoded_by_several_threads_in_order(
    tmp_path, monkeypatch, damaged
):
    values = [stored(0, 4000, seed) for seed in range(9)]
    folder = write(tmp_path / "ct", [in_jpeg_2000(k, each) for k, each in enumerate(values)])
    threads = set()

    def decoded(image):
        threads.add(threading.get_ident())
        time.sleep(0.02)  # so that one thread cannot take all
        return image.pixel_array

    monkeypatch.setattr(pixels, "DECODERS", 3)
    monkeypatch.setattr(pixels, "_decoded", decoded)
    series = read_series(folder)
    if damaged:
        (folder / "file87").write_bytes((folder / "file87").read_bytes()[:-60])
        with pytest.raises(ValueError, match="file87: its pixels cannot be read"):
            read_volume_of(series)
        return
    read = {
        each.name: hu for each, hu in zip(series.slices, read_volume_of(series).hu, strict=True)
    }
    for k, each in enumerate(values):
        np.testing.assert_array_equal(read[f"file{90 - k}"], each - 1024)
    assert len(threads) == 3
    assert threading.get_ident() not in threads


def test_file_gone_since_its_header_was_read_then_refused_by_name(tmp_path):
    path = write(tmp_path / "ct", [slice_dataset(0)]) / "file90"
    with ArchiveReader() as reader:
        each = read_slice(reader, Location(path))
        path.unlink()
        with pytest.raises(ValueError, match="ct/file90: its pixels cannot be read: .*No such"):
            stored_values(each, reader)


@pytest.mark.parametrize(
    ("padding", "limit"), [(63536, None), (-2000, None), (63536, 63546)], ids=["US", "SS", "range"]
)
def test_padding_that_wrapped_around_then_negative_as_the_scanner_meant(tmp_path, padding, limit):
    values = stored(0, 4000)
    values[0] = 63536
    data = slice_dataset(0, PixelRepresentation=0, PixelData=values.astype("<u2").tobytes())
    data.add_new("PixelPaddingValue", "SS" if padding < 0 else "US", padding)
    if limit:
        data.add_new("PixelPaddingRangeLimit", "US", limit)
    others = [slice_dataset(k, PixelRepresentation=0) for k in (1, 2)]
    hu = read_volume_of(read_series(write(tmp_path / "ct", [data, *others]))).hu
    assert hu.dtype == np.int16
    np.testing.assert_array_equal(hu[0, 0], -2000 - 1024)
    np.testing.assert_array_equal(hu[0, 1:], values[1:] - 1024)


def padded(padding, **changes):
    """A slice whose corners have one value, as outside the circle of the reconstruction."""
    values = stored(0, 4000)
    values[[0, -1]] = padding
    return values, slice_dataset(
        0, PixelRepresentation=0, PixelData=values.astype("<u2").tobytes(), **changes
    )


def test_padding_that_wrapped_around_and_is_not_named_then_negative_with_a_note(tmp_path):
    values, data = padded(63536)
    folder = write(tmp_path / "ct", [data, slice_dataset(1, PixelRepresentation=0)])
    read = read_volume_of(read_series(folder))
    assert read.hu.dtype == np.int16
    np.testing.assert_array_equal(read.hu[0, [0, -1]], -2000 - 1024)
    np.testing.assert_array_equal(read.hu[0, 1:-1], values[1:-1] - 1024)
    (note,) = read.notes
    assert note.startswith("1 slices have one value in their corners that cannot be HU")
    assert SimpleITKReader().get_data(SimpleITKReader().read(folder))[1][NOTES] == [note]


@pytest.mark.parametrize(
    ("corner", "inside", "changes"),
    [
        (63536, 65535, {}),
        (63536, 100, {"RescaleSlope": 0.01}),
        (30000, 100, {}),
        (63536, 100, {"PixelPaddingValue": 0}),
    ],
    ids=["metal too", "HU by its slope", "not negative", "padding named"],
)
def test_corners_that_may_be_hu_then_read_as_stored(tmp_path, corner, inside, changes):
    values, data = padded(corner, **{k: v for k, v in changes.items() if "Padding" not in k})
    values[2, 2] = inside
    data.PixelData = values.astype("<u2").tobytes()
    if "PixelPaddingValue" in changes:
        data.add_new("PixelPaddingValue", "US", 0)
    slope = changes.get("RescaleSlope", 1)
    read = read_volume_of(read_series(write(tmp_path / "ct", [data, slice_dataset(1)])))
    np.testing.assert_allclose(read.hu[0], values * slope - 1024)
    assert read.notes == ()


def test_bits_of_an_overlay_above_signed_values_then_left_out(tmp_path):
    values = stored(-2048, 2048)
    dirty = ((values & 0xFFF) | 0x5000).astype("<u2").tobytes()
    data = slice_dataset(0, BitsStored=12, HighBit=11, PixelData=dirty)
    np.testing.assert_array_equal(values_of(write(tmp_path / "ct", [data]) / "file90"), values)


def test_padding_value_in_32_bits_then_no_wrapped_one(tmp_path):
    values = stored(60000, 70000).astype("<u4")
    values[0] = 63536
    others = {"BitsAllocated": 32, "BitsStored": 32, "HighBit": 31, "PixelRepresentation": 0}
    slices = [slice_dataset(k, **others, PixelData=values.tobytes()) for k in range(2)]
    for data in slices:
        data.add_new("PixelPaddingValue", "US", 63536)
    hu = read_volume_of(read_series(write(tmp_path / "ct", slices))).hu
    np.testing.assert_array_equal(hu, [values.astype(np.int64) - 1024] * 2)


def test_compressed_pixels_of_another_size_than_the_header_says_then_refused(tmp_path):
    data = slice_dataset(0, PixelRepresentation=0, PixelData=stored(0, 9).astype("<u2").tobytes())
    data.compress(JPEGLSLossless, generate_instance_uid=False)
    data.Rows = SHAPE[0] - 1
    path = write(tmp_path / "ct", [data]) / "file90"
    with pytest.raises(ValueError, match=r"they have \(6, 8\) rows and columns, by the header \(5"):
        values_of(path)
