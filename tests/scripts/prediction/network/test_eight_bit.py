"""A CT in 8 bits: used where it agrees with float32, left out and said where it does not."""

import json
from dataclasses import replace

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from scripts.prediction.network import eight_bit
from scripts.prediction.network.eight_bit import (
    Agreement,
    EightBitNetwork,
    dice_of,
    evenly_spaced,
    found_slices,
    mean_error,
)
from scripts.prediction.network.model import Model
from scripts.training.inferers import SlicewiseInferer
from tests.bundles.model_files import write_model
from tests.scripts.prediction.network.test_quantisation import Chain


@pytest.fixture
def volume():
    """(1, 3, H, W, D), with a bright ball."""
    grid = torch.stack(torch.meshgrid(*(torch.arange(24.0) for _ in range(3)), indexing="ij"))
    ball = ((grid - 12) ** 2).sum(dim=0) < 49
    noise = 0.2 * torch.rand(24, 24, 24, generator=torch.Generator().manual_seed(0))
    return (ball + noise).expand(1, 3, -1, -1, -1).contiguous()


def finding():
    """A network that finds what is bright: each convolution passes its first channel on."""
    network = Chain()
    with torch.no_grad():
        for layer in network.layers:
            layer.weight *= 0.05
            layer.bias.zero_()
            layer.weight[0, 0, 1, 1] = 1
        network.layers[-1].weight *= 20
        network.layers[-1].bias -= 10
    return network.eval()


def inferer(volume, network):
    with torch.no_grad():
        return SlicewiseInferer(slices_at_once=2)(volume, network)


def masks(logits):
    return logits[0] > 0


def test_network_that_agrees_then_eight_bits_and_float32_on_the_compared_slices(volume):
    network = finding()
    logits, agreement = EightBitNetwork(network).predict(volume, inferer, masks, calibrate=True)
    expected = inferer(volume, network)
    differences = (logits - expected).abs().flatten(0, 3).amax(dim=0)
    compared = differences < 1e-4
    assert agreement.trusted
    assert agreement.dice[0] >= 0.99
    assert agreement.slices == int(compared.sum()) == 9
    assert float(differences[~compared].min()) > 1e-4
    assert torch.equal(masks(logits), masks(expected))


def test_network_that_does_not_agree_then_float32_and_said(volume, caplog, monkeypatch):
    network, few = finding(), eight_bit.quantised

    def coarse(model, ranges):
        for each in ranges.values():
            each.low, each.high = each.low * 1000, each.high * 1000
        return few(model, ranges)

    monkeypatch.setattr(eight_bit, "quantised", coarse)
    logits, agreement = EightBitNetwork(network).predict(volume, inferer, masks, calibrate=True)
    torch.testing.assert_close(logits, inferer(volume, network), atol=1e-3, rtol=1e-3)
    assert not agreement.trusted
    assert agreement.record()["used"] is False
    (told,) = caplog.messages
    assert "8 bits give another result than float32 for this CT (Dice 0." in told


def test_flipped_pass_then_ranges_of_the_first_and_compared_anew(volume):
    network, calls = EightBitNetwork(finding()), []
    original = eight_bit.quantised
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eight_bit, "quantised", lambda *a: calls.append(1) or original(*a))
        network.predict(volume, inferer, masks, calibrate=True)
        _, agreement = network.predict(volume.flip(2), inferer, masks, calibrate=False)
    assert calls == [1]
    assert agreement.slices == 9


def test_empty_ct_then_trusted_with_the_spread_slices_only(volume):
    network = EightBitNetwork(finding())
    logits, agreement = network.predict(torch.zeros_like(volume), inferer, masks, calibrate=True)
    assert not bool(masks(logits).any())
    assert (agreement.dice, agreement.slices) == ((1.0,), 4)


