import importlib.util
import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor, NibabelReader
from monai.transforms import Compose, LoadImage, LoadImaged, Orientationd, SaveImage, Spacingd

from scripts.volumes import readers
from scripts.volumes.geometry import affine_of, lps_to_ras, to_lps
from scripts.volumes.readers import SimpleITKReader, VolumeReader, read_image, read_volume
from tests.scripts.volumes.dicom.test_series_volume import slice_dataset
from tests.scripts.volumes.dicom.test_series_volume import write as write_series

# MONAI registers every reader it knows on the way, one of which wants a GPU library
pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")

READER = "scripts.volumes.readers.SimpleITKReader"
ROOT = Path(__file__).resolve().parents[3]
DIRECTIONS = {
    "identity": np.eye(3),
    "flipped": np.diag([-1.0, -1.0, 1.0]),
    "permuted": np.eye(3)[[2, 0, 1]],
}


def volume(direction=DIRECTIONS["identity"], dtype=np.int16, size=(7, 6, 5)):
    rng = np.random.default_rng(1)
    image = sitk.GetImageFromArray(rng.integers(-1000, 400, size[::-1]).astype(dtype))
    image.SetSpacing((0.75, 0.5, 2.5))
    image.SetOrigin((-90.5, 40.25, -300.0))
    image.SetDirection(direction.ravel().tolist())
    return image


def write(image, path):
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.parametrize("name", ["a.mhd", "a.mha", "a.nrrd", "a.nii", "a.nii.gz"])
@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_image_when_read_then_voxels_type_and_place_are_the_files(tmp_path, name, direction):
    image = volume(direction)
    again = read_image(write(image, tmp_path / name))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(again), sitk.GetArrayFromImage(image))
    assert again.GetPixelID() == sitk.sitkInt16
    np.testing.assert_allclose(affine_of(again), affine_of(image), atol=1e-4)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_reader_when_same_volume_as_nifti_then_equal_to_monais_nibabel_reader(tmp_path, direction):
    image = volume(direction)
    nifti = write(image, tmp_path / "a.nii.gz")
    theirs = LoadImage(NibabelReader(), ensure_channel_first=True)(nifti)
    for path in (write(image, tmp_path / "a.mhd"), nifti):
        ours = LoadImage(READER, ensure_channel_first=True)(path)
        assert ours.shape == (1, 7, 6, 5)
        torch.testing.assert_close(ours.as_tensor(), theirs.as_tensor(), rtol=0, atol=0)
        torch.testing.assert_close(ours.affine, theirs.affine, rtol=0, atol=1e-5)
        for key in ("original_affine", "spatial_shape"):
            np.testing.assert_allclose(ours.meta[key], theirs.meta[key], atol=1e-5)
        assert ours.meta["space"] == theirs.meta["space"]
        assert ours.meta["filename_or_obj"] == str(path)


@pytest.mark.parametrize("direction", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_pipeline_when_turned_resampled_inverted_and_saved_then_in_the_files_grid(
    tmp_path, direction
):
    image = volume(direction)
    path = write(image, tmp_path / "a.mhd")
    forward = Compose(
        [
            LoadImaged("image", reader=READER, ensure_channel_first=True),
            Orientationd("image", axcodes="LPS", labels=None),
            Spacingd("image", pixdim=to_lps(image).GetSpacing()),
        ]
    )
    data = forward({"image": path})
    back = forward.inverse(data)["image"]
    assert isinstance(back, MetaTensor)
    np.testing.assert_allclose(back.affine, lps_to_ras(affine_of(image)), atol=1e-5)
    save = SaveImage(tmp_path, output_postfix="seg", separate_folder=False, print_log=False)
    save(back)
    saved = read_image(tmp_path / "a_seg.nii.gz")
    np.testing.assert_allclose(affine_of(saved), affine_of(image), atol=1e-4)
    np.testing.assert_allclose(
        sitk.GetArrayFromImage(saved), sitk.GetArrayFromImage(image), atol=1e-2
    )


def test_reader_when_several_volumes_then_channels(tmp_path):
    paths = [write(volume(), tmp_path / "a.mhd"), write(volume() + 1, tmp_path / "b.mhd")]
    both = LoadImage(READER, ensure_channel_first=True)(paths)
    assert both.shape == (2, 7, 6, 5)
    assert (both[1] - both[0] == 1).all()


def test_reader_when_several_volumes_on_different_grids_then_refused(tmp_path):
    paths = [write(volume(d), tmp_path / f"{n}.mhd") for n, d in DIRECTIONS.items()]
    with pytest.raises(ValueError, match="must share a grid: .*directions"):
        LoadImage(READER)(paths[:2])


def test_reader_when_volume_refused_then_no_other_reader_gets_to_guess(tmp_path):
    path = write(volume(), tmp_path / "a.nii")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="a.nii: truncated"):
        LoadImage(READER)(path)
    with pytest.raises(FileNotFoundError, match="no such file or folder: .*b.mhd"):
        LoadImaged("image", reader=READER)({"image": tmp_path / "b.mhd"})


