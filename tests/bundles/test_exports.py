"""What other tools take from the bundle: metadata, TorchScript, ONNX, MONAI's properties."""

import pytest
import torch
from monai.utils import set_determinism

from custom_nets.unet import TransferUNet
from tests.bundles.bundle_commands import CONFIGS, NARROW, files_of, make_here, say_here
from tests.bundles.config_files import ROOT
from tests.bundles.exported import check_onnx, check_torchscript

SCHEMA = ROOT / "tests" / "bundles" / "meta_schema_20240725.json"  # Project MONAI, Apache-2.0
METADATA = ("--meta_file", f"{CONFIGS}/metadata.json")
WIDTHS = NARROW["decoder_channels"]


def test_metadata_when_verified_offline_then_follows_the_schema():
    printed = say_here("verify_metadata", *METADATA, "--filepath", SCHEMA)
    assert "skipped downloading" in printed
    assert "metadata is verified with no error" in printed


def test_network_of_the_default_config_then_has_the_ports_of_the_metadata():
    words = ["verify_net_in_out", "network_def", *METADATA, "--any", "48"]
    printed = say_here(*words, "--config_file", f"{CONFIGS}/inference.json")
    assert "data shape of network is verified with no error" in printed


@pytest.fixture(scope="module")
def eager(trained):
    network = TransferUNet("resnet18", norm="group", skip_norm="auto", decoder_channels=WIDTHS)
    content = torch.load(trained / "training" / "model.pt", weights_only=True)
    network.load_state_dict(content["model"])
    return network.eval()


def export(command, trained, path, *options):
    """Export the trained network by one of MONAI's commands."""
    weights = ["--ckpt_file", trained / "training" / "model.pt", "--key_in_ckpt", "model"]
    config = ["--config_file", repr(files_of("inference"))]
    config += ["--ckpt_path", trained / "training" / "model.pt"]
    return say_here(
        command, "network_def", "--filepath", path, *METADATA, *weights, *config, *options
    )


def test_torchscript_then_equals_eager_and_carries_the_configs(trained, eager, tmp_path):
    path = tmp_path / "model.ts"
    export("ckpt_export", trained, path)
    metadata = check_torchscript(path, eager)
    assert metadata["network_data_format"]["inputs"]["image"]["num_channels"] == 3
    path.unlink()


def test_onnx_then_equals_eager(trained, eager, tmp_path):
    path = tmp_path / "model.onnx"
    export("onnx_export", trained, path, "--input_shape", [2, 3, 64, 64])
    check_onnx(path, eager)
    path.unlink()


@pytest.mark.usefixtures("_at_root")
# LoadImaged sets all of MONAI's readers up, those that are not named too
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
@pytest.mark.parametrize(
    ("name", "kind"), [("train", "train"), ("inference", "infer"), ("evaluate", "infer")]
)
def test_properties_then_none_is_missing(cohort, tmp_path, tiny_encoder, name, kind):
    folder = "phantoms/subset0" if name == "inference" else "prepared"
    asked = {"dataset_dir": str(cohort / folder), "output_dir": str(tmp_path)}
    asked |= {"encoder": tiny_encoder, "encoder_weights": "none", **NARROW}
    workflow = make_here("run", files_of(name), asked, workflow_type=kind)
    workflow.initialize()
    set_determinism(None)
    assert workflow.check_properties() == []
