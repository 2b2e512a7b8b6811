"""What other tools take from the lung bundle."""

import pytest
import torch

from custom_nets.unet import TransferUNet
from tests.bundles.bundle_commands import CONFIGS, NARROW, files_of
from tests.bundles.export_contract import ExportContract


@pytest.fixture(scope="module")
def model_pt(trained):
    return trained / "training" / "model.pt"


@pytest.fixture(scope="module")
def eager(model_pt):
    widths = NARROW["decoder_channels"]
    network = TransferUNet("resnet18", norm="group", skip_norm="auto", decoder_channels=widths)
    network.load_state_dict(torch.load(model_pt, weights_only=True)["model"])
    return network.eval()


@pytest.fixture
def asked(cohort, tiny_encoder):
    def overrides(name):
        folder = "phantoms/subset0" if name == "inference" else "prepared"
        network = {"encoder": tiny_encoder, "encoder_weights": "none", **NARROW}
        return {"dataset_dir": str(cohort / folder), **network}

    return overrides


class TestLungBundle(ExportContract):
    configs, files_of, channels = CONFIGS, staticmethod(files_of), 1
