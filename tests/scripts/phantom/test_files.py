from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from scripts.phantom.files import Geometry, claim_folder, write_image

FLIPPED = Geometry((120.5, 88.25, -301.0), (-1, -1, 1), (0.7, 0.7, 1.25))


@pytest.mark.parametrize("name", ["scan.mhd", "mask.nii.gz"])
def test_file_is_read_back_with_values_and_geometry(tmp_path: Path, name: str) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_image(tmp_path / name, array, FLIPPED)
    image = sitk.ReadImage(str(tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), array)
    for index in ((0, 0, 0), (3, 2, 1)):
        expected = FLIPPED.world(np.array(index))
        np.testing.assert_allclose(image.TransformIndexToPhysicalPoint(index), expected, atol=1e-4)


def test_negative_hu_are_stored_as_little_endian_shorts(tmp_path: Path) -> None:
    write_image(tmp_path / "a.mhd", np.full((1, 1, 2), -2048, dtype=np.int16), FLIPPED)
    assert (tmp_path / "a.raw").read_bytes() == b"\x00\xf8" * 2


def test_metaimage_then_two_files_and_nothing_temporary(tmp_path: Path) -> None:
    write_image(tmp_path / "new" / "a.mhd", np.zeros((2, 3, 4), dtype=np.uint8), FLIPPED)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.mhd", "a.raw"]
    assert "ElementDataFile = a.raw" in (tmp_path / "new" / "a.mhd").read_text()


def test_failed_write_leaves_the_old_file_and_nothing_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mhd"
    path.write_text("old")

    def fail(image: object, file: str, **options: object) -> None:
        Path(file).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sitk, "WriteImage", fail)
    with pytest.raises(OSError, match="No space left on device"):
        write_image(path, np.zeros((1, 1, 1), dtype=np.uint8), FLIPPED)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mhd"]


def test_folder_of_a_smaller_cohort_then_claimed_for_a_larger_one(tmp_path: Path) -> None:
    claim_folder(tmp_path / "c", {"seed": 1}, 2, "SYNTHETIC")
    claim_folder(tmp_path / "c", {"seed": 1}, 3, "SYNTHETIC")
    with pytest.raises(FileExistsError, match="asked for .*'patients': 2"):
        claim_folder(tmp_path / "c", {"seed": 1}, 2, "SYNTHETIC")
