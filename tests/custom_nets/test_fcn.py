"""FCN-32s to FCN-4s: shapes, continuing a coarser network, freezing."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from custom_nets.fcn import FCN_STRIDES, TransferFCN
from custom_nets.normalisation import STATISTICS
from tests.custom_nets.encoders import KINDS
from tests.custom_nets.training import moved_shares, snapshot, train

COARSE_TO_FINE = [(32, 16), (16, 8), (8, 4), (32, 4)]


def stirred(network: TransferFCN) -> TransferFCN:
    """Move every weight off its start, as training would."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    return network.eval()


def logits_of(network: TransferFCN, image: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(image)
    return logits


@pytest.mark.parametrize("stride", FCN_STRIDES)
@pytest.mark.parametrize("size", [(1, 1), (33, 65), (50, 31), (64, 96)], ids=str)
def test_an_image_of_any_size_then_gives_logits_of_exactly_that_size(
    size: tuple[int, int], stride: int, tiny: str
) -> None:
    network = TransferFCN(tiny, stride=stride, out_channels=4).eval()
    assert logits_of(network, torch.rand(2, 3, *size)).shape == (2, 4, *size)


@pytest.mark.parametrize("encoder", KINDS)
def test_every_encoder_then_scores_the_strides_down_to_the_one_asked(encoder: str) -> None:
    network = TransferFCN(encoder, stride=4, in_channels=1, out_channels=2, width=0).eval()
    assert logits_of(network, torch.rand(1, 1, 45, 37)).shape == (1, 2, 45, 37)
    channels = dict(zip(network.encoder.block_strides, network.encoder.block_channels, strict=True))
    half = 2 if encoder.startswith("vgg") else 1  # pool2 lies at twice the stride of block2
    scored = [step.score.in_channels for step in network.decoder.steps if step.score is not None]
    assert scored == [channels[stride // half] for stride in (16, 8, 4)]


def test_vgg_then_scores_the_maximum_of_each_2x2_window_of_its_blocks() -> None:
    network = TransferFCN("vgg16", stride=8, width=0, normalise="none").eval()
    given: list[Tensor] = []
    network.decoder.register_forward_pre_hook(lambda _, args: given.extend([*args[1], args[0]]))
    image = torch.rand(1, 3, 64, 96)
    logits_of(network, image)
    with torch.no_grad():
        blocks = network.encoder(image)[2:]
    for pooled, block in zip(given, blocks, strict=True):
        _, channels, height, width = block.shape
        windows = block.reshape(1, channels, height // 2, 2, width // 2, 2)
        assert torch.equal(pooled, windows.amax(dim=(3, 5)))


@pytest.mark.parametrize(("coarse", "fine"), COARSE_TO_FINE)
def test_a_finer_network_that_continues_a_coarser_one_then_starts_as_the_same_function(
    coarse: int, fine: int, tiny: str
) -> None:
    torch.manual_seed(0)
    before = stirred(TransferFCN(tiny, stride=coarse, width=6))
    after = stirred(TransferFCN(tiny, stride=fine, width=6))
    image = torch.rand(2, 3, 70, 61)
    assert not torch.equal(logits_of(after, image), logits_of(before, image))
    new = after.load_coarser(before.state_dict())
    assert torch.equal(logits_of(after, image), logits_of(before, image))
    added = FCN_STRIDES.index(fine) - FCN_STRIDES.index(coarse)
    assert len(new) == 2 * added
    assert set(new) == after.state_dict().keys() - before.state_dict().keys()


def test_new_skip_scores_then_learn_from_the_first_step(tiny: str) -> None:
    network = TransferFCN(tiny, stride=4)
    network(torch.rand(2, 3, 64, 64)).square().sum().backward()
    for step in list(network.decoder.steps)[:3]:
        assert step.score.weight.abs().max() == 0
        assert step.score.weight.grad.abs().max() > 0


def test_vgg16_with_conv6_and_conv7_then_also_continues_exactly() -> None:
    before = stirred(TransferFCN("vgg16", stride=16, width=8))
    after = TransferFCN("vgg16", stride=8, width=8).eval()
    after.load_coarser(before.state_dict())
    image = torch.rand(1, 3, 40, 33)
    assert torch.equal(logits_of(after, image), logits_of(before, image))


def test_each_step_from_coarse_to_fine_then_fits_better_than_the_last(tiny: str) -> None:
    torch.manual_seed(0)
    coarse = torch.rand(4, 1, 8, 8)
    image = F.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1)
    target = (image[:, 0] > 0.5).long()
    losses, previous = [], None
    for stride in FCN_STRIDES:
        network = TransferFCN(tiny, stride=stride, in_channels=1, out_channels=2, dropout=0.0)
        if previous is not None:
            network.load_coarser(previous.state_dict())
        losses.append(fit(network, image, target))
        previous = network
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.7 * losses[0]


def fit(network: TransferFCN, image: Tensor, target: Tensor, *, steps: int = 40) -> float:
    """Train on one batch; return the last loss."""
    optimizer = torch.optim.Adam(network.parameter_groups(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(network(image), target)
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("wrapped", [False, True], ids=["state_dict", "checkpoint"])
def test_a_coarser_network_in_a_file_then_continues_too(
    wrapped: bool, tiny: str, tmp_path: Path
) -> None:
    before = stirred(TransferFCN(tiny, stride=32))
    state = before.state_dict()
    torch.save({"model": state, "epoch": 3} if wrapped else state, tmp_path / "model.pt")
    after = TransferFCN(tiny, stride=16).eval()
    assert after.load_coarser(tmp_path / "model.pt") == (
        "decoder.steps.0.score.weight",
        "decoder.steps.0.score.bias",
    )
    image = torch.rand(1, 3, 32, 32)
    assert torch.equal(logits_of(after, image), logits_of(before, image))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 16}, "coarser than FCN-16s.* got one that is not coarser"),
        ({"stride": 8}, r"got 2 other tensors: \['decoder\.steps\.1\.score"),
        ({"stride": 32, "out_channels": 3}, r"got \d+ other tensors"),
        ({"stride": 32, "width": 6}, r"got \d+ other tensors: .*fully_connected"),
    ],
    ids=["as fine", "finer", "other classes", "other width"],
)
def test_what_is_not_a_coarser_network_then_is_refused_and_nothing_changes(
    options: dict[str, int], message: str, tiny: str
) -> None:
    network = TransferFCN(tiny, stride=16)
    before = snapshot(network)
    with pytest.raises(ValueError, match=message):
        network.load_coarser(TransferFCN(tiny, **options).state_dict())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_a_file_that_is_absent_or_no_weights_file_then_is_refused(
    tiny: str, tmp_path: Path
) -> None:
    network = TransferFCN(tiny)
    with pytest.raises(FileNotFoundError, match="source must be a state_dict or an existing file"):
        network.load_coarser(tmp_path / "absent.pt")
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ValueError, match="must be a weights file"):
        network.load_coarser(tmp_path / "text.pt")
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="must be a state_dict .* got list with other content"):
        network.load_coarser(tmp_path / "list.pt")
    with pytest.raises(ValueError, match="must be a state_dict .* got dict with other content"):
        network.load_coarser({"optimizer": {}, "epoch": 1})


