"""The package where the repository is not: every command, from another folder."""

import csv
import json
import math

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
import torch
from monai.data import load_net_with_metadata

from scripts.__main__ import main
from tests.scripts.packaging.packages import LUNG, ROOT, SCHEMA, run_elsewhere, say_elsewhere

USER = """
import sys
import monai.bundle, torch
from pathlib import Path

bundle = Path(sys.argv[1])
network = monai.bundle.load(bundle.name, bundle_dir=bundle.parent)
weights = torch.load(bundle / "models" / "model.pt", weights_only=True)
assert all(torch.equal(network.state_dict()[key], weights[key]) for key in weights)
script, _, _ = monai.bundle.load(bundle.name, bundle_dir=bundle.parent, load_ts_module=True)
image = torch.rand(1, 3, 48, 80)
with torch.no_grad():
    torch.testing.assert_close(script(image), network.eval()(image), atol=1e-4, rtol=0)
for name, kind in (("train", "train"), ("inference", "infer"), ("evaluate", "infer")):
    file = str(bundle / "configs" / f"{name}.json")
    built = monai.bundle.create_workflow(config_file=file, workflow_type=kind)
    assert built.check_properties() == [], name  # without data
    asked = {"dataset_dir": sys.argv[2 if name == "inference" else 3], "output_dir": sys.argv[4]}
    file = str(bundle / "configs" / f"{name}.json")
    workflow = monai.bundle.ConfigWorkflow(file, workflow_type=kind, **asked)
    workflow.initialize()
    assert workflow.check_properties() == [], name
    assert workflow.bundle_root == str(bundle)
workflow.run()
workflow.finalize()
import scripts, custom_nets
print("FROM", scripts.__file__, custom_nets.__file__)
"""


@pytest.fixture(scope="module")
def runs(bundle, cohort, once):
    """Results of three runs; nothing but the config file says where the bundle is.

    A fourth command stands in the bundle, and says nothing of where it is.
    """

    def build(folder):
        configs = bundle / "configs"
        scan = min((cohort / "phantoms").glob("subset*/*.mhd"))
        commands = []
        for name, data in (("train", "prepared"), ("evaluate", "prepared"), ("inference", scan)):
            words = ["run", "--config_file", configs / f"{name}.json"]
            words += ["--dataset_dir", cohort / data, "--output_dir", folder / name]
            commands.append(words)
        verify = ["verify_net_in_out", "network_def", "--any", 48]
        verify += ["--meta_file", "configs/metadata.json"]
        verify += ["--config_file", "configs/inference.json"]
        printed = say_elsewhere(bundle, commands, folder=folder, inside=[verify])
        (folder / "printed.txt").write_text(printed)

    return once("packaged_runs", build)


def test_training_then_falls_back_on_nothing(runs, bundle):
    stages = json.loads((runs / "train" / "stages.json").read_text())["stages"]
    assert [math.isfinite(stage["train_loss"]) for stage in stages] == [True]
    record = json.loads((runs / "train" / "training_record.json").read_text())
    assert str(bundle / "configs" / "train.json") in record["command"]
    trained = torch.load(runs / "train" / "model.pt", weights_only=True)["model"]
    assert trained.keys() == torch.load(bundle / "models" / "model.pt", weights_only=True).keys()


