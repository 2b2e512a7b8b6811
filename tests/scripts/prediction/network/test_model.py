"""A bundle's network as predict builds it: weights, flips, hashes, what is missing."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from custom_nets.encoders import ENCODERS
from scripts.prediction.network.model import Model, flipped_axes
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import Options
from tests.bundles.model_files import write_model
from tests.custom_nets.tiny import TinyEncoder
from tests.scripts.prediction.network.second_stages import write_reducer
from tests.scripts.prediction.studies import (
    bright_chest,
    one_convolution,
    write_nifti,
)

pytestmark = pytest.mark.usefixtures("_at_the_root")


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
    write_model(weights, network, lung_options.bundle / "configs")
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
    with pytest.raises(ValueError, match="candidate_threshold: this bundle takes the most"):
        Model(replace(liver_options, candidate_threshold=0.05))
    assert Model(liver_options).fainter_cleaning is None


def test_candidate_threshold_then_at_most_that_of_the_mask(lung_options):
    with pytest.raises(ValueError, match="at most the mask's threshold 0.5, got 0.6"):
        _ = Model(replace(lung_options, candidate_threshold=0.6)).fainter_cleaning
    assert Model(replace(lung_options, candidate_threshold=0.5)).fainter_cleaning is None
    assert Model(replace(lung_options, threshold=0.05)).fainter_cleaning is None
    assert Model(lung_options).fainter_cleaning is not None


def test_second_stage_then_of_the_lesions_of_the_bundle(
    lung_options, liver_options, tmp_path, monkeypatch
):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)
    write_reducer(tmp_path / "reducer.pt", 0.5)
    write_reducer(tmp_path / "other.pt", 0.5, class_names=["metastasis"])
    own = Model(replace(lung_options, reduce=str(tmp_path / "reducer.pt")))
    assert own.reducer.threshold == 0.5
    assert own.config_sha256 == Model(lung_options).config_sha256
    assert Model(lung_options).reducer is None
    with pytest.raises(ValueError, match="tells a metastasis from other candidates, this bundle"):
        _ = Model(replace(lung_options, reduce=str(tmp_path / "other.pt"))).reducer
    with pytest.raises(ValueError, match="reduce: the config of this bundle has no id `reducer`"):
        Model(replace(liver_options, reduce=str(tmp_path / "reducer.pt")))


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
    with pytest.raises(ValueError, match="refer to files of the repository that were not found"):
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
