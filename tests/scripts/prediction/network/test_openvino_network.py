"""A network converted to OpenVINO: equal to torch's, or refused."""

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from custom_nets.fcn import TransferFCN
from custom_nets.unet import TransferUNet
from scripts.prediction.network import openvino_network
from scripts.prediction.network.engines import Engine
from scripts.prediction.network.model import Model
from scripts.prediction.pipeline import KEY
from scripts.training.precision import native_dtype
from tests.bundles.model_files import write_model
from tests.scripts.prediction.shapes import chest
from tests.scripts.prediction.studies import write_nifti

CPU = torch.device("cpu")
needs_bfloat16 = pytest.mark.skipif(
    native_dtype("cpu") != torch.bfloat16, reason="this processor gains nothing by bfloat16"
)


def unet():
    return TransferUNet("resnet34", decoder_channels=(16, 8, 8, 8, 8))


def settled(network):
    """A random network whose norms know the size of their maps, as a trained one's do."""
    torch.manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    with torch.no_grad():
        network.train()(torch.rand(4, network.in_channels, 96, 64))
    return network.eval()


@pytest.mark.parametrize(
    "make",
    [unet, lambda: TransferFCN("resnet34", stride=8, out_channels=3)],
    ids=["U-Net", "FCN"],
)
def test_openvino_in_float32_on_odd_sizes_then_probabilities_of_torch(make):
    network = settled(make())
    engine = Engine("openvino", CPU)
    converted = engine.prepare(network)
    spread = []
    for shape in ((1, 3, 33, 70), (3, 3, 97, 45), (1, 3, 64, 64)):
        image = torch.rand(shape)
        with torch.no_grad():
            expected, found = network(image), converted(image)
        size = float(expected.abs().max()) / 5  # logits as large as a trained network's
        expected, found = (expected / size).sigmoid(), (found / size).sigmoid()
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
        spread.append(float(expected.std()))
    assert min(spread) > 0.01  # not everywhere the same
    assert engine.record()["precision"] == "float32"


def test_openvino_then_an_earlier_result_is_not_written_over():
    converted = Engine("openvino", CPU).prepare(nn.Conv2d(3, 1, 1).eval())
    first = converted(torch.zeros(1, 3, 5, 6))
    kept = first.clone()
    converted(torch.ones(1, 3, 5, 6))
    assert torch.equal(first, kept)


class Minded(nn.Conv2d):
    """Computes something else on images wider than so many voxels."""

    limit = 100

    def forward(self, x):
        return super().forward(x) * (2 if x.shape[-1] > self.limit else 1)


class MindedLater(Minded):
    """Beyond the sizes that the conversion is checked with."""

    limit = 160


class MindedEarlier(Minded):
    """Computes something else on narrow images."""

    def forward(self, x):
        return super().forward(x) * (1 if x.shape[-1] > 40 else 3)


class Square(nn.Conv2d):
    """Takes images as wide as high."""

    def forward(self, x):
        if x.shape[-1] != x.shape[-2]:
            raise RuntimeError(f"not square: {tuple(x.shape)}")
        return super().forward(x)


class Even(nn.Conv2d):
    """Takes large images with an even number of columns only."""

    def forward(self, x):
        if x.shape[-1] > 150 and x.shape[-1] % 2:
            raise RuntimeError("odd")
        return super().forward(x)


class Random(nn.Conv2d):
    """Asks for what OpenVINO does not have."""

    def forward(self, x):
        return torch.linalg.qr(super().forward(x))[0]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [(Minded, "gives other results than torch"), (Random, "OpenVINO cannot run this network")],
    ids=["decides by size", "unknown operation"],
)
def test_openvino_when_a_network_cannot_be_converted_then_refused(kind, reason):
    converted = Engine("openvino", CPU).prepare(kind(3, 1, 1).eval())
    root = logging.getLogger()
    before = root.level, root.filters[:], root.handlers[:]
    with pytest.raises(ValueError, match=f"engine: .*{reason}.*use --engine torch"):
        converted(torch.rand(1, 3, 8, 8))
    assert (root.level, root.filters, root.handlers) == before  # warnings are shown as before


def test_openvino_when_a_narrower_image_comes_out_different_then_refused():
    network = MindedEarlier(3, 1, 1).eval()
    network.limit = 1000
    converted, image = Engine("openvino", CPU).prepare(network), torch.rand(2, 3, 48, 41)
    torch.testing.assert_close(converted(image), network(image).detach())
    with pytest.raises(ValueError, match=r"other results than torch for images of \(48, 40\)"):
        converted(torch.rand(2, 3, 48, 40))


def test_openvino_when_a_larger_image_comes_out_different_then_refused():
    network = MindedLater(3, 1, 1).eval()
    converted, image = Engine("openvino", CPU).prepare(network), torch.rand(2, 3, 48, 160)
    torch.testing.assert_close(converted(image), network(image).detach())
    with pytest.raises(ValueError, match=r"other results than torch for images of \(48, 161\)"):
        converted(torch.rand(2, 3, 48, 161))


