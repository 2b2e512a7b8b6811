"""Low-rank changes of kernels: their gradients, their rank, and ordinary weights at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from custom_nets.prefix_cache import PrefixCache, frozen_blocks
from custom_nets.unet import TransferUNet
from scripts.training.engine_events import StageEvents
from scripts.training.fine_tuning.low_rank import LowRankChanges, group_name, kernels_of, sizes_of
from scripts.training.fine_tuning.stage_options import LowRank, Stage
from scripts.training.fine_tuning.stage_record import copy_of
from scripts.training.fine_tuning.strategies import parameter_groups
from tests.custom_nets.encoders.test_convnext import Narrow
from tests.scripts.training.tiny_training import TinyNet, TinyTraining, copies_at, stage, strategy


def low_rank(rank: int = 2, scale: float = 1.0, *parts: str) -> Stage:
    options = LowRank(rank, scale, parts or ("encoder",))
    return Stage("low", ("decoder",), 2, None, 0.1, low_rank=options)


def begun(wanted: Stage) -> tuple[TinyNet, torch.optim.Optimizer, LowRankChanges]:
    torch.manual_seed(0)
    network = TinyNet()
    optimizer = torch.optim.SGD(parameter_groups(network, 0.1))
    changes = LowRankChanges(network, optimizer, [wanted])
    changes.add_groups()
    network.set_trainable(wanted.trainable)
    changes.begin(wanted)
    return network, optimizer, changes


def factors_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """A and B of conv1, A and B of conv2."""
    group = next(g for g in optimizer.param_groups if g["name"] == group_name("low"))
    found: list[torch.Tensor] = group["params"]
    return found


def test_kernels_then_the_convolutions_of_the_named_parts() -> None:
    network = TinyNet()
    assert kernels_of(network, ["encoder"]).keys() == {"conv1.weight", "conv2.weight"}
    assert kernels_of(network, ["block2"]).keys() == {"conv2.weight"}
    assert kernels_of(network, ["conv1", "decoder"]).keys() == {"conv1.weight", "head.weight"}


def test_kernels_of_a_convnext_then_its_linear_layers_too() -> None:
    found = kernels_of(Narrow(1), ["block2"])
    assert list(found) == [f"features.1.0.block.{index}.weight" for index in (0, 3, 5)]


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_gradients_of_the_factors_then_those_of_autograd(scale: float) -> None:
    network, optimizer, changes = begun(low_rank(2, scale))
    with torch.no_grad():
        for factor in factors_of(optimizer):
            factor.copy_(torch.randn_like(factor))
    start = network.conv2.weight.detach().clone()
    changes.after_step()
    first, second = (f.detach().clone().requires_grad_() for f in factors_of(optimizer)[2:])
    kernel = start + scale * (second @ first).reshape(start.shape)
    torch.testing.assert_close(network.conv2.weight.detach(), kernel.detach())
    image, weights = torch.rand(1, 4, 5, 5), torch.rand(1, 4, 5, 5)
    (torch.conv2d(image, kernel, padding=1) * weights).sum().backward()
    (torch.conv2d(image, network.conv2.weight, padding=1) * weights).sum().backward()
    changes.before_step()
    found = factors_of(optimizer)[2:]
    torch.testing.assert_close(found[0].grad, first.grad)
    torch.testing.assert_close(found[1].grad, second.grad)
    assert network.conv2.weight.grad is None  # the optimiser must not move the kernel itself


def test_start_then_the_kernels_as_they_are() -> None:
    network, _, changes = begun(low_rank())
    before = copy_of(network)
    changes.after_step()
    assert torch.equal(network.conv1.weight, before["conv1.weight"])


def trained(folder: Path, **options: Any) -> tuple[TinyTraining, dict[str, torch.Tensor]]:
    settings = {"rank": 1, "parts": ["encoder"], **options}
    plan = strategy(
        {**stage(["decoder"], epochs=3, low_rank=settings), "name": "low"},
        {**stage(["decoder"], epochs=1), "name": "decoder"},
    )
    made = TinyTraining(folder, strategy=plan, learning_rate=0.05)
    start = copy_of(made.network)
    trainer = made.trainer()
    ends = copies_at(trainer, StageEvents.STAGE_COMPLETED, made.network)
    trainer.run()
    change = {name: ends[0][name] - tensor.float() for name, tensor in start.items()}
    again = {name: ends[1][name] - ends[0][name].float() for name in start}
    assert not any(again[name].abs().sum() for name in start if name.startswith(("conv", "norm")))
    return made, change


def test_stage_then_kernels_change_by_the_rank_and_norms_and_statistics_stay(
    tmp_path: Path,
) -> None:
    _, change = trained(tmp_path)
    for name in ("conv1.weight", "conv2.weight"):
        values = torch.linalg.svdvals(change[name].flatten(1))
        assert values[0] > 1e-4
        assert values[1] < 1e-5 * values[0] + 1e-6
    still = [name for name in change if name.startswith(("norm", "conv1.bias", "conv2.bias"))]
    assert len(still) == 12
    assert not any(change[name].abs().sum() for name in still)
    assert change["head.weight"].abs().sum() > 0


def test_model_file_then_the_ordinary_keys_and_the_factors_counted(tmp_path: Path) -> None:
    made, _ = trained(tmp_path)
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert saved["model"].keys() == TinyNet().state_dict().keys()
    assert saved["strategy"]["stages"][0]["low_rank"] == {
        **{"rank": 1, "scale": 1.0, "parts": ["encoder"]}
    }
    # A: 1 x 9 and 1 x 36; B: 4 x 1 twice
    assert sizes_of(TinyNet(), LowRank(1)) == 9 + 4 + 36 + 4
    assert made.stages.trainable[0] == {
        **{"block1": 0, "block2": 0, "decoder": 13, "low rank of low": 53}
    }
    rates = [epoch.rates for epoch in made.stages.record.history]
    assert rates[0] == {"decoder": 0.05, "low rank of low": 0.05}
    assert rates[-1] == {"decoder": 0.05}


def test_rank_above_that_of_a_kernel_then_the_kernels() -> None:
    assert sizes_of(TinyNet(), LowRank(100, parts=("block1",))) == 4 * 9 + 4 * 4


@pytest.mark.parametrize(
    ("trainable", "parts", "message"),
    [
        (["decoder", "block2"], ["encoder"], "conv2.weight trains itself in this stage"),
        (["decoder"], ["blok1"], r"stage .*: low_rank.parts: names must be among"),
        (["block1"], ["norms"], r"stage .*: low_rank.parts: .* \(no convolutions\)"),
    ],
    ids=["released", "misspelt", "no kernels"],
)
def test_parts_that_cannot_change_then_refused(
    trainable: list[str], parts: list[str], message: str, tmp_path: Path
) -> None:
    plan = strategy(stage(trainable, low_rank={"parts": parts}))
    with pytest.raises(ValueError, match=message):
        TinyTraining(tmp_path, strategy=plan)


def test_cached_maps_of_frozen_blocks_then_never_those_of_changing_kernels() -> None:
    network = TransferUNet("vgg16", in_channels=1, decoder_channels=(4, 4, 4, 4, 4))
    optimizer = torch.optim.SGD(parameter_groups(network, 0.1))
    wanted = low_rank(1, 1.0, "block3")
    changes = LowRankChanges(network, optimizer, [wanted])
    changes.add_groups()
    network.set_trainable(["decoder"])
    changes.begin(wanted)
    cache, image = PrefixCache(100), torch.rand(1, 1, 32, 32)
    assert frozen_blocks(network) == 2
    for _ in range(3):
        optimizer.zero_grad()
        logits = cache(network, image)
        torch.testing.assert_close(logits, network(image))
        logits.square().mean().backward()
        changes.before_step()
        optimizer.step()
        changes.after_step()
    assert cache.hits == 2


def test_updates_when_a_stage_begins_then_the_same_draw_every_time(tmp_path: Path) -> None:
    first, second = (begun(low_rank())[1] for _ in range(2))
    assert all(
        torch.equal(a, b) for a, b in zip(factors_of(first), factors_of(second), strict=True)
    )
    assert factors_of(first)[0].abs().sum() > 0
