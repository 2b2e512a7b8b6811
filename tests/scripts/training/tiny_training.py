"""A real, small staged training: BatchNorm network, augmentation, MONAI trainer and evaluator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine
from monai.data import DataLoader, Dataset, list_data_collate
from monai.engines import SupervisedEvaluator, SupervisedTrainer
from monai.handlers import IgniteMetricHandler, ValidationHandler, from_engine
from monai.losses import DiceLoss
from monai.metrics import DiceMetric
from monai.transforms import (
    Activationsd,
    AsDiscreted,
    Compose,
    RandFlipd,
    RandGaussianNoised,
    RandSpatialCropd,
)
from torch import nn

from custom_nets.freezing import Freezable, FreezableBatchNorm2d
from scripts.training.fine_tuning.stage_record import copy_of
from scripts.training.fine_tuning.stages import StagedFineTuning
from scripts.training.fine_tuning.strategies import parameter_groups, total_epochs

TWO_STAGES = {
    "name": "two",
    "stages": [
        {"name": "A: block2", "trainable": ["decoder", "block2"], "epochs": 2},
        {"name": "B: block1", "trainable": ["decoder", "block2", "block1"], "epochs": 2},
    ],
}
PARTS = {"block1": ("conv1", "norm1"), "block2": ("conv2", "norm2"), "decoder": ("head",)}


class TinyNet(Freezable):
    """Two blocks of conv, norm and ReLU and a decoder, with dropout; (B, 1, H, W) -> the same."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(1, 4, 3, padding=1), FreezableBatchNorm2d(4)
        self.conv2, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), FreezableBatchNorm2d(4)
        self.head, self.head_norm = nn.Conv2d(4, 1, 1), FreezableBatchNorm2d(4)
        self.dropout = nn.Dropout(0.1)
        self.name_parts(
            {
                "block1": {"conv1": ["conv1", "norm1"]},
                "block2": {"conv2": ["conv2", "norm2"]},
                "decoder": {"decoder": ["head_norm", "head"]},
            }
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        image = torch.relu(self.norm1(self.conv1(image)))
        image = torch.relu(self.norm2(self.conv2(image)))
        return self.head(self.dropout(self.head_norm(image)))


def samples(count: int, seed: int) -> list[dict[str, Any]]:
    """Bright discs on noise, with their masks: {"image", "label", "case"}, (1, 12, 12)."""
    random = np.random.RandomState(seed)
    rows, columns = np.mgrid[:12, :12]
    found = []
    for case in range(count):
        row, column = random.uniform(4, 8, 2)
        label = ((rows - row) ** 2 + (columns - column) ** 2 < 9).astype(np.float32)[None]
        image = label + random.normal(0, 0.5, label.shape).astype(np.float32)
        found.append({"image": torch.tensor(image), "label": torch.tensor(label), "case": case})
    return found


def augmentation() -> Compose:
    both = ("image", "label")
    return Compose(
        [
            RandFlipd(both, prob=0.5, spatial_axis=0),
            RandSpatialCropd(both, roi_size=(8, 8), random_size=False),
            RandGaussianNoised("image", prob=0.8, std=0.2),
        ]
    )


class TinyTraining:
    """Everything a config makes, as attributes."""

    def __init__(
        self,
        output_dir: Path,
        *,
        strategy: dict[str, Any] = TWO_STAGES,
        val_interval: int = 1,
        workers: int = 0,
        optimizer: type[torch.optim.Optimizer] = torch.optim.Adam,
        learning_rate: float = 0.02,
        max_epochs: int | None = None,
        network: Callable[[], Freezable] = TinyNet,
        count: int = 6,
        loss: nn.Module | None = None,
        ignore_empty: bool = False,
    ) -> None:
        torch.manual_seed(0)
        self.loss = loss or DiceLoss(sigmoid=True)
        self.output_dir = output_dir
        self.network = network()
        self.optimizer = optimizer(parameter_groups(self.network, learning_rate))
        self.loader = DataLoader(
            Dataset(samples(count, 1), augmentation()),
            batch_size=2,
            shuffle=True,
            num_workers=workers,
            collate_fn=list_data_collate,
        )
        self.evaluator = self._evaluator(ignore_empty)
        self.stages = StagedFineTuning(
            self.network,
            self.optimizer,
            self.evaluator,
            strategy,
            epochs=2,
            learning_rate=learning_rate,
            output_dir=output_dir,
            val_interval=val_interval,
        )
        self.validation = ValidationHandler(interval=val_interval, validator=self.evaluator)
        self.max_epochs = max_epochs or total_epochs(strategy, 2)

    def _evaluator(self, ignore_empty: bool) -> SupervisedEvaluator:
        after = Compose([Activationsd("pred", sigmoid=True), AsDiscreted("pred", threshold=0.5)])
        metric = IgniteMetricHandler(
            metric_fn=DiceMetric(ignore_empty=ignore_empty),
            output_transform=from_engine(["pred", "label"]),
        )
        return SupervisedEvaluator(
            device=torch.device("cpu"),
            val_data_loader=DataLoader(Dataset(samples(3, 2)), batch_size=3),
            network=self.network,
            postprocessing=after,
            key_val_metric={"val_dice": metric},
        )

    def trainer(self, handlers: list[Any] | None = None) -> SupervisedTrainer:
        """The trainer with these handlers, by default validation and stages."""
        chosen = [self.validation, self.stages] if handlers is None else handlers
        return SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=self.max_epochs,
            train_data_loader=self.loader,
            network=self.network,
            optimizer=self.optimizer,
            loss_function=self.loss,
            train_handlers=chosen,
        )


def stage(trainable: list[str], **settings: Any) -> dict[str, Any]:
    """One stage of a strategy."""
    return {"name": "+".join(trainable), "trainable": trainable, **settings}


def strategy(*stages: dict[str, Any]) -> dict[str, Any]:
    """A strategy of these stages."""
    return {"name": "test", "stages": list(stages)}


def copies_at(
    engine: Engine, event: Any, network: nn.Module, copy: Callable[[Any], Any] = copy_of
) -> list[Any]:
    """A list that a copy of a network's weights and statistics is added to at each event."""
    copies: list[Any] = []
    engine.add_event_handler(event, lambda: copies.append(copy(network)))
    return copies


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> dict[str, bool]:
    """Whether weights or statistics changed, by part."""
    return {
        part: any(
            not torch.equal(before[key], after[key])
            for key in before
            if key.startswith(tuple(prefixes))
        )
        for part, prefixes in PARTS.items()
    }


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Whether two state_dicts are equal bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
