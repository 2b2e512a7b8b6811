from io import BytesIO

import pytest
import torch

from custom_nets.cross_modal import CrossModalUNet, Fusion
from tests.custom_nets.encoders import KINDS
from tests.custom_nets.tiny import TinyEncoder
from tests.custom_nets.training import moved_shares, snapshot, train

BLOCKS = ("block1", "block2", "block3", "block4", "block5", "decoder")


def build(encoder, fusion="concat", **options):
    torch.manual_seed(0)
    widths = {"in_channels": 1, "decoder_channels": (4, 4, 4, 4, 4)}
    return CrossModalUNet(encoder, fusion=fusion, **{**widths, **options})


@pytest.fixture(params=["concat", "sum"])
def network(request, tiny):
    return build(tiny, request.param)


def batches(count=3):
    return list(torch.rand(count, 2, 2, 64, 64, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    ("encoder", "in_channels"), [*((name, 3) for name in KINDS), ("resnet34", 1)]
)
def test_image_of_any_size_then_logits_of_that_size(encoder, in_channels):
    network = build(encoder, in_channels=in_channels, out_channels=2).eval()
    with torch.no_grad():
        found = network(torch.rand(1, 2 * in_channels, 40, 33))
    assert found.shape == (1, 2, 40, 33)
    assert torch.isfinite(found).all()
    assert network.block_names == BLOCKS


def test_each_half_then_goes_through_its_own_encoder(network):
    image = batches(1)[0]
    network.eval()
    with torch.no_grad():
        before = network(image)
        for half in (0, 1):
            changed = image.clone()
            changed[:, half] = changed[:, half].flip(-1)
            assert not torch.equal(network(changed), before)
        for parameter in network.second.parameters():
            parameter.zero_()
        silenced = image.clone()
        silenced[:, 1] = 0
        assert torch.equal(network(silenced), network(image))


def test_vgg_then_the_decoder_starts_from_the_maximum_of_each_2x2_window_of_the_fused_block5():
    network = build("vgg16", "sum", normalise="none").eval()
    given = []
    network.decoder.register_forward_pre_hook(lambda _module, args: given.append(args))
    image = batches(1)[0]
    with torch.no_grad():
        network(image)
        fused = network.first(image[:, :1])[-1] + network.second(image[:, 1:])[-1]
    deepest, skips = given[0]
    assert torch.equal(skips[-1], fused)
    assert torch.equal(deepest, fused.reshape(2, 512, 2, 2, 2, 2).amax(dim=(3, 5)))


def test_gradient_then_reaches_every_parameter(network):
    network.train()(batches(1)[0]).square().mean().backward()
    without = [k for k, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["decoder"], {"decoder"}),
        (["decoder", "block5"], {"decoder", "block5"}),
        (["encoder"], set(BLOCKS) - {"decoder"}),
        (["all"], set(BLOCKS)),
    ],
    ids=lambda value: "+".join(sorted(value)),
)
def test_training_then_moves_what_is_named_in_both_encoders_and_leaves_the_rest_bit_equal(
    network, names, expected
):
    network.set_trainable(names)
    before = snapshot(network)
    train(network, batches())
    shares = moved_shares(network, before)
    assert {name for name, share in shares.items() if share == 1} == expected
    assert set(shares.values()) <= {0, 1}


def test_layers_then_named_once_and_hold_both_encoders(network):
    assert network.layer_names == tuple(f"conv{i}" for i in range(1, 11))
    assert network.parts["block2"]["conv3"] == [
        *("first.blocks.1.0", "first.blocks.1.1"),
        *("second.blocks.1.0", "second.blocks.1.1"),
    ]


def test_groups_then_hold_every_parameter_once_by_block(network):
    groups = network.parameter_groups()
    assert tuple(group["name"] for group in groups) == BLOCKS
    held = [id(p) for group in groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in network.parameters())


def test_weights_file_then_fills_both_encoders(tiny, tmp_path):
    encoder = TinyEncoder(1)
    torch.save(encoder.state_dict(), tmp_path / "tiny.pt")
    network = build(tiny, weights=str(tmp_path / "tiny.pt"))
    for key, tensor in encoder.state_dict().items():
        assert torch.equal(network.first.state_dict()[key], tensor)
        assert torch.equal(network.second.state_dict()[key], tensor)


def test_fusion_then_starts_as_the_mean_or_is_the_sum():
    first, second = torch.rand(2, 2, 5, 3, 3)
    torch.testing.assert_close(Fusion(5, "concat")(first, second), (first + second) / 2)
    assert torch.equal(Fusion(5, "sum")(first, second), first + second)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_script_when_saved_and_loaded_then_same_result(network):
    network.eval()
    buffer = BytesIO()
    torch.jit.save(torch.jit.script(network), buffer)
    buffer.seek(0)
    image = torch.rand(1, 2, 40, 33)
    with torch.no_grad():
        torch.testing.assert_close(torch.jit.load(buffer)(image), network(image))


def test_other_fusion_or_one_modality_then_refused(tiny):
    with pytest.raises(ValueError, match="fusion must be one of concat, sum; got 'product'"):
        build(tiny, "product")
    with pytest.raises(ValueError, match=r"input must be \(B, 2, H, W\); got \[1, 1, 32, 32\]"):
        build(tiny)(torch.zeros(1, 1, 32, 32))
