import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from scripts.__main__ import main
from scripts.unsupervised.clusters.cluster_command import cluster, read_reference
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.readers import read_volume
from tests.scripts.unsupervised.textures import three_textures

NAMES = ("jule", "k_means", "otsu")
QUICK = {"region": "all", "patch": 12, "patches": 60, "periods": 2, "epochs": 1}
FLIPPED = np.diag([-0.8, -0.8, 2.4, 1.0])


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    """A volume and its textures as NIfTI, stored from the patient's left to the right."""
    folder = tmp_path_factory.mktemp("volume")
    volume, texture = three_textures(shape=(3, 24, 48))
    hu = volume.hu + np.where(np.arange(24) < 12, 0, 900)[None, :, None].astype(np.int16)
    nifti_of(hu, FLIPPED).to_filename(folder / "ct.nii.gz")
    nifti_of(texture.astype(np.uint8), FLIPPED).to_filename(folder / "classes.nii.gz")
    return folder


@pytest.fixture(name="output", scope="module")
def _output(folder):
    ct, reference = str(folder / "ct.nii.gz"), str(folder / "classes.nii.gz")
    cluster(ct, str(folder / "out"), clusters=2, reference=reference, **QUICK)
    return folder / "out"


@pytest.mark.parametrize("name", NAMES)
def test_masks_then_in_the_geometry_of_the_image(folder, output, name):
    mask, image = (nibabel.load(p) for p in (output / f"{name}.nii.gz", folder / "ct.nii.gz"))
    assert mask.shape == image.shape
    assert np.allclose(mask.affine, image.affine)
    assert np.unique(mask.get_fdata()).tolist() == [1, 2]


def test_masks_then_where_the_intensities_are(folder, output):
    labels = nibabel.load(output / "k_means.nii.gz").get_fdata()
    hu = nibabel.load(folder / "ct.nii.gz").get_fdata()
    assert ((labels == 2) == (hu > 500)).all()


def test_summary_then_volumes_agreement_and_settings(output):
    summary = json.loads((output / "summary.json").read_text())
    assert set(summary["methods"]) == set(NAMES)
    of_otsu = summary["methods"]["otsu"]
    assert of_otsu["clusters"]["1"]["volume_ml"] == pytest.approx(3 * 12 * 48 * 0.8**2 * 2.4e-3)
    assert of_otsu["clusters"]["1"]["mean_hu"] < 350 < of_otsu["clusters"]["2"]["mean_hu"]
    assert of_otsu["agreement"]["nmi"] < 0.05
    assert "after_matching" in summary["definitions"]
    assert summary["settings"]["clusters"] == 2
    assert summary["settings"]["jule"]["epochs"] == 1


def test_other_image_or_options_in_the_same_output_then_refused_unless_asked(
    folder, output, tmp_path
):
    out, ct = str(shutil.copytree(output, tmp_path / "out")), str(folder / "ct.nii.gz")
    with pytest.raises(ValueError, match=r"another method \(clusters\); give another folder"):
        cluster(ct, out, clusters=3, **QUICK)
    image = nibabel.load(ct)
    other = nibabel.Nifti1Image(np.asarray(image.dataobj)[..., ::-1], image.affine)
    nibabel.save(other, tmp_path / "other.nii.gz")
    with pytest.raises(ValueError, match="holds a result with another image_sha256; give"):
        cluster(str(tmp_path / "other.nii.gz"), out, clusters=2, **QUICK)
    cluster(ct, out, clusters=2, **QUICK)
    cluster(ct, out, clusters=3, overwrite="yes", **QUICK)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["data"]["method"]["clusters"] == 3


def test_picture_then_written(output):
    assert (output / "clusters.png").stat().st_size > 10000


def test_metaimage_without_reference_then_the_same_clusters_and_no_figures(folder, output):
    image = read_volume(folder / "ct.nii.gz").to_image()
    sitk.WriteImage(image, str(folder / "ct.mhd"))
    words = ["cluster", "--image", str(folder / "ct.mhd"), "--output", str(folder / "mhd")]
    words += ["--clusters", "2", *(word for k, v in QUICK.items() for word in (f"--{k}", str(v)))]
    main(words)
    for name in NAMES:
        masks = [nibabel.load(path / f"{name}.nii.gz").get_fdata() for path in
                 (output, folder / "mhd")]  # fmt: skip
        assert np.array_equal(*masks)
    summary = json.loads((folder / "mhd/summary.json").read_text())
    assert not summary["definitions"]
    assert "agreement" not in summary["methods"]["jule"]


def test_reference_on_another_grid_then_refused_before_anything_is_written(folder):
    other = folder / "other.nii.gz"
    classes = nibabel.load(folder / "classes.nii.gz").get_fdata().astype(np.uint8)
    nifti_of(classes.transpose(2, 1, 0)[1:], FLIPPED).to_filename(other)
    with pytest.raises(ValueError, match="reference: .* must be on the grid of the image: sizes"):
        cluster(str(folder / "ct.nii.gz"), str(folder / "no"), reference=str(other), **QUICK)
    assert not (folder / "no").exists()


def test_reference_of_hu_then_refused(folder):
    image = read_volume(folder / "ct.nii.gz")
    with pytest.raises(ValueError, match="must hold whole numbers from 0 to 255, got -100 to"):
        read_reference(str(folder / "ct.nii.gz"), image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_hu": "wide"}, "window_hu: must be two numbers like .*, got 'wide'"),
        (
            {"window_hu": (400, -1000)},
            "window_hu: lower bound must lie below upper, got 400",
        ),
        ({"device": "abacus"}, "device: must be cpu, cuda, cuda:0 ... or mps, got 'abacus'"),
        ({"clusters": 7}, "clusters: must be a whole number, 2 to 5, got 7"),
    ],
)
def test_option_when_invalid_then_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        cluster(str(folder / "ct.nii.gz"), str(folder / "no"), **options)
    assert not (folder / "no").exists()


def test_image_that_does_not_exist_then_named(folder):
    with pytest.raises(FileNotFoundError, match=r"missing\.mhd"):
        cluster(str(folder / "missing.mhd"), str(folder / "no"))


def test_window_given_then_of_the_masks_and_the_record(folder):
    shutil.rmtree(folder / "windowed", ignore_errors=True)
    output = folder / "windowed"
    cluster(*(str(folder / "ct.nii.gz"), str(output)), clusters=2, window_hu=(-1000, 300), **QUICK)
    summary = json.loads((output / "summary.json").read_text())
    assert summary["settings"]["window_hu"] == [-1000, 300]
    labels = nibabel.load(output / "k_means.nii.gz").get_fdata()
    hu = nibabel.load(folder / "ct.nii.gz").get_fdata()
    assert (labels[hu > 300] == 2).all()
    assert (labels[(hu > 100) & (hu < 300)] == 2).any()
