"""What other tools take from the liver bundle: metadata, TorchScript, ONNX, MONAI's properties."""

import pytest
import torch
from monai.utils import set_determinism

from custom_nets.fcn import TransferFCN
from tests.bundles.bundle_commands import make_here, say_here
from tests.bundles.exported import check_onnx, check_torchscript
from tests.bundles.liver.commands import CONFIGS, SMALL, files_of
from tests.bundles.test_exports import SCHEMA

METADATA = ("--meta_file", f"{CONFIGS}/metadata.json")


def test_metadata_when_verified_offline_then_follows_the_schema():
    printed = say_here("verify_metadata", *METADATA, "--filepath", SCHEMA)
    assert "metadata is verified with no error" in printed


def test_network_of_the_default_config_then_has_the_ports_of_the_metadata():
    words = [
        "verify_net_in_out",
        "network_def",
        *METADATA,
        "--any",
        "48",
        "--network_def::width",
        "64",
    ]
    printed = say_here(*words, "--config_file", f"{CONFIGS}/inference.json")
    assert "data shape of network is verified with no error" in printed


@pytest.fixture(scope="module")
def eager(organs):
    network = TransferFCN("resnet18", normalise=0.5)
    content = torch.load(organs / "training" / "model.pt", weights_only=True)
    network.load_state_dict(content["model"])
    return network.eval()


def export(command, organs, path, *options):
    weights = ["--ckpt_file", organs / "training" / "model.pt", "--key_in_ckpt", "model"]
    config = ["--config_file", repr(files_of("inference"))]
    config += ["--ckpt_path", organs / "training" / "model.pt"]
    return say_here(
        command, "network_def", "--filepath", path, *METADATA, *weights, *config, *options
    )


def test_torchscript_then_equals_eager(organs, eager, tmp_path):
    path = tmp_path / "model.ts"
    export("ckpt_export", organs, path)
    metadata = check_torchscript(path, eager)
    assert metadata["network_data_format"]["outputs"]["pred"]["num_channels"] == 4
    path.unlink()


def test_onnx_then_equals_eager(organs, eager, tmp_path):
    path = tmp_path / "model.onnx"
    export("onnx_export", organs, path, "--input_shape", [2, 3, 64, 64])
    check_onnx(path, eager)
    path.unlink()


@pytest.mark.usefixtures("_at_root")
# LoadImaged sets all of MONAI's readers up, those that are not named too
@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
@pytest.mark.parametrize(
    ("name", "kind"), [("train", "train"), ("inference", "infer"), ("evaluate", "infer")]
)
def test_properties_then_none_is_missing(abdomens, tmp_path, tiny_encoder, name, kind):
    folder = "prepared/volumes" if name == "inference" else "prepared"
    asked = {"dataset_dir": str(abdomens / folder), "output_dir": str(tmp_path)}
    asked |= {**SMALL, "encoder_weights": "none"} if name == "train" else {}
    asked |= {"encoder" if name == "train" else "network_def::encoder": tiny_encoder}
    workflow = make_here("run", files_of(name), asked, workflow_type=kind)
    workflow.initialize()
    set_determinism(None)
    assert workflow.check_properties() == []
