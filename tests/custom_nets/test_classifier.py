from __future__ import annotations

from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from custom_nets.classifier import TransferClassifier
from custom_nets.fcn import TransferFCN
from custom_nets.unet import TransferUNet
from scripts.training.weights.starting_weights import EncoderWeights
from tests.custom_nets.encoders import KINDS
from tests.custom_nets.training import moved_shares, snapshot, train

scripted = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
every_encoder = pytest.mark.parametrize("encoder", KINDS)


def build(encoder: str, **options: object) -> TransferClassifier:
    torch.manual_seed(0)
    return TransferClassifier(encoder, **{"out_channels": 3, **options}).eval()


@every_encoder
@pytest.mark.parametrize("in_channels", [1, 3])
def test_one_logit_a_class_whatever_the_size(encoder: str, in_channels: int) -> None:
    network = build(encoder, in_channels=in_channels)
    for height, width in [(64, 32), (45, 70), (1, 1)]:
        with torch.no_grad():
            logits = network(torch.rand(2, in_channels, height, width))
        assert logits.shape == (2, 3)
        assert logits.isfinite().all()


def test_every_part_of_the_image_counts_the_same(tiny: str) -> None:
    network = build(tiny)
    network.encoder = torch.nn.Identity()  # each image is then its own deepest map
    network.encoder.forward = lambda x: [x]  # type: ignore[method-assign]
    network.score = torch.nn.Linear(3, 3)
    image = torch.rand(1, 3, 64, 32)
    turned = image.flip(2)
    with torch.no_grad():
        torch.testing.assert_close(network(image), network(turned))
        assert not torch.allclose(network(image), network(image * 0.5))


@pytest.mark.parametrize("encoder", ["vgg16", "densenet121"])
def test_frozen_blocks_then_bit_equal_after_training(encoder: str) -> None:
    network = build(encoder)
    network.set_trainable(["block5", "decoder"])
    before = snapshot(network)
    train(network, [torch.rand(2, 3, 32, 64) for _ in range(2)])
    frozen = dict.fromkeys(("block1", "block2", "block3", "block4"), 0)
    assert moved_shares(network, before) == {**frozen, "block5": 1, "decoder": 1}


@pytest.mark.parametrize("network", [TransferUNet, TransferFCN])
def test_its_encoder_file_then_fills_the_encoders_of_segmentation(
    tiny: str, tmp_path: Path, network: type[TransferUNet | TransferFCN]
) -> None:
    pretrained, engine = build(tiny), Engine(lambda *_: None)
    EncoderWeights(pretrained, tmp_path / "encoder.pt").attach(engine)
    engine.run([0])
    narrow = {"decoder_channels": (4, 4, 4, 4, 4)} if network is TransferUNet else {}
    started = network(tiny, weights=str(tmp_path / "encoder.pt"), **narrow)
    for key, tensor in pretrained.encoder.state_dict().items():
        assert torch.equal(started.encoder.state_dict()[key], tensor), key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "vgg18"}, "encoder must be one of vgg11, .*; got 'vgg18'; did you mean vgg1"),
        ({"normalise": "mean"}, "normalise must be one of imagenet, half, none; got 'mean'"),
        ({"out_channels": 0}, "out_channels must be at least 1; got 0"),
        ({"in_channels": 2}, "in_channels must be 1"),
        ({"weights": "missing.pth"}, "got 'missing.pth'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        TransferClassifier(**options)


def test_images_of_other_channels_are_refused(tiny: str) -> None:
    with pytest.raises(ValueError, match=r"input must be \(B, 3, H, W\); got"):
        build(tiny)(torch.rand(1, 1, 32, 32))


@scripted
@every_encoder
def test_the_scripted_network_equals_the_eager_one(encoder: str) -> None:
    network = build(encoder)
    exported = torch.jit.script(network)
    for size in [(64, 64), (40, 50)]:
        image = torch.rand(1, 3, *size)
        with torch.no_grad(), torch.jit.optimized_execution(False):
            torch.testing.assert_close(exported(image), network(image), rtol=1e-5, atol=1e-5)