def test_region_between_the_evenly_spaced_slices_of_the_ct_then_calibrated_inside_it(volume):
    network, region = finding(), torch.zeros(1, 24, 24, 24)
    region[..., 9:15] = 1
    image = volume * region  # nothing elsewhere, as a bundle of the lungs masks it
    logits, agreement = EightBitNetwork(network).predict(
        image, inferer, masks, calibrate=True, region=region
    )
    expected = masks(inferer(image, network))
    assert agreement.trusted
    assert int(expected.sum()) > 300
    assert int((masks(logits) ^ expected).sum()) < 3


def most_probable(logits):
    best = logits[0].argmax(dim=0)
    return torch.stack([best == each for each in range(1, logits.shape[1])])


def test_logits_of_classes_then_their_mean_error_where_two_are_nearly_equal():
    exact = torch.tensor([0.0, 0.4, -9.0]).reshape(1, 3, 1, 1).repeat(1, 1, 10, 10)
    rounded = exact - torch.tensor([0.5, -0.25, 1.0]).reshape(1, 3, 1, 1)
    exact[..., 5:] += torch.tensor([0.0, 90.0, 0.0]).reshape(1, 3, 1, 1)  # far from a decision
    error = mean_error(exact, rounded, most_probable).flatten().tolist()
    assert error == pytest.approx([0.5, -0.25, 1.0])
    few = exact[..., :9, 3:]
    assert not bool(mean_error(few, few - 1, most_probable).any())


def test_mask_above_another_threshold_then_the_mean_error_there():
    exact = torch.linspace(-6, 6, 2400).reshape(1, 1, 2400)
    rounded = exact - torch.where(exact < -1, 0.25, 0.0)
    low = mean_error(exact, rounded, lambda logits: logits[0] > -3)
    assert float(low) == pytest.approx(0.25)
    assert float(mean_error(exact, rounded, masks)) == 0


def test_network_of_few_convolutions_then_refused():
    network = EightBitNetwork(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1)).eval())
    with pytest.raises(ValueError, match="no convolutions for 8 bits, .* use --engine auto"):
        network(torch.rand(1, 3, 8, 8))


@pytest.mark.parametrize("depth", [1, 2, 5, 7, 140])
def test_compared_slices_then_inside_the_ct_and_each_once(depth):
    spread = evenly_spaced(depth)
    found = found_slices(torch.ones(2, 3, depth) > 0, leaving_out=spread)
    together = [*spread, *found]
    assert together
    assert len(set(together)) == len(together)
    assert set(together) <= set(range(depth))


def test_classes_then_each_compared_where_it_was_found():
    found = torch.zeros(2, 400, 40, dtype=torch.bool)
    found[0, :, 8:12] = True
    found[1, 0, 30] = True
    assert found_slices(found, leaving_out=[]) == [8, 9, 10, 11, 30]


@pytest.mark.parametrize(("stray", "trusted"), [(2, True), (20, False)])
def test_voxels_of_a_class_that_is_not_there_then_a_few_allowed(stray, trusted):
    found = torch.zeros(2, 100, dtype=torch.bool)
    found[0] = True
    other = found.clone()
    other[1, :stray] = True
    agreement = Agreement(dice_of(other, found), 1)
    assert agreement.dice[0] == 1
    assert agreement.trusted is trusted


@pytest.mark.usefixtures("_at_the_root")
def test_bundle_in_eight_bits_then_the_mask_of_torch_and_the_comparison_recorded(
    lung_options, volume, tmp_path
):
    overlay, weights = tmp_path / "chain.json", tmp_path / "chain.pt"
    overlay.write_text(json.dumps({"network_def": {"_target_": f"{Chain.__module__}.Chain"}}))
    write_model(weights, finding(), lung_options.bundle / "configs")
    options = replace(lung_options, config_files=(str(overlay),), checkpoints=(str(weights),))
    image = Model(options).probabilities(_meta(volume[0])) > 0.5
    model = Model(replace(options, engine="openvino-int8", flips=("x",)))
    model.check_engine()
    assert torch.equal(model.probabilities(_meta(volume[0])) > 0.5, image)
    record = model.engine.record()
    assert [each["used"] for each in record["eight_bit"]] == [True, True]
    assert record["name"] == "openvino-int8"


def _meta(image):
    return MetaTensor(image, affine=torch.eye(4))
