import gzip
import struct

import nibabel
import numpy as np
import pytest

from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.geometry import affine_of, lps_to_ras
from scripts.volumes.readers import read_image
from scripts.volumes.volume_files import read_volume_file

AFFINE_LPS = np.array([[0.7, 0, 0, -5], [0, 0.8, 0, 6], [0, 0, 2.5, 7], [0, 0, 0, 1.0]])


def test_array_then_every_reader_finds_its_voxels_in_the_same_place(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    nibabel.save(nifti_of(array, AFFINE_LPS), tmp_path / "a.nii.gz")
    theirs = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(theirs.dataobj), array.transpose(2, 1, 0))
    np.testing.assert_allclose(theirs.affine @ [0, 0, 0, 1], [5, -6, 7, 1])
    np.testing.assert_allclose(affine_of(read_image(tmp_path / "a.nii.gz")), AFFINE_LPS, atol=1e-5)
    assert theirs.get_data_dtype() == np.int16


ARRAY = np.random.default_rng(0).integers(-1000, 400, (3, 4, 5)).astype(np.int16)


def write(path, affine=None, *, array=None, kind=nibabel.Nifti1Image, **codes):
    """Write with nibabel; codes: sform, qform."""
    ras = lps_to_ras(AFFINE_LPS) if affine is None else affine
    image = kind(ARRAY.transpose(2, 1, 0) if array is None else array, ras)
    image.set_sform(ras, code=codes.get("sform", 1))
    image.set_qform(ras, code=codes.get("qform", 1))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def patch(path, offset, form, *values):
    content = bytearray(path.read_bytes())
    struct.pack_into(form, content, offset, *values)
    path.write_bytes(content)
    return path


def assert_same(path, affine_lps=AFFINE_LPS):
    volume = read_volume_file(path)
    np.testing.assert_array_equal(volume.hu, ARRAY)
    np.testing.assert_allclose(volume.affine_lps, affine_lps, atol=1e-5)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("codes", [{"qform": 0}, {"sform": 0}, {}], ids=["sform", "qform", "both"])
def test_nifti_when_of_either_version_and_form_then_read(tmp_path, kind, codes):
    assert_same(write(tmp_path / "a.nii", kind=kind, **codes))


def test_nifti_when_it_has_an_extension_then_voxels_begin_after_it(tmp_path):
    image = nifti_of(ARRAY, AFFINE_LPS)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"x" * 500))
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(image, tmp_path / name)
        assert_same(tmp_path / name)


def test_nifti_when_offset_moved_then_voxels_from_there(tmp_path):
    path = write(tmp_path / "a.nii")
    content = path.read_bytes()
    path.write_bytes(content[:352] + b"\1" * 48 + content[352:])
    assert_same(patch(path, 108, "<f", 400.0))
    with pytest.raises(ValueError, match="a.nii: vox_offset, .* must be 348 or more, got 16"):
        read_volume_file(patch(path, 108, "<f", 16.0))


