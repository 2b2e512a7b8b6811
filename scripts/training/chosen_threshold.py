"""Threshold of a network's probabilities, chosen on the training data, in the model file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from monai.data import DataLoader, Dataset
from monai.utils import convert_to_tensor
from torch import Tensor, nn

from custom_nets.state_dicts import read_content
from scripts.training.engine_events import after_run
from scripts.training.fine_tuning.stage_checks import unwrapped
from scripts.training.tensor_files import MODEL_FILE, write_tensors

logger = logging.getLogger(__name__)

LARGEST_LOGIT, BINS = 16.0, 3200


def best_threshold(lesion: Tensor, other: Tensor) -> tuple[float, float]:
    """Choose the threshold of the highest Dice over all voxels; the middle one of equal ones.

    Args:
        lesion: (:data:`BINS`,), number of lesion voxels by logit, from -16 to 16.
        other: the same of all other voxels.

    Returns:
        The least probability of a voxel that belongs to the mask, and the Dice.

    Raises:
        ValueError: when there is no lesion voxel.
    """
    if not lesion.sum():
        raise ValueError(
            "training: has no lesion voxel, so that no threshold can be chosen; train on scans "
            "with lesions"
        )
    found, false = (count.flip(0).cumsum(0).flip(0) for count in (lesion, other))
    dice = 2 * found / (found + false + lesion.sum())
    best = torch.nonzero(dice == dice.max()).flatten()
    edge = best[len(best) // 2] * (2 * LARGEST_LOGIT / BINS) - LARGEST_LOGIT
    return torch.sigmoid(edge).item(), dice.max().item()


def counts_by_logit(logits: Tensor, label: Tensor) -> Tensor:
    """Count the voxels of lesions (label 1) and all others (0) by logit: (2, :data:`BINS`)."""
    held = logits.detach().float().cpu().clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
    kinds = ((label == 1).cpu(), (label == 0).cpu())
    counts = [torch.histc(held[kind], BINS, -LARGEST_LOGIT, LARGEST_LOGIT) for kind in kinds]
    return torch.stack(counts).double()


class BestDice(Metric):
    """Ignite metric: the highest Dice over all voxels that any threshold of probabilities gives.

    To choose the best epoch where 0.5 has no meaning.

    Args:
        output_transform: from the engine's output to pairs of lists: probabilities and labels.
    """

    def reset(self) -> None:
        """Forget all voxels."""
        self._counts = torch.zeros(2, BINS, dtype=torch.float64)

    def update(self, output: tuple[Sequence[Tensor], Sequence[Tensor]]) -> None:
        """Count the voxels of each image."""
        for probability, label in zip(*output, strict=True):
            self._counts += counts_by_logit(
                convert_to_tensor(probability).float().logit(), convert_to_tensor(label)
            )

    def compute(self) -> float:
        """Return the Dice; see :func:`best_threshold`."""
        return best_threshold(*self._counts)[1]


class ChosenThreshold:
    """Ignite handler that replaces ``threshold`` in a finished training's ``model.pt``.

    For losses that weight lesion and other voxels apart, with which 0.5 has no meaning. Evaluation
    and prediction take the threshold from the file. It is chosen by the Dice over all voxels of
    the training data that are known to be lesion (1) or not (0), without augmentation; validation
    and test data are not used.

    Args:
        network: of one logit, or one inside DistributedDataParallel.
        dataset: the training data with the transforms of the validation.
        inferer: of the validation.
        output_dir: folder of ``model.pt``.
        device: of the network.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: Dataset,
        inferer: Callable[..., Tensor],
        output_dir: str | Path,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        self.network = network
        self.dataset = dataset
        self.inferer = inferer
        self.output_dir = Path(output_dir)
        self.device = device

    def attach(self, engine: Engine) -> None:
        """Choose when the stages of a trainer are completed, with the best weights."""
        after_run(engine, self.write)

    def write(self) -> None:
        """Choose the threshold and write the file again."""
        threshold, dice = self.choose()
        path = self.output_dir / MODEL_FILE
        content: dict[str, Any] = read_content(path)
        before = content["settings"].get("threshold")
        content["settings"]["threshold"] = threshold
        write_tensors(path, content)
        logger.info(
            "%s: threshold %.5f in place of %s, with a Dice of %.4f over all training voxels",
            *(path, threshold, before, dice),
        )

    @torch.no_grad()
    def choose(self) -> tuple[float, float]:
        """Choose the threshold with the network as it is; see :func:`best_threshold`.

        Raises:
            ValueError: when the network has several logits, or the training data no lesion.
        """
        network: Any = unwrapped(self.network)
        network.eval()
        counts = torch.zeros(2, BINS, dtype=torch.float64)
        for batch in DataLoader(self.dataset, batch_size=1):
            image = convert_to_tensor(batch["image"]).to(self.device)
            logits = convert_to_tensor(self.inferer(image, network))
            label = convert_to_tensor(batch["label"])
            if logits.shape != label.shape:
                raise ValueError(
                    f"threshold: can be chosen for networks of one logit; got "
                    f"{list(logits.shape)} for a label {list(label.shape)}; leave ChosenThreshold "
                    "out"
                )
            counts += counts_by_logit(logits, label)
        return best_threshold(counts[0], counts[1])
