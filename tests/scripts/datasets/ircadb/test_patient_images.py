import numpy as np
import pytest
from pydicom.config import disable_value_validation

from scripts.datasets.ircadb.patient_images import read_ct, read_mask
from scripts.storage.archive import ArchiveReader
from scripts.storage.file_tree import folder_files
from scripts.volumes.geometry import index_to_world
from tests.scripts.datasets.ircadb.dicom_images import (
    ORIGIN,
    SHAPE,
    block,
    dicom_bytes,
    hu_volume,
    images,
    masks,
)
from tests.scripts.datasets.ircadb.zips import write_files

LIVER = masks()["liver"]


def ct_of(folder, files):
    with ArchiveReader() as reader:
        return read_ct(reader, folder_files(write_files(folder / "ct", files), ()))


def mask_of(folder, files, ct):
    with ArchiveReader() as reader:
        return read_mask(reader, folder_files(write_files(folder / "mask", files), ()), ct)


@pytest.fixture
def ct(tmp_path):
    return ct_of(tmp_path, images(hu_volume()))


@pytest.mark.parametrize("descending", [False, True], ids=["rising-z", "falling-z"])
def test_numbers_rise_or_fall_along_z_then_same_volume(tmp_path, descending):
    ct = ct_of(tmp_path, images(hu_volume(), descending=descending))
    np.testing.assert_array_equal(ct.hu, hu_volume())
    np.testing.assert_allclose(index_to_world([0, 0, 0], ct.affine), ORIGIN)
    np.testing.assert_allclose(index_to_world([1, 1, 1], ct.affine) - ORIGIN, [0.7, 0.8, 2])
    assert ct.voxel_ml == pytest.approx(0.7 * 0.8 * 2 / 1000)
    assert not ct.notes


def test_mask_numbered_the_other_way_round_then_matched_by_place(tmp_path, ct):
    mask = mask_of(tmp_path, images(LIVER, descending=True), ct)
    np.testing.assert_array_equal(mask, LIVER == 255)


def test_rescale_then_hu(tmp_path):
    stored = (hu_volume() + 1024).astype(np.uint16)
    ct = ct_of(tmp_path, images(stored, RescaleIntercept=-1024))
    np.testing.assert_array_equal(ct.hu, hu_volume())


def test_modality_in_lower_case_then_a_ct(tmp_path):
    with disable_value_validation():
        ct = ct_of(tmp_path, images(hu_volume(), Modality=" ct "))
    np.testing.assert_array_equal(ct.hu, hu_volume())


def test_rescale_of_a_half_then_rounded_hu(tmp_path):
    ct = ct_of(tmp_path, images(hu_volume(), RescaleSlope=0.5, RescaleIntercept=-300))
    np.testing.assert_array_equal(ct.hu, np.rint(hu_volume() * 0.5 - 300))


def without(number, files):
    return {name: content for name, content in files.items() if name != f"image_{number}"}


def changed(number, files, pixels=None, **elements):
    """Another header for one image, its place kept."""
    k = int(number)
    where = {"ImagePositionPatient": [*ORIGIN[:2], ORIGIN[2] + 2 * k]}
    pixels = hu_volume()[k] if pixels is None else pixels
    return {**files, f"image_{k}": dicom_bytes(pixels, **{**where, **elements})}


