"""What other tools take from the liver bundle."""

import pytest
import torch

from custom_nets.fcn import TransferFCN
from tests.bundles.export_contract import ExportContract
from tests.bundles.liver.commands import CONFIGS, SMALL, files_of


@pytest.fixture(scope="module")
def model_pt(organs):
    return organs / "training" / "model.pt"


@pytest.fixture(scope="module")
def eager(model_pt):
    network = TransferFCN("resnet18", normalise=0.5)
    network.load_state_dict(torch.load(model_pt, weights_only=True)["model"])
    return network.eval()


@pytest.fixture
def asked(abdomens, tiny_encoder):
    def overrides(name):
        folder = "prepared/volumes" if name == "inference" else "prepared"
        network = {"network_def::encoder": tiny_encoder}
        if name == "train":
            network = {**SMALL, "encoder_weights": "none", "encoder": tiny_encoder}
        return {"dataset_dir": str(abdomens / folder), **network}

    return overrides


class TestLiverBundle(ExportContract):
    configs, files_of, channels = CONFIGS, staticmethod(files_of), 4
    narrow = ("--network_def::width", "64")
