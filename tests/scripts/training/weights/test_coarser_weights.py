import pytest
import torch
from ignite.engine import Engine

from custom_nets.encoders import ENCODERS
from custom_nets.fcn import TransferFCN
from custom_nets.unet import TransferUNet
from scripts.training.weights.coarser_weights import CoarserWeights
from tests.custom_nets.tiny import TinyEncoder


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)


@pytest.mark.parametrize(
    "strides", [(32, 16), (16, 8), (8, 4), (32, 4)], ids="{0[0]}s to {0[1]}s".format
)
def test_finer_network_then_starts_as_the_coarser_function(tmp_path, strides):
    coarser, finer = (TransferFCN("tiny", stride=stride).eval() for stride in strides)
    for step in coarser.decoder.steps:
        if step.score is not None:  # as trained: at zero, leaving it out would go unnoticed
            torch.nn.init.normal_(step.score.weight)
    torch.save({"model": coarser.state_dict()}, tmp_path / "model.pt")
    engine = Engine(lambda *_: None)
    CoarserWeights(finer, tmp_path / "model.pt").attach(engine)
    image = torch.rand(1, 3, 64, 64)
    assert not torch.equal(finer(image), coarser(image))
    engine.run([0])
    torch.testing.assert_close(finer(image), coarser(image))


@pytest.mark.parametrize("strides", [(8, 8), (4, 8)], ids="{0[0]}s to {0[1]}s".format)
def test_network_that_is_no_coarser_then_is_refused(tmp_path, strides):
    other, network = (TransferFCN("tiny", stride=stride) for stride in strides)
    torch.save({"model": other.state_dict()}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="coarser than FCN-8s"):
        CoarserWeights(network, tmp_path / "model.pt")(Engine(lambda *_: None))


def test_other_network_then_is_refused(tmp_path):
    with pytest.raises(ValueError, match="only an FCN goes on from a coarser one"):
        CoarserWeights(TransferUNet("tiny", decoder_channels=[4] * 5), tmp_path / "model.pt")
