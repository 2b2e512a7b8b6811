from __future__ import annotations

import pytest
import torch
from torch import nn

from custom_nets.unet import TransferUNet
from tests.custom_nets.encoders import KINDS
from tests.custom_nets.training import moved_shares, snapshot, train

LIGHT = (16, 16, 8, 8, 8)
scripted = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
exported = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
every_encoder = pytest.mark.parametrize("encoder", KINDS)


def build(encoder: str, **options: object) -> TransferUNet:
    torch.manual_seed(0)
    return TransferUNet(encoder, **{"decoder_channels": LIGHT, **options}).eval()


@every_encoder
@pytest.mark.parametrize("in_channels", [1, 3])
def test_logits_have_the_input_s_size_whatever_it_is(encoder: str, in_channels: int) -> None:
    network = build(encoder, in_channels=in_channels, out_channels=2)
    for height, width in [(64, 32), (45, 70), (7, 33), (1, 1)]:
        with torch.no_grad():
            logits = network(torch.rand(1, in_channels, height, width))
        assert logits.shape == (1, 2, height, width)
        assert logits.isfinite().all()


@every_encoder
def test_the_encoder_s_maps_halve_exactly_inside(encoder: str) -> None:
    network = build(encoder)
    with torch.no_grad():
        maps = network.encoder(torch.rand(1, 3, 96, 64))
    strides = [(96 / feature.shape[-2], 64 / feature.shape[-1]) for feature in maps]
    assert strides == [(stride, stride) for stride in network.encoder.block_strides]


@pytest.mark.parametrize("encoder", ["vgg16", "densenet121", "mobilenet_v3_small", "convnext_tiny"])
def test_bsft_stages_move_only_what_they_release(encoder: str) -> None:
    network = build(encoder, in_channels=1)
    network.set_trainable(["block5", "decoder"])
    before = snapshot(network)
    train(network, [torch.rand(2, 1, 32, 64) for _ in range(2)])
    shares = moved_shares(network, before)
    frozen = dict.fromkeys(("block1", "block2", "block3", "block4"), 0)
    assert shares == {**frozen, "block5": 1, "decoder": 1}


@pytest.mark.parametrize(("encoder", "joined"), [("vgg16", 512), ("resnet34", 256)])
def test_network_that_ends_at_half_resolution_then_its_last_step_is_left_out(encoder, joined):
    network = build(encoder, decoder_channels=None, decoder_stride=2, out_channels=2)
    whole = build(encoder, decoder_channels=None, out_channels=2)
    assert [step.up.out_channels for step in network.decoder.steps] == [256, 128, 64, 32]
    assert network.decoder.steps[0].convolutions[0].in_channels == 256 + joined
    own, usual = (sum(p.numel() for p in net.parameters()) for net in (network, whole))
    last = whole.decoder.steps[-1]
    # its doubling has 2 x 2 kernels of 4 x 4; its head sees 32 maps instead of 16, for 2 classes
    assert usual - own == sum(p.numel() for p in last.parameters()) - 2 * 2 * 16 - 2 * 16
    with torch.no_grad():
        assert network(torch.rand(1, 3, 45, 70)).shape == (1, 2, 45, 70)
    network.set_trainable(["decoder"])
    before = snapshot(network)
    train(network, [torch.rand(2, 3, 64, 64) for _ in range(2)])
    assert moved_shares(network, before)["decoder"] == 1


@pytest.mark.parametrize(
    ("encoder", "widths", "joined"),
    [
        ("vgg16", [256, 128, 64, 32, 16], [512, 512, 256, 128, 64]),
        ("resnet34", [256, 128, 64, 32, 16], [256, 128, 64, 64, 0]),
        ("mobilenet_v3_small", [288, 144, 72, 36, 18], [48, 24, 16, 16, 0]),
        ("convnext_tiny", [384, 192, 96, 48, 24], [384, 192, 96, 0, 0]),
    ],
)
def test_each_up_step_doubles_halves_the_channels_and_joins_the_block_of_that_size(
    encoder: str, widths: list[int], joined: list[int]
) -> None:
    network = TransferUNet(encoder)
    steps = network.decoder.steps
    assert [step.up.out_channels for step in steps] == widths
    assert [step.up.in_channels for step in steps] == [2 * widths[0], *widths[:-1]]
    assert network.encoder.block_channels[-1] == 2 * widths[0]
    assert [step.up.stride for step in steps] == [(2, 2)] * 5
    convolutions = [[m for m in step.convolutions if isinstance(m, nn.Conv2d)] for step in steps]
    for pair, width, skip in zip(convolutions, widths, joined, strict=True):
        assert [m.in_channels for m in pair] == [width + skip, width]
        assert [m.out_channels for m in pair] == [width, width]
        assert {m.kernel_size for m in pair} == {(3, 3)}