RAW = (hu_volume() + 1024).astype(np.uint16)
WHOLE = images(hu_volume())
REFUSED = {
    "missing": (without(2, WHOLE), "1 missing between image_1 and image_3: 4 mm apart"),
    "doubled": (
        WHOLE | {"image_9": WHOLE["image_3"]},
        "image_3 and image_9 have the same",
    ),
    "uneven": (
        changed(3, WHOLE, ImagePositionPatient=[*ORIGIN[:2], ORIGIN[2] + 6.7]),
        "unevenly spaced between image_2 and image_3",
    ),
    "sideways": (
        changed(3, WHOLE, ImagePositionPatient=[ORIGIN[0] + 1, ORIGIN[1], ORIGIN[2] + 6]),
        "image_3 lies 1.000 mm off",
    ),
    "single": ({"image_0": WHOLE["image_0"]}, "a volume needs at least 2"),
    "text": (WHOLE | {"readme": b"not an image"}, "readme: not a readable DICOM file"),
    "cut-short": (WHOLE | {"image_1": WHOLE["image_1"][:-20]}, "image_1: truncated: .* 160 bytes"),
    "no-pixels": (changed(1, WHOLE, Rows=None), "image_1: holds no image: Rows missing"),
    "other-modality": (images(hu_volume(), Modality="MR"), "must be a CT image, its modality is"),
    "no-hu": (
        images(hu_volume(), RescaleType="MGML"),
        "they are mg/ml of a contrast",
    ),
    "scout": (changed(1, WHOLE, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "a scout view"),
    "two-series": (
        changed(1, WHOLE, SeriesInstanceUID="9.9"),
        "SeriesInstanceUID must be the same in every slice: 1.2.3.4 in most, but 9.9 in image_1",
    ),
    "two-sizes": (
        changed(1, WHOLE, hu_volume()[1][:, :9]),
        "Columns must be the same .* 10 in most, but 9 in image_1",
    ),
    "two-spacings": (
        changed(1, WHOLE, PixelSpacing=[0.8, 0.8]),
        "PixelSpacing must be the same .* but 0.8, 0.8 in image_1",
    ),
    "two-orientations": (
        changed(1, WHOLE, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0]),
        "ImageOrientationPatient must be the same .* in image_1",
    ),
    "no-spacing": (images(hu_volume(), PixelSpacing=None), "PixelSpacing missing"),
    "no-orientation": (
        images(hu_volume(), ImageOrientationPatient=None),
        "ImageOrientationPatient missing",
    ),
    "one-unplaced": (
        changed(1, WHOLE, ImageOrientationPatient=None, ImagePositionPatient=None),
        "presence of a position must be the same .* False in image_1",
    ),
    "tilted": (
        images(hu_volume(), ImageOrientationPatient=[1, 0, 0, 0, 0.96, 0.28]),
        "axes must be perpendicular",
    ),
    "from-zero-unscaled": (
        images(RAW, RescaleIntercept=None),
        "must be HU, .* is 24 .*image_0 has no RescaleIntercept",
    ),
    "one-unscaled": (
        changed(1, WHOLE, RescaleIntercept=None),
        "presence of RescaleIntercept must be the same .* False in image_1",
    ),
    "beyond-16-bits": (images(hu_volume(), RescaleSlope=500), "fit into 16 bits"),
    "inverted": (images(hu_volume(), PhotometricInterpretation="MONOCHROME1"), "MONOCHROME2"),
    "colour": (images(hu_volume(), SamplesPerPixel=3), "SamplesPerPixel must be 1 .one greyscale"),
    "unplaced-unspaced": (
        images(hu_volume(), placed=False, SliceThickness=None),
        "neither a position nor a distance",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_ct_that_cannot_be_trusted_then_refused_by_file(tmp_path, case):
    files, said = REFUSED[case]
    with pytest.raises(ValueError, match=said):
        ct_of(tmp_path, files)


def test_factors_of_slices_differ_then_each_slice_by_its_own(tmp_path):
    whole = images(hu_volume())
    k = 3
    place = [*ORIGIN[:2], ORIGIN[2] + 2 * k]
    halved = dicom_bytes(hu_volume()[k], ImagePositionPatient=place, RescaleSlope=0.5)
    ct = ct_of(tmp_path, whole | {f"image_{k}": halved})
    expected = hu_volume().astype(float)
    expected[k] = np.rint(expected[k] / 2)
    np.testing.assert_array_equal(ct.hu, expected)


def test_ct_then_its_slices_keep_headers_and_no_pixels(ct):
    assert [each.name for each in ct.slices] == [f"image_{k}" for k in range(6)]
    assert all(each.content is None and "PixelData" not in each.header for each in ct.slices)


def test_no_rescale_but_air_below_zero_then_read_and_said(tmp_path):
    ct = ct_of(tmp_path, images(hu_volume(), RescaleIntercept=None))
    np.testing.assert_array_equal(ct.hu, hu_volume())
    assert "no RescaleIntercept; their lowest value is -1000" in ct.notes[0]


def test_no_geometry_in_ct_and_mask_then_by_number_and_said(tmp_path):
    volume = np.concatenate([hu_volume(), hu_volume(1)])  # image_10 comes after image_9
    ct = ct_of(tmp_path, images(volume, placed=False))
    np.testing.assert_array_equal(ct.hu, volume)
    assert "no image has a position: sorted by name" in ct.notes[0]
    np.testing.assert_allclose(np.diag(ct.affine), [0.7, 0.8, 2, 1])
    double = np.concatenate([LIVER, block(slice(0, 1))])
    np.testing.assert_array_equal(mask_of(tmp_path, images(double, placed=False), ct), double > 0)


def test_mask_of_0_and_1_then_read(tmp_path, ct):
    np.testing.assert_array_equal(mask_of(tmp_path, images(LIVER // 255), ct), LIVER > 0)


MASK = images(LIVER)
ELSEWHERE = dicom_bytes(LIVER[0], ImagePositionPatient=[*ORIGIN[:2], ORIGIN[2] + 0.9])
UNPLACED = images(LIVER, placed=False)
REFUSED_MASKS = {
    "one-missing": (without(2, MASK), "1 of 6 slices of the CT have no mask image: image_2"),
    "last-missing": (without(5, MASK), "1 of 6 slices of the CT have no mask image: image_5"),
    "doubled": (MASK | {"image_9": MASK["image_3"]}, "image_9: has the same position as"),
    "elsewhere": (MASK | {"image_0": ELSEWHERE}, "image_0: is on no slice of the CT, .*0.900 mm"),
    "other-size": (images(LIVER[:, :, :9]), r"its size \(8, 9\) differs from the CT's \(8, 10\)"),
    "other-spacing": (images(LIVER, PixelSpacing=[0.7, 0.7]), "PixelSpacing .* differs from"),
    "other-orientation": (
        images(LIVER, ImageOrientationPatient=[-1, 0, 0, 0, -1, 0]),
        "ImageOrientationPatient .* differs from",
    ),
    "no-position": (UNPLACED, "the CT has positions and it has none"),
    "grey": (images(LIVER // 2), r"must hold 0 and 255 only, or 0 and 1, got \[0, 127\]"),
    "mixed": (images(LIVER // 255) | {"image_2": MASK["image_2"]}, r"got \[0, 1, 255\]"),
    "text": (MASK | {"readme": b"no image"}, "readme: not a readable DICOM file"),
}


@pytest.mark.parametrize("case", REFUSED_MASKS)
def test_mask_that_does_not_match_then_refused_by_file(tmp_path, ct, case):
    files, said = REFUSED_MASKS[case]
    with pytest.raises(ValueError, match=said):
        mask_of(tmp_path, files, ct)


def test_neither_placed_but_names_differ_then_refused(tmp_path):
    ct = ct_of(tmp_path, images(hu_volume(), placed=False))
    files = without(5, UNPLACED) | {"slice_5": UNPLACED["image_5"]}
    with pytest.raises(ValueError, match="must have the same names; differing: image_5, slice_5"):
        mask_of(tmp_path, files, ct)


def test_mask_placed_but_ct_is_not_then_refused(tmp_path):
    ct = ct_of(tmp_path, images(hu_volume(), placed=False))
    with pytest.raises(ValueError, match="it has positions and the CT has none"):
        mask_of(tmp_path, MASK, ct)


def test_volume_then_of_the_shape_that_was_written(ct):
    assert ct.hu.shape == SHAPE
    assert ct.hu.dtype == np.int16
