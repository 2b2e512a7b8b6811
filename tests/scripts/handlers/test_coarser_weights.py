import pytest
import torch
from ignite.engine import Engine

from custom_nets.encoders import ENCODERS
from custom_nets.fcn import TransferFCN
from custom_nets.unet import TransferUNet
from scripts.handlers.coarser_weights import CoarserWeights
from tests.custom_nets.tiny import TinyEncoder


@pytest.fixture(autouse=True)
def _tiny(monkeypatch):
    monkeypatch.setitem(ENCODERS, TinyEncoder.name, TinyEncoder)


def test_finer_network_then_starts_as_the_coarser_function(tmp_path):
    coarser, finer = (TransferFCN("tiny", stride=stride).eval() for stride in (16, 8))
    torch.save({"model": coarser.state_dict()}, tmp_path / "model.pt")
    engine = Engine(lambda *_: None)
    CoarserWeights(finer, tmp_path / "model.pt").attach(engine)
    engine.run([0])
    image = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(finer(image), coarser(image))


def test_other_network_then_is_refused(tmp_path):
    with pytest.raises(ValueError, match="only an FCN goes on from a coarser one"):
        CoarserWeights(TransferUNet("tiny", decoder_channels=[4] * 5), tmp_path / "model.pt")