def test_openvino_when_it_fails_at_an_image_then_refused_as_by_its_own_error():
    call = openvino_network.conversion_of(nn.Conv2d(3, 1, 1).eval(), channels=3).call(torch.float32)
    with pytest.raises(openvino_network.RefusedError, match="OpenVINO cannot run this network"):
        call(torch.rand(1, 4, 8, 8))


def test_openvino_then_only_images_larger_or_smaller_than_all_before_are_compared(monkeypatch):
    compared, compare = [], openvino_network.compare_results

    def note(network, call, image):
        compared.append(tuple(image.shape))
        compare(network, call, image)

    converted = Engine("openvino", CPU).prepare(nn.Conv2d(3, 1, 1).eval())
    converted(torch.rand(1, 3, 8, 8))
    monkeypatch.setattr(openvino_network, "compare_results", note)
    sizes = ((40, 200), (40, 200), (30, 150), (41, 60), (41, 200), (9, 7), (7, 9), (7, 200))
    for height, width in sizes:
        converted(torch.rand(2, 3, height, width))
    assert compared == [(1, 3, *size) for size in ((40, 200), (41, 60), (9, 7), (7, 9))]


def test_network_that_fails_by_itself_then_said_of_it_and_not_of_openvino():
    told = (
        r"the network does not accept images of \(1, 3, 64, 96\) .*: not square: .*; "
        "OpenVINO's conversion cannot be checked, use --engine torch"
    )
    with pytest.raises(ValueError, match=told):
        openvino_network.convert_network(Square(3, 1, 1), channels=3)


def test_openvino_once_refused_then_not_converted_again(monkeypatch):
    times = []

    def fail(network, *, channels):
        times.append(channels)
        raise openvino_network.RefusedError("engine: no")

    monkeypatch.setattr(openvino_network, "convert_network", fail)
    converted = openvino_network.OpenvinoNetwork(nn.Conv2d(3, 1, 1))
    for _ in range(3):
        with pytest.raises(ValueError, match="engine: no"):
            converted(torch.rand(1, 3, 8, 8))
    assert times == [3]


def test_image_that_the_network_does_not_take_then_the_next_is_computed_all_the_same():
    converted = Engine("openvino", CPU).prepare(Even(3, 1, 1).eval())
    for _ in range(2):
        with pytest.raises(ValueError, match=r"does not accept images of \(1, 3, 200, 201\)"):
            converted(torch.rand(1, 3, 200, 201))
    assert converted(torch.rand(1, 3, 200, 200)).shape == (1, 1, 200, 200)


def test_openvino_when_the_processor_lacks_the_precision_then_refused(monkeypatch):
    """As OpenVINO does on such a processor: it takes float32, and says so only when asked."""
    taken = SimpleNamespace(to_string=lambda: "f32")
    compiled = SimpleNamespace(get_property=lambda name: taken)
    core = SimpleNamespace(compile_model=lambda *_: compiled)
    monkeypatch.setattr(openvino_network, "openvino_core", lambda: core)
    with pytest.raises(ValueError, match="computes in f32 instead of bf16, .*--engine torch"):
        openvino_network.compile_network(None, torch.bfloat16)


def trained_on_lungs(image, lungs, *, steps=15):
    """A U-Net that finds the lungs of one phantom, more or less."""
    torch.manual_seed(0)
    network = unet()
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for step in range(steps):
        chosen = torch.arange(step % 8, image.shape[-1], 8)
        inputs, wanted = (t[..., chosen].movedim(-1, 0) for t in (image, lungs))
        loss = binary_cross_entropy_with_logits(network(inputs), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


@needs_bfloat16
@pytest.mark.usefixtures("_at_the_root")
def test_openvino_in_bfloat16_on_a_phantom_then_the_mask_of_torch(lung_options, tmp_path):
    files = {"overlay": tmp_path / "small.json", "weights": tmp_path / "model.pt"}
    files["overlay"].write_text('{"precision": "bfloat16"}')
    whole = tmp_path / "whole.json"
    whole.write_text('{"precision": "float32"}')
    options = replace(
        lung_options,
        config_files=(str(files["overlay"]),),
        checkpoints=(str(files["weights"]),),
    )
    source = write_nifti(tmp_path / "scan.nii.gz", chest())
    data = Model(options).preprocessing({KEY: str(source)})
    image, lungs = data[KEY].as_tensor(), data["lung"].as_tensor().float()
    network = trained_on_lungs(image, lungs)
    write_model(files["weights"], network, lung_options.bundle / "configs")
    exact = replace(options, config_files=(*options.config_files, str(whole)))
    model = Model(replace(options, engine="openvino"))
    found = model.probabilities(data[KEY]).as_tensor() > 0.5
    expected = Model(exact).probabilities(data[KEY]).as_tensor() > 0.5
    assert 0.05 < expected.float().mean() < 0.95
    assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) >= 0.99
    assert model.engine.record()["precision"] == "bfloat16"