def test_reader_when_asked_for_suffixes_then_those_of_volumes(tmp_path):
    reader = SimpleITKReader()
    assert reader.verify_suffix(tmp_path / "a.mhd")
    assert reader.verify_suffix([str(tmp_path), "b.nii.gz"])
    assert not reader.verify_suffix("a.png")
    with pytest.raises(TypeError, match="kwargs: read accepts none, got .'dtype'."):
        reader.get_data(reader.read(tmp_path, dtype=int))


@pytest.mark.parametrize("name", ["a.png", "a", "a.raw"])
def test_image_when_of_another_kind_then_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match="path: must end in .mhd, .mha, .nrrd"):
        read_image(tmp_path / name)


def test_image_when_absent_or_its_data_absent_then_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: no such file or folder"):
        read_image(tmp_path / "none.mhd")
    path = write(volume(), tmp_path / "a.mhd")
    (tmp_path / "a.raw").unlink()
    with pytest.raises(FileNotFoundError, match="its data file a.raw is not in the same folder"):
        read_image(path)


def test_image_when_zraw_damaged_then_refused_where_itk_returns_noise(tmp_path):
    path = tmp_path / "a.mhd"
    sitk.WriteImage(volume(), str(path), True)
    data = bytearray((tmp_path / "a.zraw").read_bytes())
    data[60:80] = bytes(20)
    (tmp_path / "a.zraw").write_bytes(data)
    with pytest.raises(ValueError, match="a.zraw: the compressed data are damaged"):
        read_image(path)


def test_image_when_header_geometry_unsound_then_refused_by_name(tmp_path):
    path = write(volume(), tmp_path / "a.mhd")
    header = path.read_text()
    sheared = "TransformMatrix = 1 0 0 0 1 0 0 0.1 0.995"
    for old, new, message in [
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1", sheared, "the axes must be perpendicular"),
        ("TransformMatrix = 1 0 0 0 1 0 0 0 1", "TransformMatrix = 0 0 0 0 1 0 0 0 1", "a.mhd"),
        ("ElementSpacing = 0.75", "ElementSpacing = 0", "a.mhd: ElementSpacing"),
        ("Offset = -90.5", "Offset = nan", "a.mhd: Offset must be 3 finite"),
    ]:
        assert old in header
        path.write_text(header.replace(old, new))
        with pytest.raises(ValueError, match=message):
            read_image(path)


def test_image_when_nifti_sheared_then_refused_where_itk_straightens_it(tmp_path):
    affine = np.diag([0.7, 0.7, 2.5, 1])
    affine[1, 2] = 0.6
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), affine), tmp_path / "a.nii")
    with pytest.raises(ValueError, match="a.nii: the axes must be perpendicular"):
        read_image(tmp_path / "a.nii")


def test_image_when_niftis_two_affines_differ_then_refused(tmp_path):
    sform = np.eye(4)
    sform[0, 1] = 5e-4  # ITK takes the other one then, nibabel this
    image = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), sform)
    image.set_sform(sform, code=1)
    moved = np.eye(4)
    moved[0, 3] = 7
    image.set_qform(moved, code=1)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.raises(ValueError, match="a.nii: its qform and sform place voxels up to 7.000 mm"):
        read_image(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("array", "vector", "message"),
    [
        (np.zeros((5, 4), np.int16), False, "must be three numbers|must be one 3D volume"),
        (np.zeros((2, 5, 4, 3), np.int16), False, "must be three numbers|must be one 3D volume"),
        (np.zeros((5, 4, 3, 2), np.int16), True, "must have one value per voxel, got 2"),
    ],
    ids=["two dimensions", "four dimensions", "two values a voxel"],
)
@pytest.mark.parametrize("name", ["a.mhd", "a.nrrd"])
def test_image_when_not_one_volume_of_numbers_then_refused(tmp_path, name, array, vector, message):
    path = write(sitk.GetImageFromArray(array, isVector=vector), tmp_path / name)
    with pytest.raises(ValueError, match=message):
        read_image(path)


