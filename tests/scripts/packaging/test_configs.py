import json

import pytest
from monai.bundle import ConfigParser

from scripts.packaging.configs import packaged_configs, settled
from scripts.packaging.new_bundle import new_bundle
from tests.bundles.config_files import parser_of
from tests.scripts.packaging.packages import LIVER, LUNG, OVERLAYS
from tests.scripts.packaging.test_new_bundle import write_datalist


@pytest.mark.usefixtures("_at_root")
@pytest.mark.parametrize("bundle", [LUNG, LIVER], ids=lambda path: path.name)
@pytest.mark.parametrize("name", ["train", "evaluate", "inference"])
def test_workflow_then_what_monai_makes_of_all_the_files(bundle, name):
    overlays = OVERLAYS if bundle == LUNG else ()
    made = packaged_configs(bundle, overlays)[name]
    expected = parser_of(bundle / "configs" / f"{name}.json", *overlays)
    expected.resolve_macro_and_relative_ids()
    found = ConfigParser(config=made)
    found.resolve_macro_and_relative_ids()
    own = found.get().get("prepared", {})
    added = {
        "bundle_root",
        "dataset_dir",
        "start_from",
        "encoder_weights",
        "prepared",
        "label",
        "plain_volumes",
    }
    added |= {"slices_of_a_volume", "random_slices", "slice_augmentation"}
    for key, value in {**found.get(), **own}.items():
        if key not in added:
            assert value == expected[key], key
    left_out = expected.get().keys() - found.get().keys() - {"_meta_"}
    assert left_out.isdisjoint(json.loads((bundle / "configs" / f"{name}.json").read_text()))


@pytest.mark.usefixtures("_at_root")
def test_configs_then_no_macro_names_a_file(write_json):
    made = packaged_configs(LUNG, [*OVERLAYS, "configs/data/luna16_volumes.json"])
    text = json.dumps(made)
    assert ".json::" not in text
    assert set(made) == {"train", "evaluate", "inference", "multi_gpu_train"}
    assert "slices_of_a_volume" in made["train"]
    assert "slices_of_a_volume" not in made["inference"]


@pytest.mark.usefixtures("_at_root")
@pytest.mark.parametrize("target", ["os.system", "custom_nets.encoders.weights.torch.hub.load", 3])
def test_network_of_another_class_in_a_model_file_then_refused_unless_the_config_names_it(target):
    config = {"network_def": {"_target_": "own.Net"}, "model_settings": {}}
    for definition in ({"_target_": target}, {"_target_": "own.Net", "a": {"_target_": target}}):
        with pytest.raises(ValueError, match=f"of the class '{target}', which is not of custom"):
            settled(config, {"network_def": definition})
    assert settled(config, {"network_def": {"_target_": "own.Net"}})["network_def"]


@pytest.mark.usefixtures("_at_root")
def test_encoder_file_of_training_then_not_in_the_package(write_json):
    file = write_json("mine.json", encoder_weights="/home/me/encoder.pt")
    made = packaged_configs(LUNG, [file])
    assert made["train"]["encoder_weights"] == "none"  # it starts from the packaged weights
    assert not any("encoder_weights" in made[name] for name in ("inference", "evaluate"))


@pytest.mark.usefixtures("_at_root")
def test_id_that_an_earlier_overlay_brought_then_taken(write_json):
    files = ["configs/data/luna16_volumes.json", write_json("mine.json", slices_of_a_volume=2)]
    assert packaged_configs(LUNG, files)["train"]["slices_of_a_volume"] == 2


@pytest.mark.usefixtures("_at_root")
def test_misspelt_id_of_an_overlay_then_refused(write_json):
    with pytest.raises(ValueError, match="sets 'batch_sise'.*did you mean batch_size"):
        packaged_configs(LUNG, [write_json("mine.json", batch_sise=4)])


@pytest.mark.usefixtures("_at_root")
@pytest.mark.parametrize("folder", ["", "configs"])
def test_misspelt_id_of_an_overlay_of_ones_own_in_the_repository_then_refused(
    write_json, tmp_path, monkeypatch, folder
):
    monkeypatch.setattr("scripts.bundle.overlays.ROOT", tmp_path)
    (tmp_path / folder).mkdir(exist_ok=True)
    with pytest.raises(ValueError, match="sets 'batch_sise'.*did you mean batch_size"):
        packaged_configs(LUNG, [write_json(f"{folder}/mine.json", seed=2, batch_sise=4)])


@pytest.mark.usefixtures("_at_root")
def test_shipped_overlay_of_a_workflow_that_the_bundle_lacks_then_the_rest_of_it_taken(tmp_path):
    new_bundle(write_datalist(tmp_path), str(tmp_path / "my_segmentation"))
    made = packaged_configs(tmp_path / "my_segmentation", ["configs/runtime/small.json"])
    assert made["train"]["patch_size"] == [96, 96]
    assert "max_epochs" not in made["train"]["prepared"]


@pytest.mark.usefixtures("_at_root")
def test_workflow_without_a_data_folder_then_none_is_added(tmp_path):
    bundle = tmp_path / "my_segmentation"
    new_bundle(write_datalist(tmp_path), str(bundle))
    file = bundle / "configs" / "inference.json"
    text = file.read_text().replace("dataset_dir", "ct_folder")
    file.write_text(text)
    made = packaged_configs(bundle, [])
    assert "dataset_dir" not in made["inference"]
    assert made["train"]["dataset_dir"] == "prepared"
