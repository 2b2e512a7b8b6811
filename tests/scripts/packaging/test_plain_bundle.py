"""Plain packages: MONAI's mask where no Python of this project can be imported."""

import json

import nibabel
import numpy as np
import pytest

from scripts.__main__ import main
from scripts.packaging.package_command import package
from scripts.packaging.plain_bundle import plain_inference
from tests.scripts.packaging.packages import LIVER, LUNG, say_elsewhere

pytestmark = pytest.mark.usefixtures("_at_root")


@pytest.fixture(scope="module")
def masks(simple, tmp_path_factory):
    """Name of a bundle -> the masks of its plain package and of predict, (X, Y, Z)."""
    folder = tmp_path_factory.mktemp("masks")
    commands = []
    for bundle in (LUNG, LIVER):
        config = simple / "plain" / bundle.name / "configs" / "inference.json"
        words = ["run", "--config_file", config, "--bundle_root", config.parents[1]]
        words += ["--dataset_dir", simple / "scans" / f"{bundle.name}.nii.gz"]
        commands.append([*words, "--output_dir", folder / bundle.name])
    printed = say_elsewhere(simple / "plain", commands, folder=folder)
    assert printed.count("TOOK run 0 modules") == 2
    made = {}
    for bundle in (LUNG, LIVER):
        (file,) = (folder / bundle.name).iterdir()
        made[bundle.name] = nibabel.load(file)
    return made


@pytest.mark.parametrize("bundle", [LUNG, LIVER], ids=["lung", "liver"])
def test_plain_package_then_the_mask_of_predict_in_every_voxel(masks, simple, bundle, predicted):
    found, expected = masks[bundle.name], predicted(bundle)
    labels = np.asarray(expected.dataobj)
    if bundle == LUNG:  # predict numbers the nodules
        labels = labels > 0
    assert np.array_equal(np.asarray(found.dataobj), labels)
    assert labels.any()
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)


def test_plain_package_then_no_python_and_strictly_allowed(simple, capsys):
    folder = simple / "plain" / LUNG.name
    assert not list(folder.rglob("*.py"))
    names = {path.name for path in (folder / "models").iterdir()}
    assert names == {"model.pt2", "exports.json"}
    text = (folder / "configs" / "inference.json").read_text()
    assert "scripts." not in text
    assert "custom_nets" not in text
    main(["audit", "--policy", "strict", "--config", str(folder)])
    assert capsys.readouterr().out == f"allowed: {folder}\n"


def test_readme_then_says_what_is_left_out(simple):
    text = (simple / "plain" / LUNG.name / "docs" / "README.md").read_text()
    assert "What it leaves out:\n\n- the lung field: findings outside the lungs stay" in text
    assert "python -m scripts" not in text
    other = (simple / "plain" / LIVER.name / "docs" / "README.md").read_text()
    assert "lung field" not in other
    meta = json.loads((simple / "plain" / LUNG.name / "configs" / "metadata.json").read_text())
    assert "SimpleITK" not in meta["required_packages_version"]


def lung_config():
    transforms = [
        {"_target_": "LoadImaged", "keys": "image", "reader": "x.Reader"},
        {"_target_": "scripts.transforms.lung_field.LungFieldd", "keys": "image"},
        {"_target_": "MaskIntensityd", "keys": "image", "mask_key": "lung"},
    ]
    return {
        "preprocessing": {"_target_": "Compose", "transforms": transforms},
        "activation": {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        "cleaning": {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
        "restoring": {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing"},
        "inferer": {"_target_": "SimpleInferer"},
        "saving": {"output_postfix": "nodules"},
    }


def test_parts_that_change_the_mask_then_refused_until_all_are_named():
    both = ["lung_field", "lung_masking"]
    for leave_out in ([], ["lung_field"]):
        with pytest.raises(ValueError, match="no equal of the lung field.*; and of lung masking"):
            plain_inference(lung_config(), leave_out=leave_out)
    config, told = plain_inference(lung_config(), leave_out=both)
    assert "x.Reader" not in json.dumps(config)
    assert told[0].startswith("the lung field")
    assert told[1].startswith("lung masking")


def test_part_that_is_not_left_out_then_refused():
    config = lung_config()
    del config["preprocessing"]["transforms"][1:]
    with pytest.raises(ValueError, match="leaves out nothing that changes it, got lung_field"):
        plain_inference(config, leave_out=["lung_field"])


def test_component_without_an_equal_then_refused_in_one_line():
    config = lung_config()
    config["refining"] = [{"_target_": "scripts.transforms.random_walk.RandomWalkd"}]
    with pytest.raises(ValueError, match="plain: .*RandomWalkd has no equal.*without --plain"):
        plain_inference(config, leave_out=["lung_field", "lung_masking"])


def test_options_that_do_not_go_together_then_refused(tmp_path):
    words = (str(LUNG), str(tmp_path / "a.zip"))
    with pytest.raises(ValueError, match="exports: a plain package has the network as pt2"):
        package(*words, plain=True, exports="onnx")
    with pytest.raises(ValueError, match="leave_out: only a plain package leaves parts out"):
        package(*words, leave_out="lung_field")