def test_nifti_when_suffix_and_compression_disagree_then_read_by_content(tmp_path):
    content = write(tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii").write_bytes(gzip.compress(content))
    (tmp_path / "c.nii.gz").write_bytes(content)
    (tmp_path / "d.nii.gz").write_bytes(gzip.compress(content[:99]) + gzip.compress(content[99:]))
    for name in ("b.nii", "c.nii.gz", "d.nii.gz"):
        assert_same(tmp_path / name)


@pytest.mark.parametrize(("code", "factor"), [(1, 1e3), (2, 1), (3, 1e-3), (0, 1), (10, 1)])
def test_nifti_when_units_given_then_positions_in_mm(tmp_path, code, factor):
    stated = np.vstack([lps_to_ras(AFFINE_LPS)[:3] / factor, [[0, 0, 0, 1]]])
    path = patch(write(tmp_path / "a.nii", stated), 123, "B", code)
    np.testing.assert_allclose(read_volume_file(path).affine_lps, AFFINE_LPS, rtol=1e-6)


@pytest.mark.parametrize("shear", [1e-4, 3e-4, 9e-4])
@pytest.mark.parametrize("qform", [0, 1])
def test_nifti_when_sform_slightly_off_perpendicular_then_read(tmp_path, shear, qform):
    ras = lps_to_ras(AFFINE_LPS)
    ras[0, 1] = shear * 0.8
    assert_same(write(tmp_path / "a.nii", ras, qform=qform), lps_to_ras(ras))


def test_nifti_when_both_forms_coded_and_apart_then_refused(tmp_path):
    path = write(tmp_path / "a.nii")
    moved = patch(path, 268, "<f", 12.0)  # qoffset_x
    with pytest.raises(ValueError, match="a.nii: its qform and sform place voxels up to 7.000 mm"):
        read_volume_file(moved)


def test_nifti_when_four_dimensions_then_one_volume_read_and_several_refused(tmp_path):
    one = ARRAY.transpose(2, 1, 0)[..., None]
    assert_same(write(tmp_path / "a.nii", array=one))
    with pytest.raises(ValueError, match="b.nii: must be one 3D volume, holds 3"):
        read_volume_file(write(tmp_path / "b.nii", array=np.repeat(one, 3, axis=3)))
    with pytest.raises(ValueError, match="c.nii: must have one value per voxel, got 3"):
        read_volume_file(write(tmp_path / "c.nii", array=np.repeat(one[..., None], 3, axis=4)))


@pytest.mark.parametrize("intercept", [0.0, -1024.0])
def test_nifti_when_scaled_then_slope_and_intercept_applied(tmp_path, intercept):
    path = patch(write(tmp_path / "a.nii"), 112, "<ff", 0.5, intercept)
    volume = read_volume_file(path)
    np.testing.assert_array_equal(volume.hu, ARRAY * 0.5 + intercept)
    assert volume.hu.dtype == np.float32


@pytest.mark.parametrize(
    ("offset", "form", "values", "message"),
    [
        (252, "<hh", (0, 0), "neither qform nor sform is coded"),
        (70, "<hh", (32, 64), "one real number per voxel, got complex64 .datatype 32"),
        (70, "<hh", (128, 24), "one real number per voxel, got colours .RGB. .datatype 128"),
        (70, "<hh", (999, 16), "datatype 999 is unknown"),
        (72, "<h", (8,), "bitpix must be 16 for datatype 4, got 8"),
        (344, "4s", (b"ni1\0",), "the header of a pair of files"),
        (344, "4s", (b"abc\0",), "not a readable NIfTI file: without its mark"),
        (40, "<h", (0,), "dim must be 1 to 7 sizes above 0"),
        (42, "<h", (-5,), "dim must be 1 to 7 sizes above 0"),
        (42, "<hhh", (30000, 30000, 30000), "truncated: the header states 54000000000000 bytes"),
        (108, "<f", (float("nan"),), "not a readable NIfTI file"),
        (112, "<ff", (1.0, float("inf")), "not a readable NIfTI file"),
        (123, "B", (7,), "xyzt_units must be m, mm or microns, got code 7"),
        (80, "<f", (-0.7,), "spacing .pixdim. must be above 0 mm"),
        (256, "<f", (float("nan"),), "qform must be a rotation"),
        (256, "<f", (2.0,), "qform must be a rotation"),
        (280, "<f", (float("inf"),), "sform must be finite"),
    ],
)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_when_a_field_is_unsound_then_one_line_names_it(
    tmp_path, name, offset, form, values, message
):
    path = patch(write(tmp_path / "a.nii"), offset, form, *values)
    if name.endswith(".gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress((tmp_path / "a.nii").read_bytes()))
        message = message.replace("truncated: the header states", "damaged or truncated .*")
        message = message.removesuffix(" bytes").replace(".*  54", ".* 54")
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        read_volume_file(path)


def test_nifti_when_not_one_then_refused_by_name(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(b"no NIfTI at all")
    with pytest.raises(ValueError, match="a.nii: not a readable NIfTI file"):
        read_volume_file(path)
    path = tmp_path / "b.nii.gz"
    path.write_bytes(gzip.compress(b"none either" * 100))
    with pytest.raises(ValueError, match="b.nii.gz: not a readable NIfTI file"):
        read_volume_file(path)
