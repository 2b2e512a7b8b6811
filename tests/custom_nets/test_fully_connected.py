"""conv6 and conv7: loaded from the published classifier, random, or left out."""

from __future__ import annotations

import logging
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from custom_nets.encoders import make_encoder
from custom_nets.fcn import TransferFCN
from custom_nets.fully_connected import FullyConnected, choose_origin, load_fully_connected
from tests.custom_nets.encoders import reference
from tests.custom_nets.undrawn import undrawn_weights

LOGITS_224 = [1.296597, -2.492895, 2.386335, 3.046384, 0.024847]
LOGITS_224 += [-2.972601, -1.107694, -3.282186, -1.503369, 0.080232]
"""Every hundredth of the 1000 logits that torchvision's VGG-16 gives, filled as `reference` does,
for the 224 x 224 image of `reference`; and the mean of all."""
LOGITS_224_MEAN = 0.020534259721636774


def filled(key: str, *shape: int) -> Tensor:
    """The tensor that `reference.fill` would give that key, in place: one of them has 411 MB."""
    generator = torch.Generator().manual_seed(zlib.crc32(key.encode()))
    noise = torch.empty(shape).normal_(generator=generator)
    return noise.div_(10) if len(shape) == 1 else noise.mul_(math.sqrt(2 / noise[0].numel()))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with the keys and shapes of vgg16-397923af.pth up to classifier.3."""
    encoder = reference.filled(lambda: make_encoder("vgg16"))
    classifier = {
        "classifier.0.weight": filled("classifier.0.weight", 4096, 25088),
        "classifier.0.bias": filled("classifier.0.bias", 4096),
        "classifier.3.weight": filled("classifier.3.weight", 4096, 4096),
        "classifier.3.bias": filled("classifier.3.bias", 4096),
    }
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save({**encoder.state_dict(), **classifier}, path)
    del classifier
    yield path
    path.unlink()  # half a gigabyte


@pytest.fixture
def own_pretraining(tmp_path: Path) -> str:
    """An encoder's weights as the project's own pretraining writes them."""
    path = tmp_path / "encoder.pt"
    content = {"encoder": "vgg16", "state_dict": make_encoder("vgg16").state_dict()}
    torch.save(content, path)
    return str(path)


def test_the_published_classifier_as_convolutions_then_gives_its_own_logits(
    published: Path,
) -> None:
    with undrawn_weights():  # which the file fills
        network = TransferFCN("vgg16", stride=32, weights=str(published), normalise="none").eval()
    assert network.fully_connected is not None
    last = filled("classifier.6.weight", 1000, 4096)[:, :, None, None]
    with torch.no_grad():
        pool5 = torch.max_pool2d(network.encoder(reference.image(224))[-1], 2)
        maps = network.fully_connected(pool5)
        logits = torch.conv2d(maps, last, filled("classifier.6.bias", 1000))
    assert logits.shape == (1, 1000, 7, 7)
    seen_whole = logits[0, :, 3, 3]  # where the 7x7 kernel covers the classifier's 7 x 7 pixels
    torch.testing.assert_close(seen_whole[::100], torch.tensor(LOGITS_224), rtol=1e-4, atol=1e-4)
    assert seen_whole.double().mean().item() == pytest.approx(LOGITS_224_MEAN, abs=1e-4)


def test_layers_of_another_vgg_then_fresh_or_from_its_own_file(
    published: Path, tmp_path: Path
) -> None:
    for name in ("vgg11", "vgg19_bn"):
        assert choose_origin(name, "none", fully_connected=None, width=8) == ("fresh", 8)
        assert choose_origin(name, "imagenet", fully_connected=None, width=None)[0] == "file"
    with undrawn_weights():
        module = FullyConnected(512, 4096, dropout=0.0)
    load_fully_connected(module, str(published), "vgg11")  # of equal shapes in every VGG
    stored = torch.load(published, weights_only=True)["classifier.0.weight"]
    assert torch.equal(module.conv6.weight.flatten(1), stored)


@pytest.mark.parametrize("width", [0.25, 24.0, True])
def test_width_that_is_no_whole_number_then_refused_by_name(width: object) -> None:
    with pytest.raises(ValueError, match="width must be a whole number of channels; got"):
        choose_origin("vgg16", "none", fully_connected=None, width=width)  # type: ignore[arg-type]


def test_a_file_without_the_classifier_then_is_refused(own_pretraining: str) -> None:
    message = (
        r"must hold the classifier's layers .*classifier\.0\.weight missing, must be "
        r"\[4096, 25088\].*fully_connected='fresh'"
    )
    with undrawn_weights(), pytest.raises(ValueError, match=message):
        TransferFCN("vgg16", weights=own_pretraining)


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({"fully_connected": "fresh", "width": 24}, 24),
        ({"fully_connected": "none"}, 512),
        ({"width": 0}, 512),
    ],
    ids=["fresh", "left out", "width 0"],
)
def test_a_file_without_the_classifier_when_asked_for_then_fills_the_encoder_alone(
    options: dict[str, object], width: int, own_pretraining: str
) -> None:
    with undrawn_weights():
        network = TransferFCN("vgg16", weights=own_pretraining, **options)
    stored = torch.load(own_pretraining, weights_only=True)["state_dict"]
    for key, tensor in network.encoder.state_dict().items():
        assert torch.equal(tensor, stored[key])
    assert network.decoder.score.in_channels == width
    assert (network.fully_connected is None) == (width == 512)


def test_layers_that_start_fresh_then_the_log_says_so(
    own_pretraining: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="custom_nets"):
        TransferFCN("vgg16", weights=own_pretraining, fully_connected="fresh", width=24)
    assert "conv6 and conv7 start with random weights, 24 wide" in caplog.text


def test_a_classifier_of_another_shape_then_names_both_shapes(tmp_path: Path) -> None:
    module = FullyConnected(2, 3, dropout=0.0)
    tensors = {
        "classifier.0.weight": torch.zeros(3, 97),
        "classifier.0.bias": torch.zeros(3),
        "classifier.3.weight": torch.zeros(3, 3),
        "classifier.3.bias": torch.zeros(3),
    }
    torch.save(tensors, tmp_path / "other.pth")
    before = module.conv7.weight.clone()
    with pytest.raises(ValueError, match=r"classifier\.0\.weight \[3, 97\], must be \[3, 98\]"):
        load_fully_connected(module, str(tmp_path / "other.pth"))
    assert torch.equal(module.conv7.weight, before)


def test_a_small_classifier_then_its_convolution_is_the_linear_layer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = torch.nn.Linear(98, 3), torch.nn.Linear(3, 3)
    tensors = {"classifier.0.weight": first.weight, "classifier.0.bias": first.bias}
    tensors |= {"classifier.3.weight": second.weight, "classifier.3.bias": second.bias}
    torch.save(tensors, tmp_path / "small.pth")
    module = FullyConnected(2, 3, dropout=0.5).eval()
    load_fully_connected(module, str(tmp_path / "small.pth"))
    maps = torch.rand(2, 2, 7, 7)
    expected = second(first(maps.flatten(1)).relu()).relu()
    torch.testing.assert_close(module(maps)[:, :, 3, 3], expected)


@pytest.mark.parametrize(
    ("encoder", "weights", "fully_connected", "width", "expected"),
    [
        ("vgg16", "imagenet", None, None, ("file", 4096)),
        ("vgg16", "imagenet", "fresh", 512, ("fresh", 512)),
        ("vgg16", "imagenet", "fresh", None, ("fresh", 4096)),
        ("vgg16", "imagenet", None, 0, ("none", 0)),
        ("vgg16", "none", None, 64, ("fresh", 64)),
        ("vgg16", "none", None, None, ("fresh", 4096)),
        ("resnet34", "imagenet", None, None, ("none", 0)),
        ("resnet34", "imagenet", "fresh", 64, ("fresh", 64)),
    ],
)
def test_the_origin_of_the_layers_then_follows_what_was_asked(
    encoder: str,
    weights: str,
    fully_connected: str | None,
    width: int | None,
    expected: tuple[str, int],
) -> None:
    found = choose_origin(encoder, weights, fully_connected=fully_connected, width=width)
    assert found == expected


@pytest.mark.parametrize(
    ("encoder", "weights", "fully_connected", "width", "message"),
    [
        ("vgg16", "imagenet", "random", None, "must be one of file, fresh, none; got 'random'"),
        ("vgg16", "imagenet", None, 512, "got width 512; .*fully_connected='fresh'"),
        ("vgg16", "imagenet", "file", 512, "got width 512"),
        ("vgg16", "none", "file", None, "got weights 'none', which is not a file"),
        ("resnet34", "imagenet", "file", None, "got encoder 'resnet34', whose classifier"),
        ("resnet34", "imagenet", None, 64, "got encoder 'resnet34'.* and width 64"),
        ("vgg16", "imagenet", "file", 0, "width must be 0 .* got 0 with 'file'"),
        ("vgg16", "imagenet", "none", 64, "width must be 0 .* got 64 with 'none'"),
        ("vgg16", "none", None, -1, "width must be 0 .* got -1 with 'fresh'"),
    ],
)
def test_a_contradiction_then_is_refused(
    encoder: str, weights: str, fully_connected: str | None, width: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TransferFCN(encoder, weights=weights, fully_connected=fully_connected, width=width)


def test_a_missing_file_then_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*absent\.pth"):
        TransferFCN("vgg16", weights="absent.pth")
