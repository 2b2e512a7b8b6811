import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from monai.data import MetaTensor

from scripts.prediction.network.model import Model, flipped_axes
from scripts.prediction.options import Options
from scripts.prediction.pipeline import Stopwatch, predict_volume
from tests.bundles.bundle_commands import run_here
from tests.scripts.prediction.shapes import ORDERS, abdomen, chest
from tests.scripts.prediction.studies import (
    bright_chest,
    dice,
    one_convolution,
    write_nifti,
    write_series,
)

pytestmark = pytest.mark.usefixtures("_at_the_root")
TURNED = ORDERS[19]


def inferred(options, source, folder):
    """The mask of the bundle's own ``run inferring``."""
    asked = {"dataset_dir": str(source), "output_dir": str(folder)}
    asked |= {"ckpt_path": options.checkpoints[0], "device": "cpu"}
    files = [str(options.bundle / "configs" / "inference.json"), *options.config_files]
    run_here("inferring", files, asked)
    (mask,) = folder.glob("*.nii.gz")
    return sitk.GetArrayFromImage(sitk.ReadImage(str(mask)))


@pytest.mark.parametrize("order", [((0, 1, 2), (1, 1, 1)), TURNED], ids=["LPS", "turned"])
def test_nodules_then_mask_equals_that_of_run_inferring(lung_options, tmp_path, order):
    drawn = bright_chest(order=order)
    source = write_nifti(tmp_path / "scan.nii.gz", drawn)
    found = predict_volume(Model(lung_options), source, study="scan")
    mask = inferred(lung_options, source, tmp_path / "inferred")
    np.testing.assert_array_equal(found.mask > 0, mask > 0)
    np.testing.assert_array_equal(found.hu, drawn.hu)
    np.testing.assert_allclose(found.affine, drawn.affine, atol=1e-4)
    assert dice(found.mask > 0, drawn.mask > 0) > 0.9
    assert (found.lungs[drawn.lungs]).mean() > 0.9
    assert found.lungs.mean() < 0.5
    sizes = [found.voxels_of(segment).sum() for segment in found.segments]
    assert [segment.name for segment in found.segments] == ["nodule 1", "nodule 2", "nodule 3"]
    assert sizes == sorted(sizes, reverse=True)


def test_organs_of_a_series_then_mask_equals_that_of_run_inferring(liver_options, tmp_path):
    drawn = abdomen()
    folder = tmp_path / "series"
    write_series(folder, drawn)
    found = predict_volume(Model(liver_options), folder, study="scan")
    np.testing.assert_array_equal(
        found.mask, inferred(liver_options, folder, tmp_path / "inferred")
    )
    assert [segment.kind for segment in found.segments] == ["liver", "bone", "kidney"]
    assert dice(found.mask == 1, drawn.mask == 1) > 0.99
    assert dice(found.mask == 2, drawn.mask == 2) > 0.99
    assert not (found.mask == 3).any()
    assert len(found.dicom_files) == len(found.hu)
    assert found.lungs is None


def test_steps_then_timed(liver_options, tmp_path):
    watch = Stopwatch()
    source = write_nifti(tmp_path / "scan.nii.gz", abdomen())
    predict_volume(Model(liver_options), source, study="scan", watch=watch)
    assert watch.seconds.keys() == {"read", "preprocess", "network", "postprocess"}
    assert all(seconds >= 0 for seconds in watch.seconds.values())


def ball(shape, spacing_mm, diameter_mm):
    """A ball around the middle voxel, (1, X, Y, Z) as probabilities."""
    grid = np.indices(shape).transpose(1, 2, 3, 0) - np.array(shape) // 2
    inside = np.linalg.norm(grid * spacing_mm, axis=-1) <= diameter_mm / 2
    return torch.from_numpy(inside[None].astype(np.float32))


@pytest.mark.parametrize("spacing", [(0.6, 0.6, 0.6), (0.82, 0.82, 2.5), (0.98, 0.98, 5.0)])
def test_nodule_of_3_mm_then_kept_and_a_single_voxel_of_noise_removed(lung_options, spacing):
    probability = ball((24, 24, 24), spacing, 3.0)
    drawn = probability.clone()
    probability[0, 2, 3, 4] = 1
    affine = torch.diag(torch.tensor([*spacing, 1.0]))
    data = {"pred": MetaTensor(probability, affine=affine), "lung": torch.ones(1, 24, 24, 24)}
    kept = Model(lung_options).cleaning(data)["pred"].as_tensor()
    assert drawn.sum() >= 2
    assert torch.equal(kept, drawn)


def test_threshold_then_decides_what_counts(lung_options, tmp_path):
    rules = ((0.0, 1.0),)  # sigmoid of the window's 0 to 1: 0.5 to 0.73
    overlay, weights = one_convolution(tmp_path, "soft", rules)
    source = write_nifti(tmp_path / "scan.nii.gz", chest())
    counts = []
    for threshold in (0.55, 0.7):
        options = replace(
            lung_options, config_files=(overlay,), checkpoints=(weights,), threshold=threshold
        )
        counts.append((predict_volume(Model(options), source, study="s").mask > 0).sum())
    assert counts[0] > 2 * counts[1]


def test_several_checkpoints_then_the_mean_of_their_probabilities(lung_options, tmp_path):
    image = MetaTensor(torch.rand(3, 6, 5, 4), affine=torch.eye(4))
    files = [one_convolution(tmp_path, n, [(k, 2.0)])[1] for n, k in (("a", 0.0), ("b", -2.0))]
    each = [Model(replace(lung_options, checkpoints=(f,))).probabilities(image) for f in files]
    both = Model(replace(lung_options, checkpoints=tuple(files))).probabilities(image)
    torch.testing.assert_close(both.as_tensor(), (each[0] + each[1]).as_tensor() / 2)
    assert not torch.equal(each[0].as_tensor(), each[1].as_tensor())