@every_encoder
def test_every_skip_reaches_the_logits(encoder: str) -> None:
    network = build(encoder)
    with torch.no_grad():
        maps = network.encoder(torch.rand(1, 3, 32, 32))
        deepest = maps[-1] if not network.pools_deepest else nn.MaxPool2d(2)(maps[-1])
        strides = [network.encoder.block_strides[index] for index in network.joined]
        assert strides == sorted(set(network.encoder.block_strides) - {32})
        maps = [maps[index] for index in network.joined]
        logits = network.decoder(deepest, maps)
        for index in range(len(maps)):
            changed = [m + 1 if i == index else m for i, m in enumerate(maps)]
            assert not torch.equal(network.decoder(deepest, changed), logits)


def test_vgg_then_the_decoder_starts_from_the_maximum_of_each_2x2_window_of_block5() -> None:
    network = build("vgg16", normalise="none")
    given: list[torch.Tensor] = []
    network.decoder.register_forward_pre_hook(lambda _module, args: given.append(args[0]))
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        network(image)
        block5 = network.encoder(image)[-1]
    windows = block5.reshape(1, 512, 2, 2, 3, 2)
    assert torch.equal(given[0], windows.amax(dim=(3, 5)))


def test_padding_by_repetition_keeps_what_is_inside(tiny: str) -> None:
    network = build(tiny, normalise="none")
    image = torch.rand(1, 3, 50, 40)
    last_row = torch.cat([image, image[:, :, -1:].expand(-1, -1, 14, -1)], dim=2)
    padded = torch.cat([last_row, last_row[..., -1:].expand(-1, -1, -1, 24)], dim=3)
    with torch.no_grad():
        assert torch.equal(network(image), network(padded)[:, :, :50, :40])


@pytest.mark.parametrize(
    ("norm", "kind"),
    [
        ("batch", nn.BatchNorm2d),
        ("instance", nn.InstanceNorm2d),
        ("group", nn.GroupNorm),
        ("none", nn.Identity),
    ],
)
def test_the_decoder_s_norm_is_the_one_chosen(tiny: str, norm: str, kind: type[nn.Module]) -> None:
    network = build(tiny, norm=norm)
    convolutions = [step.convolutions for step in network.decoder.steps]
    assert sum(isinstance(m, kind) for each in convolutions for m in each) == 10
    network.set_trainable(["decoder"])
    before = snapshot(network)
    train(network, [torch.rand(2, 3, 64, 64) for _ in range(2)])
    assert moved_shares(network, before)["decoder"] == 1


@pytest.mark.parametrize(
    ("normalise", "expected"), [("imagenet", (0.485, 0.229)), ("half", (0.5, 0.5)), ("none", None)]
)
def test_inputs_are_brought_to_the_scale_of_the_weights(
    tiny: str, normalise: str, expected: tuple[float, float] | None
) -> None:
    network = build(tiny, normalise=normalise)
    image = torch.rand(1, 3, 32, 32)
    mean, std = expected or (0.0, 1.0)
    torch.testing.assert_close(network.normalise(image)[:, 0], (image[:, 0] - mean) / std)
    assert not [key for key in network.state_dict() if key.startswith("normalise")]


@pytest.mark.parametrize(
    ("encoder", "mean"), [("inception_v3", 0.5), ("densenet121", (0.485 + 0.456 + 0.406) / 3)]
)
def test_the_scale_is_by_default_the_one_of_the_published_weights(
    encoder: str, mean: float
) -> None:
    network = build(encoder, in_channels=1)
    assert network.normalise.mean.item() == pytest.approx(mean)


def gradients(network: TransferUNet) -> dict[str, float]:
    """Mean gradient of the kernels of each block, of one step on noise."""
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    network.train()(images).sigmoid().mean().backward()
    kernels = dict(network.named_parameters())
    found = {}
    for block in ("block1", "block5"):
        paths = [f"{path}.weight" for layer in network.parts[block].values() for path in layer]
        means = [kernels[path].grad.abs().mean() for path in paths]  # type: ignore[union-attr]
        found[block] = float(torch.stack(means).mean())
    return found


def test_skips_of_large_maps_when_normed_then_the_deep_block_learns_too() -> None:
    """Maps of VGG with ImageNet weights are about 100 times as large as those of random ones."""
    shares = {}
    for skip_norm in ("none", "auto"):
        network = build("vgg16", skip_norm=skip_norm)
        for block, factor in zip(range(1, 6), (100.0, 2.5, 0.75, 0.08, 0.05), strict=True):
            (first, *_), *_ = network.parts[f"block{block}"].values()
            network.get_parameter(f"{first}.weight").data *= factor
        found = gradients(network)
        shares[skip_norm] = found["block5"] / found["block1"]
    assert shares["none"] < 1e-8
    assert shares["auto"] > 1e-4


