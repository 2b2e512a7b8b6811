"""Networks without a pretrained encoder, trained and evaluated by config alone."""

import json
import math

import pytest

from scripts.training.fine_tuning.stage_checks import check_stages
from scripts.training.fine_tuning.strategies import read_strategy
from tests.bundles.bundle_commands import CONFIGS, SMALL, run_here
from tests.bundles.config_files import LUNG, parser_of, plain_networks

pytestmark = [
    pytest.mark.usefixtures("_at_root"),
    # LoadImaged sets all of MONAI's readers up, those that are not named too
    pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning"),
]

NARROW_PATHS = {"network_def::network::widths": [4, 4, 4], "network_def::network::features": 8}
NARROW_PATHS |= {"nodule_region::margin_mm": 1.0}  # few voxels to classify
CASES = {
    "unet_plain": ([], {"unet_channels": [4, 4, 8, 8, 8, 4]}),
    "tong_unet": ([], {"residual_unet_widths": [4, 4, 8]}),
    "cf_cnn": (["luna16_nodule_patches"], NARROW_PATHS),
    "cdp_resnet": (["luna16_nodule_planes"], {**NARROW_PATHS, "patches_of_a_volume": 4}),
    "csae": ([], {"csae_widths": [2, 2, 2]}),
    "cen_s": (
        ["luna16_volume_patches"],
        {"volume_patch_size": [32, 32, 16], "cen_filters": 2, "cen_kernel": [3, 3, 3]},
    ),
    "vnet": (["luna16_volume_patches"], {"volume_patch_size": [64, 64, 16]}),
    "multi_scale_cnn": ([], {"multi_scale_widths": [2, 3, 4]}),
    "voxresnet": (
        ["luna16_volume_two_windows"],
        {"volume_patch_size": [32, 32, 16], "voxresnet_widths": [2, 4]},
    ),
}
# MONAI's V-Net has one width, 45 million weights, and would take a minute; tests/custom_nets trains
# it, here a narrow network stands in its place in the same file.
CASES["vnet"][1].update(
    {
        "network_def::network::_target_": "BasicUNet",
        "network_def::network::features": [2, 2, 4, 4, 4, 2],
    }
)


def files_for(workflow, name):
    data = [f"configs/data/{data}.json" for data in CASES[name][0]]
    if workflow == "evaluate":
        return [f"{CONFIGS}/evaluate.json", *data]
    network = f"configs/networks/{name}.json"
    return [f"{CONFIGS}/{workflow}.json", network, *data, "configs/runtime/small.json"]


def settings_for(name, cohort, folder):
    asked = {"dataset_dir": str(cohort / "prepared"), "num_workers": 0, "output_dir": str(folder)}
    return {**CASES[name][1], **asked}


@pytest.fixture
def first_two(cohort, tmp_path):
    """The cohort with two samples a section: two iterations and a short validation."""
    listed = json.loads((cohort / "prepared" / "datalist.json").read_text())
    for part in (listed, listed["volumes"]):
        for section in ("training", "validation", "test"):
            part[section] = part[section][:2]
    for entry in (e for s in ("training", "validation", "test") for e in listed[s]):
        for key in ("image", "label", "lung"):
            entry[key] = str(cohort / "prepared" / entry[key])
    for entry in (e for s in ("training", "validation", "test") for e in listed["volumes"][s]):
        for key in ("image", "label"):
            entry[key] = str(cohort / "prepared" / entry[key])
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "datalist.json").write_text(json.dumps(listed))
    return tmp_path


def test_networks_then_each_has_a_case_here():
    assert {file.split("/")[-1].removesuffix(".json") for file in plain_networks()} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_comparator_then_trains_from_scratch_and_is_evaluated_by_config_alone(
    first_two, tmp_path, name
):
    asked = {**SMALL, **settings_for(name, first_two, tmp_path / "run")}
    files = [*files_for("train", name), "configs/strategies/scratch.json"]
    workflow = run_here("training", files, {**asked, "batch_size": 1})
    assert workflow.parser.get_parsed_content("train::trainer").state.iteration == 2
    (stage,) = json.loads((tmp_path / "run" / "stages.json").read_text())["stages"]
    assert math.isfinite(stage["train_loss"])
    settings = settings_for(name, first_two, tmp_path / "evaluation")
    asked = {
        **{key: value for key, value in settings.items() if "network" not in key},
        "pictures": 1,
        "section": "training",
    }
    asked |= {"ckpt_path": str(tmp_path / "run" / "model.pt")}
    run_here("evaluating", files_for("evaluate", name), asked)
    summary = json.loads((tmp_path / "evaluation" / "summary.json").read_text())
    assert summary["counts"]["cases_expected"] == 2
    assert 0 <= summary["figures"]["dice_per_nodule_mean"]["value"] <= 1


@pytest.mark.parametrize("file", plain_networks())
def test_strategies_that_name_blocks_then_refused_and_whole_networks_not(file):
    network = parser_of(LUNG / "train.json", file).get_parsed_content("network_def")
    for name in ("scratch", "full"):
        whole = parser_of(f"configs/strategies/{name}.json")["strategy"]
        check_stages(network, read_strategy(whole, epochs=1, learning_rate=1), 1)
    blocks = read_strategy(
        parser_of("configs/strategies/bsft.json")["strategy"], epochs=1, learning_rate=1
    )
    with pytest.raises(ValueError, match=r"stage A: block5: trainable: .*got \['block5'\]"):
        check_stages(network, blocks, 1)