def test_evaluation_then_a_row_for_every_test_slice(runs, cohort):
    samples = json.loads((cohort / "prepared" / "datalist.json").read_text())["test"]
    with (runs / "evaluate" / "per_slice.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(samples) > 0


def test_inference_then_a_mask_in_the_scans_geometry(runs, cohort):
    scan = sitk.ReadImage(min((cohort / "phantoms").glob("subset*/*.mhd")))
    mask = sitk.ReadImage(next((runs / "inference").glob("*.nii.gz")))
    assert mask.GetSize() == scan.GetSize()
    np.testing.assert_allclose(mask.GetOrigin(), scan.GetOrigin(), atol=1e-3)


def test_commands_then_all_python_came_from_the_bundle(runs):
    printed = (runs / "printed.txt").read_text()
    taken = [line.split() for line in printed.splitlines() if line.startswith("TOOK run")]
    assert len(taken) == 3
    assert all(int(words[2]) > 20 for words in taken)


@pytest.fixture(scope="module")
def exports(bundle, cohort, tmp_path_factory):
    """What MONAI's other commands and a user's Python do, with the bundle on PYTHONPATH."""
    folder = tmp_path_factory.mktemp("exports")
    configs = bundle / "configs"
    files = ["--meta_file", configs / "metadata.json"]
    network = [*files, "--config_file", configs / "inference.json"]
    weights = ["--ckpt_file", bundle / "models" / "model.pt"]
    commands = [
        ["verify_metadata", *files, "--filepath", SCHEMA],
        ["verify_net_in_out", "network_def", *network, "--any", 48],
        ["ckpt_export", "network_def", *network, *weights, "--filepath", folder / "model.ts"],
        ["onnx_export", "network_def", *network, *weights, "--filepath", folder / "model.onnx"],
    ]
    commands[-1] += ["--input_shape", [1, 3, 64, 64]]
    (folder / "user.py").write_text(USER)
    scan = min((cohort / "phantoms").glob("subset*/*.mhd"))
    prepared = cohort / "prepared"
    commands.append([folder / "user.py", bundle, scan, prepared, folder / "evaluation"])
    return folder, say_elsewhere(bundle, commands, folder=folder, python_path=[bundle])


def test_metadata_and_network_when_verified_then_no_error(exports):
    assert "metadata is verified with no error" in exports[1]
    assert "data shape of network is verified with no error" in exports[1]


def test_exports_then_those_of_the_packaged_weights(exports, bundle):
    again, metadata, _ = load_net_with_metadata(str(exports[0] / "model.ts"))
    packaged, _, _ = load_net_with_metadata(str(bundle / "models" / "model.ts"))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(again(image), packaged(image), atol=1e-4, rtol=1e-3)
    assert metadata["version"]
    assert (exports[0] / "model.onnx").stat().st_size > 40e6


def test_command_inside_the_bundle_then_needs_nothing(runs):
    printed = (runs / "printed.txt").read_text()
    assert "data shape of network is verified with no error" in printed
    assert "TOOK verify_net_in_out" in printed


def test_prediction_inside_the_bundle_then_the_products_of_zip_and_source(simple, tmp_path):
    words = ["predict", "--source", simple / "dicom", "--engine", "torch", "--device", "cpu"]
    own = ["-m", "scripts", *words, "--bundle", ".", "--output", tmp_path / "own"]
    assert "1 predicted" in run_elsewhere(own, folder=simple / LUNG.name)
    source = ["--bundle", LUNG, "--ckpt_path", simple / f"{LUNG.name}.pt"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        for name, given in (("zip", ["--bundle", f"{simple / LUNG.name}.zip"]), ("source", source)):
            main([str(word) for word in (*words, *given, "--output", tmp_path / name)])
    (one,), *others = ((tmp_path / name).glob("ct-*") for name in ("own", "zip", "source"))
    names = {path.name for path in one.iterdir()}
    assert {"mask.nii.gz", "segmentation.dcm", "statistics.csv", "report.html"} <= names
    pixels = pydicom.dcmread(one / "segmentation.dcm").PixelData
    assert any(pixels)
    for (other,) in others:
        assert names == {path.name for path in other.iterdir()}
        for name in ("mask.nii.gz", "statistics.csv", "candidates.csv"):
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
        assert pydicom.dcmread(other / "segmentation.dcm").PixelData == pixels


def test_commands_inside_the_bundle_then_those_it_brings(simple):
    printed = run_elsewhere(["-m", "scripts"], folder=simple / LUNG.name)
    listed = [line.split()[0] for line in printed.splitlines() if line.startswith("  ")]
    assert "predict" in listed
    assert "prepare" not in listed


def test_python_user_then_loads_and_runs_workflows(exports, bundle):
    assert f"FROM {bundle}/scripts/__init__.py {bundle}/custom_nets/__init__.py" in exports[1]
    assert (exports[0] / "evaluation" / "summary.json").is_file()


def test_guard_then_the_repository_cannot_be_imported(tmp_path):
    printed = run_elsewhere(["-c", "import scripts"], folder=tmp_path, fails=True)
    assert "no scripts but the repository's" in printed
