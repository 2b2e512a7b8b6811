import gzip
import re
import zlib

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from scripts.volumes.volume_files import check_bytes, read_metaimage_header

RNG = np.random.default_rng(0)
VOXELS = RNG.integers(-1000, 400, (8, 20, 16)).astype(np.int16)
BYTES = VOXELS.nbytes


def write(tmp_path, name, *, compressed=False):
    path = tmp_path / name
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(path), compressed)
    data = [file for file in tmp_path.iterdir() if file != path]
    return path, (data or [path])[0]


def cut(path, share=0.6):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def damage(path):
    content = bytearray(path.read_bytes())
    half = len(content) // 2
    content[half : half + 40] = bytes(40)
    path.write_bytes(content)


def edit(path, old, new):
    path.write_bytes(re.sub(old, new, path.read_bytes(), count=1))


FILES = [
    ("a.mhd", False), ("a.mhd", True), ("a.mha", False), ("a.mha", True), ("a.nrrd", True),
    ("a.nrrd", False), ("a.nii", False), ("a.nii.gz", True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "compressed"), FILES)
def test_file_when_whole_then_passes(tmp_path, name, compressed):
    check_bytes(write(tmp_path, name, compressed=compressed)[0])


@pytest.mark.parametrize("name", ["a.mhd", "a.nii"])
def test_file_when_cut_short_then_refused_with_both_counts(tmp_path, name):
    path, data = write(tmp_path, name)
    whole = data.stat().st_size
    cut(data)
    counts = f"{data.name}: truncated: .* {whole} bytes of voxels, .* {data.stat().st_size};"
    with pytest.raises(ValueError, match=counts):
        check_bytes(path)


def test_file_when_header_and_data_in_one_and_cut_short_then_header_not_counted(tmp_path):
    path, _ = write(tmp_path, "a.mha")
    cut(path)
    found = path.stat().st_size - read_metaimage_header(path)[1]
    with pytest.raises(ValueError, match=f"states {BYTES} bytes of voxels, the file has {found}"):
        check_bytes(path)


@pytest.mark.parametrize("spoil", [cut, damage], ids=["cut short", "damaged in the middle"])
@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nii.gz"])
def test_file_when_compressed_data_unsound_then_refused_by_name(tmp_path, name, spoil):
    path, data = write(tmp_path, name, compressed=True)
    spoil(data)
    with pytest.raises(ValueError, match=f"{data.name}: .*damaged or truncated"):
        check_bytes(path)


def test_file_when_compressed_whole_but_of_fewer_voxels_then_refused(tmp_path):
    path, data = write(tmp_path, "a.mhd", compressed=True)
    data.write_bytes(zlib.compress(VOXELS[:4].tobytes()))
    with pytest.raises(ValueError, match=f"states {BYTES} bytes of voxels, .* {BYTES // 2};"):
        check_bytes(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_file_when_larger_than_its_header_says_then_refused(tmp_path, compressed):
    path, data = write(tmp_path, "a.mhd", compressed=compressed)
    more = VOXELS.tobytes() * 2
    data.write_bytes(zlib.compress(more) if compressed else more)
    with pytest.raises(ValueError, match=f"not match its header, which states {BYTES} bytes"):
        check_bytes(path)


def test_file_when_its_data_are_elsewhere_then_named(tmp_path):
    path, data = write(tmp_path, "a.mhd")
    data.unlink()
    with pytest.raises(FileNotFoundError, match="a.raw is not in the same folder"):
        check_bytes(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (rb"DimSize = .*", b"DimSize = 16 20", "DimSize must be three numbers above 0"),
        (rb"DimSize = .*", b"DimSize = 16 20 0", "DimSize must be three numbers above 0"),
        (rb"DimSize = .*", b"DimSize = many", "DimSize in whole numbers .* 'many'"),
        (rb"MET_SHORT", b"MET_STRING", "known ElementType, got .* 'MET_STRING'"),
        (rb"ElementDataFile", b"DataFile", "no line 'ElementDataFile"),
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
        (rb"DimSize", b"ElementNumberOfChannels = 3\nDimSize", f"states {BYTES * 3} bytes"),
    ],
)
def test_metaimage_when_header_unsound_then_refused(tmp_path, old, new, message):
    path, _ = write(tmp_path, "a.mhd")
    edit(path, old, new)
    with pytest.raises(ValueError, match=f"a.*: .*{message}"):
        check_bytes(path)


def test_metaimage_when_direction_absent_then_identity_as_the_format_has_it(tmp_path):
    path, _ = write(tmp_path, "a.mhd")
    edit(path, rb"TransformMatrix = .*\n", b"")
    check_bytes(path)
    assert sitk.ReadImage(str(path)).GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)


def test_metaimage_when_header_size_is_counted_from_the_end_then_passes(tmp_path):
    path, data = write(tmp_path, "a.mhd")
    data.write_bytes(b"old scanner header" + data.read_bytes())
    edit(path, rb"DimSize", b"HeaderSize = -1\nDimSize")
    check_bytes(path)


def test_nifti_when_not_one_then_refused_by_name(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"no NIfTI at all")
    with pytest.raises(ValueError, match="a.nii: not a readable NIfTI file"):
        check_bytes(path)
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(b"none either" * 100))
    with pytest.raises(ValueError, match="b.nii.gz: not a readable NIfTI file"):
        check_bytes(path)


def test_nifti_when_written_by_nibabel_then_passes(tmp_path):
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(VOXELS.astype(np.float32), np.eye(4)), path)
    check_bytes(path)