@pytest.mark.parametrize("stride", [0, 2, 64])
def test_another_stride_then_is_refused(stride: int) -> None:
    with pytest.raises(ValueError, match=f"stride must be one of 32, 16, 8, 4; got {stride}"):
        TransferFCN("resnet34", stride=stride)


@pytest.mark.parametrize(("output_stride", "stride"), [(8, 16), (16, 32), (8, 32)])
def test_a_stride_coarser_than_the_deepest_map_then_is_refused(
    output_stride: int, stride: int
) -> None:
    with pytest.raises(ValueError, match=f"8, 4 with output_stride {output_stride}; got {stride}"):
        TransferFCN("resnet34", stride=stride, output_stride=output_stride)


@pytest.mark.parametrize(
    ("output_stride", "stride", "blocks"),
    [(None, 8, [5, 4, 3]), (16, 8, [5, 3]), (16, 4, [5, 3, 2]), (8, 8, [5]), (8, 4, [5, 2])],
)
def test_logits_then_those_recomputed_from_the_scores_of_the_maps(
    output_stride: int | None, stride: int, blocks: list[int]
) -> None:
    """The maps of FCRN, and of dilated networks; each block listed is finer than the last."""
    torch.manual_seed(0)
    options = {"stride": stride, "output_stride": output_stride, "skip_dropout": 0.5}
    network = stirred(TransferFCN("resnet38", in_channels=1, out_channels=2, **options))
    image = torch.rand(1, 1, 64, 96)
    state = network.state_dict()
    with torch.no_grad():
        maps = network.encoder(network.normalise(image))
        deepest, *skips = (maps[block - 1] for block in blocks)
        x = F.conv2d(deepest, state["decoder.score.weight"], state["decoder.score.bias"])
        for step in range((output_stride or 32).bit_length() - 1):
            x = F.pad(x, [1, 1, 1, 1], mode="replicate")
            x = F.conv_transpose2d(x, state[f"decoder.steps.{step}.up.weight"], stride=2, padding=3)
            if step < len(skips):
                score = f"decoder.steps.{step}.score"
                x = x + F.conv2d(skips[step], state[f"{score}.weight"], state[f"{score}.bias"])
    torch.testing.assert_close(logits_of(network, image), x, rtol=1e-5, atol=1e-5)
    scores = {key.rpartition(".")[0] for key in state if "score" in key}
    assert len(scores) == len(blocks)


