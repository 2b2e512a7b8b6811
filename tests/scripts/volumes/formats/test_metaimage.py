import os
import re

import numpy as np
import pytest

from scripts.volumes.formats.metaimage import parse_metaimage_header
from scripts.volumes.volume_files import files_of, read_volume_file
from tests.scripts.volumes.formats.test_stored_voxels import BYTES, VOXELS, edit, write


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (rb"DimSize = .*", b"DimSize = 16 20", "DimSize must be three numbers above 0"),
        (rb"DimSize = .*", b"DimSize = 16 20 0", "DimSize must be three numbers above 0"),
        (rb"DimSize = .*", b"DimSize = many", "DimSize in whole numbers .* 'many'"),
        (rb"MET_SHORT", b"MET_STRING", "known ElementType, got .* 'MET_STRING'"),
        (rb"ElementDataFile", b"DataFile", "no line 'ElementDataFile|twice"),
        (rb"a.raw", b"LIST", "several data files"),
        (rb"BinaryData = True", b"BinaryData = False", "BinaryData must be True"),
        (rb"DimSize", b"HeaderSize = 10\nDimSize", f"states {BYTES} .* has {BYTES - 10};"),
        (rb"DimSize", b"HeaderSize = x\nDimSize", "HeaderSize must be a whole number, got 'x'"),
        (rb"Offset = 0", b"Offset = nan", "Offset must be 3 finite numbers, got 'nan 0 0'"),
        (rb"Offset = 0", b"Offset = ?", "Offset must be 3 finite numbers"),
        (rb"Offset = 0", b"Offset =", "Offset must be 3 finite numbers, got '0 0'"),
        (rb"Offset =", b"Comment =", "lacks Offset; positions in mm would be made up"),
        (rb"ElementSpacing =", b"Comment =", "lacks ElementSpacing; sizes in mm"),
        (rb"ElementSpacing = 1", b"ElementSpacing = 0", "ElementSpacing must be above 0 mm"),
        (rb"ElementSpacing = 1", b"ElementSpacing = -1", "must be above 0 mm, got '-1 1 1'"),
        (rb"Matrix = 1", b"Matrix = inf", "TransformMatrix must be 9 finite numbers"),
        (rb"MET_SHORT", b"MET_DOUBLE", f"states {BYTES * 4} bytes"),
        (rb"DimSize", b"ElementNumberOfChannels = 3\nDimSize", "one value per voxel, got 3"),
        (rb"DimSize", b"DistanceUnits = feet\nDimSize", "DistanceUnits must be mm.* 'feet'"),
        (rb"DimSize", b"Position = 1 0 0\nDimSize", "Offset and Position must be equal"),
        (rb"DimSize", b"Offset = 1 0 0\nDimSize", "gives Offset twice"),
        (rb"NDims = 3", b"NDims = 4", "one 3D volume"),
        (rb"NDims = 3", b"NDims", "line 2 must be 'key = value', got 'NDims'"),
        (rb"Matrix = 1", b"Matrix = 2", "columns .TransformMatrix. must have length 1"),
        (rb"a.raw", b"/etc/passwd", "ElementDataFile must name a file in the header's folder"),
        (rb"a.raw", b"../a.raw", "must name a file in the header's folder, got '../a.raw'"),
        (rb"a.raw", rb"..\\a.raw", "must name a file in the header's folder"),
        (rb"a.raw", rb"C:/a.raw", "must name a file in the header's folder"),
        (rb"a.raw", b"b%03d.raw 1 9 1", "several data files"),
    ],
)
def test_metaimage_when_header_unsound_then_refused(tmp_path, old, new, message):
    path, _ = write(tmp_path, "a.mhd")
    edit(path, old, new)
    with pytest.raises(ValueError, match=f"a.*: .*{message}"):
        read_volume_file(path)


def test_metaimage_when_direction_absent_then_identity_as_the_format_has_it(tmp_path):
    path, _ = write(tmp_path, "a.mhd")
    edit(path, rb"TransformMatrix = .*\n", b"")
    np.testing.assert_array_equal(read_volume_file(path).affine_lps, np.eye(4))