def test_flips_then_the_mean_over_the_flipped_passes(lung_options, tmp_path):
    overlay, weights = tmp_path / "wide.json", tmp_path / "wide.pt"
    overlay.write_text(
        '{"network_def": {"_target_": "torch.nn.Conv2d", "in_channels": 3, "out_channels": 1, '
        '"kernel_size": 3, "padding": 1}}'
    )
    torch.manual_seed(0)
    network = torch.nn.Conv2d(3, 1, 3, padding=1)
    torch.save({"model": network.state_dict()}, weights)
    options = replace(lung_options, config_files=(str(overlay),), checkpoints=(str(weights),))
    image = MetaTensor(torch.rand(3, 6, 5, 4), affine=torch.eye(4))
    plain = Model(options)
    flipped = Model(replace(options, flips=("x",))).probabilities(image)
    turned = MetaTensor(image.as_tensor().flip(1), affine=image.affine)
    expected = (plain.probabilities(image) + plain.probabilities(turned).flip(1)) / 2
    torch.testing.assert_close(flipped.as_tensor(), expected.as_tensor())
    assert not torch.allclose(flipped.as_tensor(), plain.probabilities(image).as_tensor())


def test_flipped_axes_then_those_of_the_world_not_of_the_array():
    turned = torch.tensor([[0, -1.0, 0, 0], [2.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    image = MetaTensor(torch.zeros(1, 2, 2, 2), affine=turned)
    assert flipped_axes(image, ("x", "y")) == [[], [2], [1], [2, 1]]
    assert flipped_axes(image, ()) == [[]]


def test_threshold_where_the_config_has_none_then_refused(liver_options):
    with pytest.raises(ValueError, match="threshold: this bundle takes the most probable class"):
        Model(replace(liver_options, threshold=0.4))


@pytest.mark.parametrize(
    ("values", "reason"),
    [(lambda hu: hu * 0 + 40, "cannot be HU: the lowest is 40"), (lambda hu: hu * 1e3, "16-bit")],
    ids=["a mask", "beyond 16 bits"],
)
def test_values_that_are_no_hu_then_refused(liver_options, tmp_path, values, reason):
    image = sitk.GetImageFromArray(values(abdomen().hu.astype(np.float32)))
    sitk.WriteImage(image, str(tmp_path / "scan.nii.gz"))
    with pytest.raises(ValueError, match=reason):
        predict_volume(Model(liver_options), tmp_path / "scan.nii.gz", study="scan")


def test_config_hash_then_of_what_is_predicted_not_of_places(lung_options, tmp_path):
    plain = Model(lung_options).config_sha256
    (tmp_path / "moved.json").write_text('{"output_dir": "elsewhere"}')
    (tmp_path / "window.json").write_text('{"window_hu": [-900, 300]}')
    for name, same in (("moved", True), ("window", False)):
        files = (*lung_options.config_files, str(tmp_path / f"{name}.json"))
        assert (Model(replace(lung_options, config_files=files)).config_sha256 == plain) is same
    assert Model(replace(lung_options, threshold=0.4)).config_sha256 != plain
    assert Model(replace(lung_options, progress=True)).config_sha256 == plain


def test_bundle_without_an_id_then_named(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text('{"device": "cpu"}')
    with pytest.raises(ValueError, match="has no id preprocessing, network, inferer"):
        Model(Options(tmp_path))
    with pytest.raises(FileNotFoundError, match="no configs/inference.json in"):
        Model(Options(tmp_path / "nowhere"))


def test_flattened_bundle_from_any_folder_then_the_same_mask(lung_options, tmp_path, monkeypatch):
    source = write_nifti(tmp_path / "scan.nii.gz", bright_chest())
    model = Model(lung_options)
    expected = predict_volume(model, source, study="scan")
    configs = tmp_path / "packaged" / "configs"
    configs.mkdir(parents=True)
    kept = {key: value for key, value in model.config.items() if key != "_meta_"}
    (configs / "inference.json").write_text(json.dumps(kept))
    monkeypatch.chdir(tmp_path)
    flat = Options(tmp_path / "packaged", checkpoints=lung_options.checkpoints, device="cpu")
    found = predict_volume(Model(flat), source, study="scan")
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert Model(flat).config_sha256 == model.config_sha256
    with pytest.raises(ValueError, match="files below the repository's root, which are not here"):
        Model(lung_options)


def test_missing_weights_then_said_where(lung_options, tmp_path):
    options = replace(lung_options, bundle=tmp_path / "copy", checkpoints=())
    shutil.copytree(lung_options.bundle, options.bundle)
    with pytest.raises(FileNotFoundError, match="no trained network at .*copy/models/model.pt"):
        _ = Model(options).checkpoints


def test_weights_of_the_bundle_itself_then_taken(lung_options, tmp_path):
    bundle = tmp_path / "copy"
    shutil.copytree(lung_options.bundle, bundle)
    (bundle / "models").mkdir()
    shutil.copy(lung_options.checkpoints[0], bundle / "models" / "model.pt")
    model = Model(replace(lung_options, bundle=bundle, checkpoints=()))
    assert [checkpoint.name for checkpoint in model.checkpoints] == ["model.pt"]
    assert len(model.networks) == 1
