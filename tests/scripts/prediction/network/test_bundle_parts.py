"""The parts of a bundle's inference.json for prediction: thresholds, hashes, what is missing."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from scripts.prediction.network.bundle_parts import BundleParts
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import predict_volume
from scripts.prediction.predict_options import Options
from tests.bundles.model_files import write_model
from tests.scripts.prediction.studies import ROOT, bright_chest, write_nifti

pytestmark = pytest.mark.usefixtures("_at_the_root")


def test_threshold_where_the_config_has_none_then_refused(liver_options):
    with pytest.raises(ValueError, match="threshold: this bundle takes the most probable class"):
        BundleParts(replace(liver_options, threshold=0.4))
    with pytest.raises(ValueError, match="candidate_threshold: this bundle takes the most"):
        BundleParts(replace(liver_options, candidate_threshold=0.05))
    assert BundleParts(liver_options).fainter_cleaning is None


def test_candidate_threshold_then_at_most_that_of_the_mask(lung_options):
    with pytest.raises(ValueError, match="at most the mask's threshold 0.5, got 0.6"):
        _ = BundleParts(replace(lung_options, candidate_threshold=0.6)).fainter_cleaning
    assert BundleParts(replace(lung_options, candidate_threshold=0.5)).fainter_cleaning is None
    assert BundleParts(replace(lung_options, threshold=0.05)).fainter_cleaning is None
    assert BundleParts(lung_options).fainter_cleaning is not None


def test_config_hash_then_of_what_is_predicted_not_of_places(lung_options, tmp_path):
    plain = BundleParts(lung_options).config_sha256
    (tmp_path / "moved.json").write_text('{"output_dir": "elsewhere"}')
    (tmp_path / "window.json").write_text('{"window_hu": [-900, 300]}')
    for name, same in (("moved", True), ("window", False)):
        files = (*lung_options.config_files, str(tmp_path / f"{name}.json"))
        assert (
            BundleParts(replace(lung_options, config_files=files)).config_sha256 == plain
        ) is same
    assert BundleParts(replace(lung_options, threshold=0.4)).config_sha256 != plain
    assert BundleParts(replace(lung_options, progress=True)).config_sha256 == plain


def test_bundle_without_an_id_then_named(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "inference.json").write_text('{"device": "cpu"}')
    with pytest.raises(ValueError, match="has no id preprocessing, network, inferer"):
        BundleParts(Options(tmp_path))
    with pytest.raises(FileNotFoundError, match="no configs/inference.json in"):
        BundleParts(Options(tmp_path / "nowhere"))


def test_flattened_bundle_from_any_folder_then_the_same_mask(lung_options, tmp_path, monkeypatch):
    source = write_nifti(tmp_path / "scan.nii.gz", bright_chest())
    model = Model(lung_options)
    expected = predict_volume(model, source, study="scan")
    configs = tmp_path / "packaged" / "configs"
    configs.mkdir(parents=True)
    kept = {key: value for key, value in model.config.items() if key != "_meta_"}
    (configs / "inference.json").write_text(json.dumps(kept))
    monkeypatch.chdir(tmp_path)
    flat = replace(lung_options, bundle=tmp_path / "packaged", config_files=())
    found = predict_volume(Model(flat), source, study="scan")
    np.testing.assert_array_equal(found.mask, expected.mask)
    assert Model(flat).config_sha256 == model.config_sha256
    assert Model(lung_options).config_sha256 == model.config_sha256


def test_reference_to_a_file_that_is_nowhere_then_refused(lung_options, tmp_path, monkeypatch):
    shutil.copytree(lung_options.bundle / "configs", tmp_path / "configs")
    own = (tmp_path / "configs" / "inference.json").read_text()
    (tmp_path / "configs" / "inference.json").write_text(own.replace("%configs/", "%configs/none/"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="refer to files of the repository that were not found"):
        Model(replace(lung_options, bundle=tmp_path, config_files=()))


def test_file_that_the_model_file_names_then_laid_under_those_of_the_user(lung_options, tmp_path):
    told = json.loads((ROOT / "configs/data/luna16_volume_patches.json").read_text())["data_files"]
    settings = {
        "input_kind": "volume",
        "in_channels": 1,
        "data_files": {**told, "volume_patch_size": [32, 32, 8]},
    }
    network = torch.nn.Conv3d(1, 1, 1)
    write_model(tmp_path / "volume.pt", network, lung_options.bundle / "configs", settings)
    options = Options(lung_options.bundle, checkpoints=(str(tmp_path / "volume.pt"),), device="cpu")
    parts = BundleParts(options)
    assert parts.parser["volume_patch_size"] == parts.config["volume_patch_size"] == [32, 32, 8]
    assert parts.config["inferer"]["inferer"]["_target_"] == "SlidingWindowInferer"
    (tmp_path / "own.json").write_text('{"volume_patch_size": [16, 16, 16]}')
    own = BundleParts(replace(options, config_files=(str(tmp_path / "own.json"),)))
    assert own.config["volume_patch_size"] == [16, 16, 16]
    named = replace(options, config_files=("configs/data/ct_volume_patches.json",))
    assert BundleParts(named).config["volume_patch_size"] == [128, 128, 64]
