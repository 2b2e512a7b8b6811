from functools import partial

import pytest
import torch

from custom_nets.encoders import ENCODERS
from custom_nets.fcn import TransferFCN
from custom_nets.normalisation import STATISTICS, InputNormalisation, make_normalisation
from custom_nets.unet import TransferUNet
from tests.custom_nets.tiny import TinyEncoder


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_of_training_images_then_takes_the_place_of_the_usual_one(channels):
    image = torch.rand(2, channels, 4, 4)
    std = torch.tensor(STATISTICS["imagenet"][1]).view(1, 3, 1, 1)
    std = std.mean(dim=1, keepdim=True) if channels == 1 else std
    found = InputNormalisation("imagenet", channels, mean=0.3)(image)
    torch.testing.assert_close(found, (image - 0.3) / std)


@pytest.fixture
def _tiny(monkeypatch):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)


@pytest.mark.usefixtures("_tiny")
@pytest.mark.parametrize("build", [TransferFCN, partial(TransferUNet, decoder_channels=[4] * 5)])
def test_mean_then_travels_with_the_weights(build):
    trained = build("tiny", normalise=0.3).eval()
    loaded = build("tiny", normalise=0.9).eval()
    loaded.load_state_dict(trained.state_dict())
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(image), trained(image))


@pytest.mark.usefixtures("_tiny")
def test_network_with_a_usual_mean_then_refuses_weights_that_bring_their_own():
    weights = TransferFCN("tiny", normalise=0.3).state_dict()
    with pytest.raises(ValueError, match=r"normalise: the file has 0.3, the config has None"):
        TransferFCN("tiny").load_state_dict(weights)


@pytest.mark.parametrize("mean", [-461.2, 1.5])
def test_mean_in_hounsfield_units_then_is_refused(mean):
    with pytest.raises(ValueError, match="a mean of images in"):
        make_normalisation(mean, "imagenet", 3)


def test_kind_that_is_none_of_them_then_is_refused():
    with pytest.raises(ValueError, match="normalise must be one of imagenet, half, none"):
        make_normalisation("mean", "imagenet", 3)