def test_skip_dropout_then_acts_in_training_on_every_score_and_never_afterwards(tiny: str) -> None:
    network = stirred(TransferFCN(tiny, stride=8, skip_dropout=0.5, dropout=0.0))
    plain = TransferFCN(tiny, stride=8, dropout=0.0)
    plain.load_state_dict(network.state_dict())
    image = torch.rand(1, 3, 64, 64)
    assert torch.equal(logits_of(network, image), logits_of(plain.eval(), image))
    dropped = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert dropped == [0.0, *[0.5] * 5]
    for dropout in (step.dropout for step in list(network.decoder.steps)[:2]):
        dropout.train()
        assert not torch.equal(logits_of(network, image), logits_of(plain, image))
        dropout.eval()


def test_a_file_without_the_newer_arguments_then_still_loads_but_not_into_a_dilated_network() -> (
    None
):
    state = TransferFCN("resnet34").state_dict()
    for entry in state._metadata.values():
        for name in ("output_stride", "skip_dropout"):
            entry.get("definition", {}).pop(name, None)
    TransferFCN("resnet34", skip_dropout=0.5).load_state_dict(state)
    with pytest.raises(ValueError, match="output_stride: the file has None, the config has 16"):
        TransferFCN("resnet34", output_stride=16).load_state_dict(state)


def test_another_number_of_channels_then_is_refused(tiny: str) -> None:
    network = TransferFCN(tiny, in_channels=3)
    with pytest.raises(ValueError, match=r"input must be \(B, 3, H, W\); got \[1, 1, 32, 32\]"):
        network(torch.rand(1, 1, 32, 32))


def test_parts_then_are_the_blocks_and_the_decoder_which_holds_all_else(tiny: str) -> None:
    network = TransferFCN(tiny, width=6)
    assert network.block_names == ("block1", "block2", "block3", "block4", "block5", "decoder")
    decoder = network.parameter_groups()[-1]["params"]
    others = [p for name, p in network.named_parameters() if not name.startswith("encoder.")]
    assert {id(p) for p in decoder} == {id(p) for p in others}
    assert any(p is network.fully_connected.conv6.weight for p in decoder)


@pytest.mark.parametrize(
    ("names", "moved"),
    [
        (["decoder"], {"decoder"}),
        (["decoder", "block5"], {"decoder", "block5"}),
        (["block1"], {"block1"}),
    ],
    ids=["decoder", "decoder and block5", "block1"],
)
def test_frozen_parts_then_are_bit_equal_after_training(
    names: list[str], moved: set[str], tiny: str
) -> None:
    torch.manual_seed(0)
    network = stirred(TransferFCN(tiny, stride=4, width=6))
    network.set_trainable(names)
    before = snapshot(network)
    train(network, [torch.rand(2, 3, 64, 64) for _ in range(2)])
    shares = moved_shares(network, before)
    assert {part for part, share in shares.items() if share == 1} == moved
    assert {part for part, share in shares.items() if share == 0} == shares.keys() - moved


def test_dropout_then_acts_while_the_decoder_learns_and_only_then(tiny: str) -> None:
    network = TransferFCN(tiny, width=6, dropout=0.5).train()
    image = torch.rand(2, 3, 64, 64)
    network.set_trainable(["decoder"])
    assert not torch.equal(network(image), network(image))
    network.set_trainable([])
    assert torch.equal(network(image), network(image))


def test_no_dropout_then_training_mode_is_a_function(tiny: str) -> None:
    network = TransferFCN(tiny, width=6, dropout=0.0).train()
    image = torch.rand(2, 3, 64, 64)
    assert torch.equal(network(image), network(image))


def test_gradients_then_reach_every_parameter(tiny: str) -> None:
    torch.manual_seed(0)
    network = stirred(TransferFCN(tiny, stride=4, width=6)).train()
    network(torch.rand(2, 3, 64, 64)).square().sum().backward()
    assert not [name for name, p in network.named_parameters() if not p.grad.abs().max() > 0]


def test_normalisation_then_is_the_encoders_or_the_one_asked(tiny: str) -> None:
    network = stirred(TransferFCN(tiny))
    plain = TransferFCN(tiny, normalise="none").eval()
    plain.load_state_dict(dict(network.state_dict()))  # without the note of what it is
    image = torch.rand(1, 3, 40, 40)
    mean, std = torch.tensor(STATISTICS["imagenet"]).view(2, 1, 3, 1, 1)
    torch.testing.assert_close(logits_of(plain, (image - mean) / std), logits_of(network, image))
    assert not torch.equal(logits_of(plain, image), logits_of(network, image))


def test_channels_last_then_the_logits_and_their_layout_hold() -> None:
    network = stirred(TransferFCN("resnet34", stride=4)).double()
    image = torch.rand(2, 3, 50, 70, dtype=torch.double)
    expected = logits_of(network, image)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    found = logits_of(last, image.to(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
