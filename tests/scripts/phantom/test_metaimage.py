from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.phantom.metaimage import Geometry, write_metaimage, write_nifti, write_whole

FLIPPED = Geometry((120.5, 88.25, -301.0), (-1, -1, 1), (0.7, 0.7, 1.25))


@pytest.mark.parametrize("name", ["scan.mhd", "mask.nii.gz"])
def test_file_is_read_back_with_values_and_geometry(tmp_path: Path, name: str) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write = write_metaimage if name.endswith("mhd") else write_nifti
    write(tmp_path / name, array, FLIPPED)
    image = sitk.ReadImage(str(tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    for index in ((0, 0, 0), (3, 2, 1)):
        expected = FLIPPED.world(np.array(index))
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), expected, atol=1e-4)


def test_negative_hu_are_stored_as_little_endian_shorts(tmp_path: Path) -> None:
    write_metaimage(tmp_path / "a.mhd", np.full((1, 1, 2), -2048, dtype=np.int16), FLIPPED)
    assert (tmp_path / "a.raw").read_bytes() == b"\x00\xf8" * 2


def test_failed_write_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail(beside: Path) -> None:
        beside.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match=r"cannot write .*table.csv \(No space left on device\)"):
        write_whole(path, fail)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