def test_metaimage_when_header_size_is_counted_from_the_end_then_voxels_are_the_last_bytes(
    tmp_path,
):
    path, data = write(tmp_path, "a.mhd")
    data.write_bytes(b"old scanner header" + data.read_bytes())
    edit(path, rb"DimSize", b"HeaderSize = -1\nDimSize")
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb"NDims", b"\n  \nNDims"),
        (rb"NDims", b"# of a scanner\nComment = a = b\nNDims"),
        (rb"NDims = 3", b"ndims=3  \t"),
        (rb"(?s)(.*)", lambda m: m[1].replace(b"\n", b"\r\n")),
        (rb"(?s)^(.*)", lambda m: b"\xef\xbb\xbf" + m[1]),
        (rb"(?s)(.*)", lambda m: m[1].rstrip(b"\n")),
        (rb"BinaryData = True", b"BinaryData = true"),
    ],
    ids=["blank lines", "comments", "lower case", "CR LF", "byte order mark", "no end", "true"],
)
def test_metaimage_when_written_otherwise_then_read_alike(tmp_path, old, new):
    path, _ = write(tmp_path, "a.mhd")
    path.write_bytes(re.sub(old, new, path.read_bytes(), count=1))
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)


@pytest.mark.parametrize(
    ("unit", "stated", "mm"), [("um", 500, 0.5), ("cm", 0.25, 2.5), ("mm", 1, 1.0)]
)
def test_metaimage_when_in_another_unit_then_in_mm(tmp_path, unit, stated, mm):
    path, _ = write(tmp_path, "a.mhd")
    edit(path, rb"DimSize", f"DistanceUnits = {unit}\nDimSize".encode())
    edit(path, rb"ElementSpacing = 1 1 1", f"ElementSpacing = {stated} {stated} {stated}".encode())
    assert read_volume_file(path).spacing_mm == (mm, mm, mm)


def test_metaimage_when_intensity_has_a_slope_then_applied(tmp_path):
    path, _ = write(tmp_path, "a.mhd")
    slope = b"ElementToIntensityFunctionSlope = 2\nElementToIntensityFunctionOffset = -5\nDimSize"
    edit(path, rb"DimSize", slope)
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS * 2.0 - 5)


def test_metaimage_when_bytes_are_most_significant_first_then_swapped(tmp_path):
    path, data = write(tmp_path, "a.mhd")
    data.write_bytes(VOXELS.astype(">i2").tobytes())
    edit(path, rb"OrderMSB = False", b"OrderMSB = True")
    volume = read_volume_file(path)
    np.testing.assert_array_equal(volume.hu, VOXELS)
    assert volume.hu.dtype == np.int16


def test_metaimage_when_compressed_without_its_size_then_read_where_itk_returns_noise(tmp_path):
    path, _ = write(tmp_path, "a.mha", compressed=True)
    content = re.sub(rb"CompressedDataSize = .*\n", b"", path.read_bytes(), count=1)
    path.write_bytes(content)
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)


NAMES = {
    "Chinese in UTF-8": "患者胸部.raw".encode(),
    "Chinese in GBK": "患者胸部.raw".encode("gbk"),
    "Latin-1": "Müller.raw".encode("latin-1"),
    "spaces": b"a b c.raw",
    "percent": b"100%done.raw",
    "in a folder below": b"data/a.raw",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_metaimage_when_its_data_file_has_any_name_then_read(tmp_path, name):
    path, data = write(tmp_path, "a.mhd")
    target = os.path.join(os.fsencode(tmp_path), name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.rename(data, target)
    path.write_bytes(path.read_bytes().replace(b"a.raw", name))
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)
    assert [os.fsencode(file) for file in files_of(path)] == [os.fsencode(path), target]


def test_metaimage_when_header_in_utf8_and_disk_in_decomposed_accents_then_read(tmp_path):
    path, data = write(tmp_path, "a.mhd")
    data.rename(tmp_path / "Mu\u0308ller.raw")
    path.write_bytes(path.read_bytes().replace(b"a.raw", "M\u00fcller.raw".encode()))
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)


def test_metaimage_when_named_by_its_whole_path_then_read(tmp_path):
    path, data = write(tmp_path, "a.mhd")
    path.write_bytes(path.read_bytes().replace(b"a.raw", bytes(data)))
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)


def test_metaimage_when_its_data_file_is_a_link_of_the_user_then_read(tmp_path):
    path, data = write(tmp_path, "a.mhd")
    (tmp_path / "store").mkdir()
    data.rename(tmp_path / "store" / "5f3a")
    data.symlink_to(tmp_path / "store" / "5f3a")
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)


def test_metaimage_when_real_luna_header_then_entries_by_lower_case_keys(tmp_path):
    head = b"ObjectType = Image\nElementSpacing = 0.7 0.7 2.5\nElementDataFile = a.zraw\nnoise"
    entries, length = parse_metaimage_header(tmp_path / "a.mhd", head)
    assert entries["elementspacing"] == "0.7 0.7 2.5"
    assert head[length:] == b"noise"