def test_norms_on_skips_then_belong_to_the_decoder_and_absent_without() -> None:
    normed, plain = build("vgg16", skip_norm="auto"), build("vgg16")
    added = set(normed.state_dict()) - set(plain.state_dict())
    assert {key.split(".")[3] for key in added} == {"skip_norm"}
    assert not set(plain.state_dict()) - set(normed.state_dict())
    normed.set_trainable(["decoder"])
    assert normed.decoder.steps[0].skip_norm.weight.requires_grad


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_norms_on_skips_of_a_frozen_encoder_with_channels_last_then_trained(norm: str) -> None:
    """On a CPU, torch's own group norm crashes the process here."""
    network = build("vgg11", skip_norm="auto", norm=norm).to(memory_format=torch.channels_last)
    network.set_trainable(["decoder"])
    image = torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last)
    network.train()(image).square().mean().backward()
    step = network.decoder.steps[0].skip_norm
    assert bool(step.weight.grad.abs().sum() > 0)


@pytest.mark.parametrize(
    ("encoder", "skip_norm", "norm", "kind"),
    [
        ("vgg11", "auto", "group", nn.GroupNorm),
        ("vgg11", "auto", "none", nn.Identity),
        ("vgg11_bn", "auto", "batch", nn.Identity),
        ("resnet18", "auto", "batch", nn.Identity),
        ("resnet18", "all", "batch", nn.BatchNorm2d),
        ("vgg11", "none", "batch", nn.Identity),
    ],
)
def test_norms_on_skips_when_auto_then_only_of_an_encoder_without(encoder, skip_norm, norm, kind):
    network = build(encoder, skip_norm=skip_norm, norm=norm)
    assert isinstance(network.decoder.steps[0].skip_norm, kind)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "vgg18"}, "encoder must be one of vgg11, .*; got 'vgg18'; did you mean vgg1"),
        ({"norm": "layer"}, "norm must be one of batch, instance, group, none; got 'layer'"),
        ({"skip_norm": "some"}, "skip_norm must be one of auto, all, none; got 'some'"),
        ({"norm": "none", "skip_norm": "all"}, 'skip_norm "all" needs .*; got norm "none"'),
        ({"normalise": "mean"}, "normalise must be one of imagenet, half, none; got 'mean'"),
        ({"decoder_channels": (8, 8)}, r"decoder_channels must be 5 .* got \[8, 8\]"),
        ({"decoder_channels": ()}, r"decoder_channels must be 5 .* got \[\]"),
        ({"decoder_channels": (8, 8, 8, 8, 0)}, "decoder_channels must be 5 positive widths"),
        ({"out_channels": 0}, "out_channels must be at least 1; got 0"),
        ({"weights": "missing.pth"}, "got 'missing.pth'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        TransferUNet(**options)


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 32, 32), (1, 4, 32, 32)])
def test_inputs_of_another_shape_are_refused(tiny: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"input must be \(B, 3, H, W\); got"):
        build(tiny)(torch.rand(shape))


@scripted
@every_encoder
def test_the_scripted_network_equals_the_eager_one(encoder: str) -> None:
    network = build(encoder)
    exported_network = torch.jit.script(network)
    for size in [(64, 64), (40, 50)]:
        image = torch.rand(1, 3, *size)
        with torch.no_grad(), torch.jit.optimized_execution(False):
            torch.testing.assert_close(
                exported_network(image), network(image), rtol=1e-5, atol=1e-5
            )


@exported
def test_the_onnx_network_equals_the_eager_one_at_any_size(tiny: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network = build(tiny)
    height, width = (torch.export.Dim(side, min=33, max=4096) for side in ("height", "width"))
    program = torch.onnx.export(
        network,
        (torch.rand(2, 3, 64, 70),),
        input_names=["image"],
        dynamo=True,
        dynamic_shapes={"x": {0: "batch", 2: height, 3: width}},
        verbose=False,
    )
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    for shape in [(1, 3, 64, 96), (3, 3, 50, 33)]:
        image = torch.rand(shape)
        (found,) = session.run(None, {"image": image.numpy()})
        with torch.no_grad():
            expected = network(image)
        torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("encoder", ["resnet34", "densenet121", "efficientnet_b0", "convnext_tiny"])
def test_channels_last_stays_so_and_changes_no_result(encoder: str) -> None:
    network = build(encoder)
    image = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = network(image)
        network.to(memory_format=torch.channels_last)
        maps = network.encoder(image.contiguous(memory_format=torch.channels_last))
        found = network(image.contiguous(memory_format=torch.channels_last))
    assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
