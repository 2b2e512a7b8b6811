"""What staged fine-tuning refuses before the first iteration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from custom_nets.freezing import Freezable
from custom_nets.unet import TransferUNet
from scripts.training.fine_tuning.strategies import parameter_groups
from tests.scripts.training.tiny_training import (
    TinyNet,
    TinyTraining,
    stage,
    strategy,
)


def plain_vgg() -> Freezable:
    return TransferUNet("vgg16", in_channels=1, decoder_channels=(4, 4, 4, 4, 4))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown name in the last stage": (
        {"strategy": strategy(stage(["decoder"]), stage(["decoder", "blok1"]))},
        r"stage decoder\+blok1: trainable: .*all, encoder, block1, block2, decoder, conv1.*'blok1'",
    ),
    "rate of an unknown part": (
        {"strategy": strategy(stage(["all"], learning_rates={"block9": 1e-3}))},
        "stage all: learning_rates: unknown block9; valid names are block1, block2, decoder",
    ),
    "rate of a frozen part": (
        {"strategy": strategy(stage(["decoder"], learning_rates={"block1": 1e-3}))},
        "stage decoder: learning_rates: block1 is frozen in this stage",
    ),
    "rate of a frozen layer": (
        {"strategy": strategy(stage(["decoder"], learning_rates={"conv1": 1e-3}))},
        "stage decoder: learning_rates: conv1 is frozen in this stage",
    ),
    "automatic rates of a frozen encoder": (
        {"strategy": strategy(stage(["decoder"], auto_rates=True))},
        "stage decoder: auto_rates: sets the rates of the encoder's layers, and all are frozen",
    ),
    "norms of an encoder without": (
        {"strategy": strategy(stage(["decoder", "norms"])), "network": plain_vgg},
        "stage decoder.norms: trainable: .*'norms' releases the encoder's norm layers, and this "
        "encoder has none; choose one with norms",
    ),
    "epochs between validations": (
        {"strategy": strategy(stage(["all"], epochs=3)), "val_interval": 2},
        "stage all: epochs: 3 is not a multiple of val_interval 2",
    ),
    "interval of 0": ({"val_interval": 0}, "val_interval: must be at least 1 epoch, got 0"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_stages_when_a_later_one_could_not_run_then_they_are_refused_at_once(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TinyTraining(tmp_path, **options)


def test_stages_when_checked_then_the_network_trains_what_it_did_before(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    assert training.network.trainable == ("all",)
    assert all(parameter.requires_grad for parameter in training.network.parameters())


def test_attach_when_the_trainer_is_too_short_then_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="take up to 4 epochs, the trainer has 3; leave it out"):
        TinyTraining(tmp_path, max_epochs=3).trainer()


def test_attach_when_the_evaluator_has_no_key_metric_then_it_is_refused(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    training.evaluator.state.key_metric_name = None
    with pytest.raises(ValueError, match="evaluator: has no key metric to compare epochs by"):
        training.trainer()


def test_attach_when_done_twice_then_it_is_refused(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    with pytest.raises(ValueError, match="stages: a handler of this kind is already attached"):
        training.trainer([training.stages, training.stages])


def test_optimizer_when_its_groups_are_not_the_networks_then_it_is_refused(tmp_path: Path) -> None:
    def unnamed(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam([p for group in groups for p in group["params"]])

    with pytest.raises(
        ValueError, match=r"must have the parameter groups block1, block2, decoder, got \[None\]"
    ):
        TinyTraining(tmp_path, optimizer=unnamed)


def test_optimizer_when_it_is_of_another_network_then_it_is_refused(tmp_path: Path) -> None:
    def foreign(groups: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameter_groups(TinyTraining(tmp_path).network, 0.1))

    with pytest.raises(ValueError, match="group block1 holds other parameters than the network's"):
        TinyTraining(tmp_path, optimizer=foreign)


def test_optimizer_when_it_has_a_scheduler_then_it_is_refused(tmp_path: Path) -> None:
    def scheduled(groups: Any) -> torch.optim.Optimizer:
        made = torch.optim.Adam(groups)
        torch.optim.lr_scheduler.StepLR(made, 1)
        return made

    with pytest.raises(ValueError, match="has a learning rate scheduler, which would change"):
        TinyTraining(tmp_path, optimizer=scheduled)


@pytest.mark.parametrize("engine", ["trainer", "evaluator"])
def test_engines_when_one_has_another_network_then_it_is_refused_at_the_start(
    tmp_path: Path, engine: str
) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.trainer()
    other = TinyTraining(tmp_path).network
    (trainer if engine == "trainer" else training.evaluator).network = other
    with pytest.raises(ValueError, match=f"network: the {engine} has another network object"):
        trainer.run()


def test_engines_when_the_trainer_has_another_optimizer_then_it_is_refused(tmp_path: Path) -> None:
    training = TinyTraining(tmp_path)
    trainer = training.trainer()
    trainer.optimizer = TinyTraining(tmp_path).optimizer
    with pytest.raises(ValueError, match="optimizer: the trainer has another optimiser"):
        trainer.run()


class Pooled(TinyNet):
    """The deepest map has one pixel, as in an encoder of stride 32 with patches of 32 x 32."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        deepest = torch.relu(self.norm1(self.conv1(image))).mean((-2, -1), keepdim=True)
        deepest = torch.relu(self.norm2(self.conv2(deepest)))
        return self.head(self.head_norm(deepest.expand(-1, -1, *image.shape[-2:])))


@pytest.mark.parametrize(
    ("count", "trainable", "refused"), [(7, "all", True), (6, "all", False), (7, "decoder", False)]
)
def test_last_batch_of_one_when_a_norm_has_one_value_then_refused_at_the_start(
    tmp_path: Path, count: int, trainable: str, refused: bool
) -> None:
    plan = strategy(stage([trainable], epochs=1))
    training = TinyTraining(tmp_path, strategy=plan, network=Pooled, count=count)
    trainer = training.trainer()
    if not refused:
        trainer.run()
        return
    message = r"batch_size: 7 samples in batches of 2 leave .* stage all cannot compute a variance"
    with pytest.raises(ValueError, match=message):
        trainer.run()
    assert trainer.state.iteration == 0
