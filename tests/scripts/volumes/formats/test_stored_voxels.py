import re
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.volumes.volume_files import read_volume_file

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
    read_volume_file(write(tmp_path, name, compressed=compressed)[0])


@pytest.mark.parametrize("name", ["a.mhd", "a.nii"])
def test_file_when_cut_short_then_refused_with_both_counts(tmp_path, name):
    path, data = write(tmp_path, name)
    header = data.stat().st_size - BYTES
    cut(data)
    there = data.stat().st_size - header
    counts = f"{data.name}: truncated: .* {BYTES} bytes of voxels, .* {there};"
    with pytest.raises(ValueError, match=counts):
        read_volume_file(path)


def test_file_when_header_and_data_in_one_and_cut_short_then_header_not_counted(tmp_path):
    path, _ = write(tmp_path, "a.mha")
    cut(path)
    found = path.stat().st_size - len(path.read_bytes().partition(b"LOCAL\n")[0]) - 6
    with pytest.raises(ValueError, match=f"states {BYTES} bytes of voxels, the file has {found}"):
        read_volume_file(path)


@pytest.mark.parametrize("spoil", [cut, damage], ids=["cut short", "damaged in the middle"])
@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nii.gz"])
def test_file_when_compressed_data_unsound_then_refused_by_name(tmp_path, name, spoil):
    path, data = write(tmp_path, name, compressed=True)
    spoil(data)
    with pytest.raises(ValueError, match=f"{data.name}: .*damaged or truncated"):
        read_volume_file(path)


def test_file_when_compressed_whole_but_of_fewer_voxels_then_refused(tmp_path):
    path, data = write(tmp_path, "a.mhd", compressed=True)
    data.write_bytes(zlib.compress(VOXELS[:4].tobytes()))
    with pytest.raises(ValueError, match=f"states {BYTES} bytes of voxels, .* {BYTES // 2};"):
        read_volume_file(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_file_when_larger_than_its_header_says_then_refused(tmp_path, compressed):
    path, data = write(tmp_path, "a.mhd", compressed=compressed)
    more = VOXELS.tobytes() * 2
    data.write_bytes(zlib.compress(more) if compressed else more)
    with pytest.raises(ValueError, match=f"not match its header, which states {BYTES} bytes"):
        read_volume_file(path)


def test_file_when_its_data_are_elsewhere_then_named(tmp_path):
    path, data = write(tmp_path, "a.mhd")
    data.unlink()
    with pytest.raises(FileNotFoundError, match="a.raw is not in the same folder"):
        read_volume_file(path)
