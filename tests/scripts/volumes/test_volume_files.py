import os

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.volumes.formats.stored_voxels import HEADER_BYTES
from scripts.volumes.volume_files import data_file_named_by, files_of, read_volume_file
from tests.scripts.volumes.formats.test_stored_voxels import VOXELS, write


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.mhd", b"ElementDataFile = b.raw", "b.raw"),
        ("a.mha", b"ElementDataFile = LOCAL\n\0\1", ""),
        ("a.mhd", b"ElementDataFile = sub/b.raw", "sub/b.raw"),
        ("A.NRRD", b"NRRD0004\ndata file: b.bin", "b.bin"),
        ("a.nrrd", b"NRRD0004\ntype: short\n\n\0\1", ""),
        ("a.nii.gz", b"anything", ""),
    ],
)
def test_data_file_when_header_names_it_then_relative_to_its_folder(name, head, expected):
    assert data_file_named_by(name, head) == expected


@pytest.mark.parametrize("named", ["/etc/passwd", "../b.raw", "sub/../../b", "C:/b.raw", ""])
@pytest.mark.parametrize(
    ("name", "head"), [("a.mhd", "ElementDataFile = "), ("a.nrrd", "NRRD0005\ndata file: ")]
)
def test_data_file_when_outside_the_headers_folder_then_refused(name, head, named):
    if not named and name == "a.nrrd":
        pytest.skip("then the voxels follow the header")
    with pytest.raises(ValueError, match="must name a file in the header's folder"):
        data_file_named_by(name, f"{head}{named}\n".encode())


def test_files_when_header_invalid_then_itself_alone(tmp_path):
    path, data = write(tmp_path, "a.mhd")
    assert files_of(path) == (path, data)
    data.unlink()
    assert files_of(path) == (path,)
    path.write_bytes(b"nothing")
    assert files_of(path) == (path,)


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nii", "a.nii.gz"])
def test_volume_when_its_own_name_is_in_gbk_then_read_where_itk_dies(tmp_path, name):
    path, _ = write(tmp_path, name)
    target = os.path.join(os.fsencode(tmp_path), "患者".encode("gbk") + name[1:].encode())
    os.rename(path, target)
    np.testing.assert_array_equal(read_volume_file(type(path)(os.fsdecode(target))).hu, VOXELS)


def test_volume_when_written_by_simpleitk_under_a_chinese_name_then_read(tmp_path):
    path = tmp_path / "患者胸部.mhd"
    sitk.WriteImage(sitk.GetImageFromArray(VOXELS), str(path))
    np.testing.assert_array_equal(read_volume_file(path).hu, VOXELS)


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nii", "a.nii.gz"])
def test_volume_when_any_byte_of_its_header_changes_then_read_or_one_line(tmp_path, name):
    path, _ = write(tmp_path, name)
    whole = path.read_bytes()
    rng = np.random.default_rng(7)
    for _ in range(150):
        content = bytearray(whole)
        for at in rng.integers(0, min(len(whole), 400), rng.integers(1, 4)):
            content[at] = rng.integers(0, 256)
        path.write_bytes(content)
        try:
            read_volume_file(path)
        except (ValueError, OSError) as error:
            assert str(error).startswith(f"{tmp_path}"), error  # noqa: PT017


def test_header_when_endless_then_not_read_whole(tmp_path):
    path = tmp_path / "a.mhd"
    path.write_bytes(b"Comment = 1\n" * (HEADER_BYTES // 9))
    with pytest.raises(ValueError, match="not a MetaImage header"):
        read_volume_file(path)
