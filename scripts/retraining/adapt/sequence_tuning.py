"""Dynamic fine-tuning of a 2D network along the slices of a CT.

The network is tuned as a whole on the slice that was delineated by hand (deep tuning). Then it
follows the slices away from it, in both directions, and after each its last layers are tuned a
little on its own result there (shallow tuning), as organs change slowly from slice to slice.

Source: Yu, Guo, Wang, Yu, Chen, Segmentation of fetal left ventricle in echocardiographic sequences
based on dynamic convolutional neural networks, IEEE Transactions on Biomedical Engineering 64(8),
1886-1895, 2017: deep tuning on the first frame, shallow tuning on each following one. Their
sequences are frames of an ultrasound video; slices of a CT in their place are our choice. Numbers
of iterations, learning rates, the loss, the threshold of a sure voxel, unchanged norm statistics
and the two guards are our choice too, as the paper's could not be checked. A Dice loss, or a rate
three times as high, made the other slices of phantoms worse: the network forgets what the drawn
slice does not show. The matching of the mitral valve is not part of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from monai.inferers import Inferer
from monai.transforms import Compose, RandAffined, RandFlipd
from torch import nn

from custom_nets.freezing import Freezable
from scripts.retraining.adapt.drawn_slice import DrawnSlice
from scripts.retraining.adapt.tuning_steps import Tuning
from scripts.training.fine_tuning.stage_options import Stage
from scripts.training.fine_tuning.strategies import parameter_groups
from scripts.training.losses import MarginalCrossEntropy
from scripts.transforms.partial_labels import candidate_classes

SURE = 0.9
"""Least probability of a voxel's class for it to count as known."""
MOST_CHANGE = 0.5
"""Largest relative change of the predicted area from one slice to the next."""
LEAST_VOXELS = 3
"""Smallest predicted area to tune on."""
DRAWN, START, TUNED, STOPPED, PREDICTED = "drawn", "start", "tuned", "stopped", "predicted"

Adapt = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class SliceStep:
    """What was done at one slice.

    Attributes:
        index: of the slice, along the last axis of the input.
        step: one of :data:`DRAWN`, :data:`START`, :data:`TUNED`, :data:`STOPPED` and
            :data:`PREDICTED`, with the weights as they are where the tuning stopped.
        area: voxels of the input that are predicted as the drawn classes, or drawn.
        sure: share of the slice's voxels that were tuned on.
        first_loss: before the first iteration.
        last_loss: before the last iteration.
        reason: why it stopped.
    """

    index: int
    step: str
    area: int | None = None
    sure: float | None = None
    first_loss: float | None = None
    last_loss: float | None = None
    reason: str = ""