@pytest.mark.real
@pytest.mark.parametrize(("ends", "slices"), [("264", 140), ("919", 63)])
def test_image_when_real_then_read_as_published(real_data, ends, slices):
    path = next((real_data / "luna16" / "subset0").glob(f"*{ends}.mhd"))
    image = read_image(path)
    assert image.GetSize() == (512, 512, slices)
    values = sitk.GetArrayViewFromImage(image)
    assert values.min() in (-2048, -3024)
    loaded = LoadImage(READER, ensure_channel_first=True)(path)
    assert loaded.shape == (1, 512, 512, slices)
    np.testing.assert_array_equal(loaded[0, :, :, 30].numpy().T, values[30])
    np.testing.assert_allclose(loaded.affine, lps_to_ras(affine_of(image)))


@pytest.mark.parametrize("name", ["a.mhd", "a.nii.gz"])
def test_volume_when_read_then_array_and_affine_of_the_image(tmp_path, name):
    path = write(volume(DIRECTIONS["flipped"]), tmp_path / name)
    read, image = read_volume(path), read_image(path)
    np.testing.assert_array_equal(read.hu, sitk.GetArrayFromImage(image))
    np.testing.assert_array_equal(read.affine_lps, affine_of(image))


def test_volume_reader_when_given_a_series_then_as_the_reader_of_the_folder(tmp_path):
    folder = write_series(tmp_path / "ct", [slice_dataset(k) for k in range(4)])
    load = LoadImaged("image", reader=READER, ensure_channel_first=True)
    ours = load({"image": "ct-1"}, reader=VolumeReader(read_volume(folder)))["image"]
    theirs = load({"image": folder})["image"]
    torch.testing.assert_close(ours.as_tensor(), theirs.as_tensor(), rtol=0, atol=0)
    torch.testing.assert_close(ours.affine, theirs.affine, rtol=0, atol=0)
    assert ours.meta["filename_or_obj"] == "ct-1"


def test_volume_file_when_pydicom_2_is_installed_then_read(tmp_path, monkeypatch):
    """MONAI Label needs pydicom 2, which has no ``pydicom.pixels``."""
    image = sitk.GetImageFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4))
    sitk.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    for name in ("pixels", "series_volume", "slice"):
        monkeypatch.delitem(sys.modules, f"scripts.volumes.dicom.{name}", raising=False)
    for name in ("pydicom.pixels", "pydicom.pixels.decoders", "pydicom.pixels.decoders.base"):
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.spec_from_file_location("readers_there", readers.__file__)
    there = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "readers_there", there)  # dataclasses look it up
    spec.loader.exec_module(there)
    assert there.read_volume(tmp_path / "ct.nii.gz").hu.shape == (2, 3, 4)


def test_ct_reader_when_values_are_no_hu_then_refused_where_the_plain_reader_reads(tmp_path):
    path = write(volume(), tmp_path / "a.mhd")
    wrong = write(volume() + 1024, tmp_path / "b.mhd")
    ct = "scripts.volumes.readers.CTReader"
    assert LoadImage(ct, ensure_channel_first=True)(path).shape == (1, 7, 6, 5)
    with pytest.raises(ValueError, match="b.mhd: values must be HU, but"):
        LoadImage(ct)(wrong)
    assert LoadImage(READER, ensure_channel_first=True)(wrong).shape == (1, 7, 6, 5)


@pytest.mark.parametrize("name", ["ct_volume", "abdomen_volume"])
def test_inference_configs_then_they_load_with_the_reader_that_checks_hu(name):
    config = json.loads((ROOT / "configs" / "data" / f"{name}.json").read_text())
    (load,) = [t for t in config["volume_transforms"] if t["_target_"] == "LoadImaged"]
    assert load["reader"] == "scripts.volumes.readers.CTReader"
