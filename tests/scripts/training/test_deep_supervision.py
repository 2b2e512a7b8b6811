from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Events
from monai.engines import SupervisedTrainer
from monai.inferers import SimpleInferer
from torch import nn

from custom_nets.survey.voxresnet import VoxResNet
from scripts.training.deep_supervision import DeepSupervision, SideOutputLoss
from scripts.training.losses import MarginalCrossEntropy


def trainer_of(loss, handlers, *, epochs=1, network=None):
    torch.manual_seed(0)
    network = network or VoxResNet(1, 2, widths=(2, 2))
    batch = {"image": torch.rand(1, 1, 16, 8, 8), "label": torch.zeros(1, 2, 16, 8, 8)}
    batch["label"][:, 0] = 1
    return SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=epochs,
        train_data_loader=[batch],
        network=network,
        optimizer=torch.optim.SGD(network.parameters(), lr=0.01),
        loss_function=loss,
        inferer=SimpleInferer(),
        train_handlers=handlers,
    )


def test_loss_then_that_of_the_sum_and_the_weighted_ones_of_the_sides():
    cross_entropy = MarginalCrossEntropy()
    loss = SideOutputLoss(cross_entropy)
    sides = torch.rand(2, 4, 3, 4, 4, 4)
    label = nn.functional.one_hot(torch.randint(3, (2, 4, 4, 4)), 3).movedim(-1, 1)
    alone = [cross_entropy(sides[:, number], label) for number in range(4)]
    summed = cross_entropy(sides.sum(dim=1), label)
    for weight in (1.0, 0.25, 0.0):
        loss.weigh(weight)
        assert loss.weight == weight
        torch.testing.assert_close(loss(sides.flatten(1, 2), label), summed + weight * sum(alone))


def test_loss_of_the_prediction_alone_then_without_sides():
    logits, label = torch.rand(1, 3, 4, 4, 4), torch.ones(1, 3, 4, 4, 4)
    torch.testing.assert_close(
        SideOutputLoss(nn.MSELoss())(logits, label), nn.MSELoss()(logits, label)
    )


def test_outputs_that_are_not_those_of_four_sides_then_refused():
    with pytest.raises(ValueError, match="the scores of 4 side outputs, got 5 channels"):
        SideOutputLoss(nn.MSELoss())(torch.rand(1, 5, 2, 2, 2), torch.rand(1, 1, 2, 2, 2))
    with pytest.raises(ValueError, match="sides: must be at least 1"):
        SideOutputLoss(nn.MSELoss(), sides=0)


def test_training_then_weight_halves_every_tenth_of_the_epochs_and_metrics_see_the_sum():
    loss = SideOutputLoss(MarginalCrossEntropy())
    trainer = trainer_of(loss, [DeepSupervision(loss)], epochs=20)
    seen, shapes = [], set()
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(loss.weight))
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda: shapes.add(tuple(trainer.state.output[0]["pred"].shape))
    )
    trainer.run()
    assert seen == [0.5 ** (epoch // 2) for epoch in range(20)]
    assert shapes == {(2, 16, 8, 8)}


def test_weight_then_that_of_the_epoch_also_in_a_run_that_starts_later():
    loss = SideOutputLoss(MarginalCrossEntropy())
    handler = DeepSupervision(loss)
    handler._epoch_started(SimpleNamespace(state=SimpleNamespace(epoch=8, max_epochs=10)))
    assert loss.weight == 0.5**7


def test_trainer_with_another_loss_then_refused():
    loss = SideOutputLoss(MarginalCrossEntropy())
    with pytest.raises(ValueError, match="the trainer uses another loss, MarginalCrossEntropy"):
        trainer_of(MarginalCrossEntropy(), [DeepSupervision(loss)]).run()
    with pytest.raises(ValueError, match="must be a SideOutputLoss, got MarginalCrossEntropy"):
        DeepSupervision(MarginalCrossEntropy())


def test_handler_then_listed_once():
    loss = SideOutputLoss(MarginalCrossEntropy())
    with pytest.raises(ValueError, match="list it once"):
        trainer_of(loss, [DeepSupervision(loss), DeepSupervision(loss)])