class SequenceTuning:
    """Tunes a network in place. Its norm statistics never change.

    Args:
        network: in evaluation mode, which it never leaves: the statistics of its norms, also of the
            decoder's, stay those of the training, and nothing is dropped out.
        inferer: of the bundle; maps volumes (B, C, H, W, D) slice by slice.
        tuning: the steps.
        device: of the network.

    Raises:
        ValueError: for names of parts that the network does not have.
    """

    def __init__(
        self, network: Freezable, inferer: Inferer, tuning: Tuning, device: torch.device
    ) -> None:
        for stage in (tuning.deep, tuning.shallow):
            network.check_names(stage.trainable)
        self.network, self.inferer = network, inferer
        self.tuning, self.device = tuning, device

    def deep(self, image: torch.Tensor, drawn: DrawnSlice) -> SliceStep:
        """Tune on the hand-drawn slice.

        Args:
            image: (C, H, W, D), the network's input.
            drawn: the drawing on this grid.
        """
        augment = self._augmentation()
        sample = {"image": image[..., drawn.index], "label": drawn.label.float()}
        loss_of, losses = MarginalCrossEntropy(), []
        step = self._iterations(self.tuning.deep)
        for iteration in range(self.tuning.deep.epochs):
            copies = [augment(dict(sample)) for _ in range(self.tuning.images)]
            images = torch.stack([torch.as_tensor(copy["image"]) for copy in copies])
            sets = [candidate_classes(torch.as_tensor(c["label"]), drawn.known) for c in copies]
            logits = as_classes(self._logits(images))
            losses.append(step(loss_of(logits, torch.stack(sets).to(logits.device)), iteration))
        area = int((drawn.label > 0).sum())  # on the grid of the input, as predicted areas are
        return SliceStep(drawn.index, DRAWN, area, 1.0, losses[0], losses[-1])

    def follow(
        self, image: torch.Tensor, start: SliceStep, classes: Sequence[int]
    ) -> tuple[torch.Tensor, list[SliceStep]]:
        """Predict every slice, tuning from slice to slice away from the first, both ways.

        Both ways begin with the network's present weights, which it has again at the end.

        Args:
            image: (C, H, W, D), the network's input.
            start: the first slice, with its area.
            classes: whose area is watched.

        Returns:
            (K, H, W, D) logits on the CPU, each slice predicted before the network was tuned on it;
            and what was done at each slice, in their order.
        """
        weights = copied(self.network)
        first = self._predicted(image, start.index, start.index + 1)
        logits = first.new_empty((first.shape[0], *image.shape[1:]))
        logits[..., start.index : start.index + 1] = first
        steps = [start]
        for way in (range(start.index + 1, image.shape[-1]), range(start.index - 1, -1, -1)):
            self.network.load_state_dict(weights)
            steps += self._walk(image, logits, way, (int(start.area or 0), tuple(classes)))
        self.network.load_state_dict(weights)
        return logits, sorted(steps, key=lambda step: step.index)

    def start_at(self, logits: torch.Tensor, classes: Sequence[int]) -> SliceStep | None:
        """Return the slice of logits (K, H, W, D) with the largest area; None if all are small."""
        areas = [self._area(logits[..., d], classes) for d in range(logits.shape[-1])]
        largest = max(areas)
        return SliceStep(areas.index(largest), START, largest) if largest >= LEAST_VOXELS else None

    def _walk(
        self,
        image: torch.Tensor,
        logits: torch.Tensor,
        way: range,
        watched: tuple[int, tuple[int, ...]],
    ) -> list[SliceStep]:
        """Predict and tune slice by slice until a guard stops it; predict the rest as it is."""
        (area, classes), steps = watched, []
        step = self._iterations(self.tuning.shallow)
        for position, index in enumerate(way):
            one = self._predicted(image, index, index + 1)
            logits[..., index : index + 1] = one
            before, area = area, self._area(one[..., 0], classes)
            if reason := why_stop(area, before):
                steps.append(SliceStep(index, STOPPED, area, reason=reason))
                steps += self._rest(image, logits, way[position + 1 :], classes)
                break
            steps.append(self._shallow(image[..., index], one[..., 0], (index, area), step))
        return steps

    def _shallow(
        self,
        image: torch.Tensor,
        logits: torch.Tensor,
        place: tuple[int, int],
        step: Callable[[torch.Tensor, int], float],
    ) -> SliceStep:
        """Tune on the network's own result for one slice (C, H, W), where it is sure."""
        candidates = sure_candidates(as_classes(logits[None]).softmax(dim=1), SURE)
        loss_of, losses = MarginalCrossEntropy("ignore"), []
        for iteration in range(self.tuning.shallow.epochs):
            now = as_classes(self._logits(image[None]))
            losses.append(step(loss_of(now, candidates.to(now.device)), iteration))
        sure = float((candidates.sum(dim=1) == 1).float().mean())
        return SliceStep(place[0], TUNED, place[1], sure, losses[0], losses[-1])

    def _rest(
        self, image: torch.Tensor, logits: torch.Tensor, way: range, classes: tuple[int, ...]
    ) -> list[SliceStep]:
        """Predict the slices beyond a stop."""
        if not way:
            return []
        low, high = min(way), max(way) + 1
        logits[..., low:high] = self._predicted(image, low, high)
        return [SliceStep(d, PREDICTED, self._area(logits[..., d], classes)) for d in way]

    def _iterations(self, stage: Stage) -> Callable[[torch.Tensor, int], float]:
        """Release a stage's parts; return a function that takes one step of its optimiser.

        The function minimises a loss in an iteration of the stage, and returns the loss.
        """
        self.network.set_trainable(stage.trainable)
        groups = parameter_groups(self.network, stage.learning_rate)
        optimiser = torch.optim.Adam(groups, lr=stage.learning_rate)

        def step(loss: torch.Tensor, iteration: int) -> float:
            for group in optimiser.param_groups:
                group["lr"] = stage.rate(group["name"], iteration)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            return float(loss.detach())

        return step

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        """Map (B, C, H, W) to logits (B, K, H, W), as the bundle's inferer does in a volume."""
        network: nn.Module = self.network
        result: torch.Tensor = self.inferer(images[..., None].to(self.device), network)
        return result[..., 0]

    def _predicted(self, image: torch.Tensor, low: int, high: int) -> torch.Tensor:
        """Return the logits (K, H, W, N) of slices ``low`` to ``high - 1``, on the CPU."""
        with torch.no_grad():
            part = image[None, ..., low:high].to(self.device)
            logits: torch.Tensor = self.inferer(part, self.network)[0].cpu()
        return logits

    def _area(self, logits: torch.Tensor, classes: Sequence[int]) -> int:
        """Count the voxels of some classes in the logits (K, H, W) of a slice."""
        if logits.shape[0] == 1:
            return int((logits.sigmoid() >= self.tuning.threshold).sum())
        return int(torch.isin(logits.argmax(dim=0), torch.tensor(list(classes))).sum())

    def _augmentation(self) -> Compose:
        """Return random rotations and scalings, as in the training of the bundles, and flips."""
        keys = ["image", "label"]
        turns = RandAffined(
            keys,
            prob=0.5,
            rotate_range=0.2,
            scale_range=(0.15, 0.15),
            mode=["bilinear", "nearest"],
            padding_mode="zeros",
        )
        flips = [RandFlipd(keys, prob=0.5, spatial_axis=1)] if self.tuning.flip else []
        return Compose([*flips, turns]).set_random_state(seed=self.tuning.seed)


