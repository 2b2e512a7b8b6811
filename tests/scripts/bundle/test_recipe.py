from scripts.bundle.recipe import Recipe
from scripts.bundle.record import BundleRun
from scripts.storage.shipped import ROOT

MODULE = "/somewhere/monai/bundle/__main__.py"


def test_command_then_read_back_as_the_bundles_config_overlays_and_overrides():
    recipe = Recipe("bundles/b", ("configs/a.json", "configs/c.json"))
    words = recipe.command("training", "train", seed=1, dataset_dir="data", sizes=[1, 2])
    assert words[:2] == ["-m", "scripts.bundle"]
    run = BundleRun.of_command([MODULE, *words[2:]])
    assert run is not None
    assert run.config_file == ("bundles/b/configs/train.json", "configs/a.json", "configs/c.json")
    assert run.arguments == {"run_id": "training"}
    assert run.overrides == {"seed": 1, "dataset_dir": "data", "sizes": [1, 2]}


def test_command_when_files_are_only_installed_then_found_there(tmp_path, monkeypatch):
    config = "bundles/liver_ct_segmentation/configs/train.json"
    recipe = Recipe("bundles/liver_ct_segmentation", ("mine.json",))
    monkeypatch.chdir(ROOT)
    assert recipe.command("training", "train")[5] == repr([config, "mine.json"])
    monkeypatch.chdir(tmp_path)
    words = recipe.command("training", "train")
    assert words[5] == repr([str(ROOT / config), "mine.json"])