def copied(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return a copy of a network's weights and statistics."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def as_classes(logits: torch.Tensor) -> torch.Tensor:
    """Return logits of background and lesion (B, 2, ...) for those of the lesion (B, 1, ...).

    Their softmax is the sigmoid's. Logits of several classes are returned as they are.
    """
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def sure_candidates(probabilities: torch.Tensor, sure: float) -> torch.Tensor:
    """Return the class of voxels that are sure, and every class for the others.

    Args:
        probabilities: (B, C, ...).
        sure: least probability of the class of a sure voxel, above 0.5.

    Returns:
        uint8 (B, C, ...), sets of candidates, see :mod:`scripts.transforms.partial_labels`.

    Example:
        >>> sure_candidates(torch.tensor([[[0.95, 0.4, 0.05], [0.05, 0.6, 0.95]]]), 0.9)
        tensor([[[1, 1, 0],
                 [0, 1, 1]]], dtype=torch.uint8)
    """
    known = probabilities > sure
    return (known | ~known.any(dim=1, keepdim=True)).to(torch.uint8)


def why_stop(area: int, before: int) -> str:
    """Say why the tuning stops at a slice; empty if it goes on.

    Args:
        area: predicted voxels in the slice.
        before: in the slice before.

    Example:
        >>> why_stop(150, 100), why_stop(40, 100)
        ('', 'the area changes by 60 %')
        >>> why_stop(2, 3)
        'fewer than 3 voxels predicted'
    """
    if area < LEAST_VOXELS:
        return f"fewer than {LEAST_VOXELS} voxels predicted"
    change = abs(area - before) / max(before, 1)
    return f"the area changes by {change:.0%}".replace("%", " %") if change > MOST_CHANGE else ""
