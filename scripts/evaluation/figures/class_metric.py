"""IoU, Dice and accuracy of several classes as ignite metrics, for training and validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from monai.handlers import from_engine
from monai.utils import convert_to_tensor

from scripts.evaluation.figures.classes import class_confusion, confusion_matrix, pixel_accuracy
from scripts.transforms.partial_labels import known_classes

FIGURES = ("iou", "dice", "accuracy")
Pairs = tuple[Sequence[torch.Tensor], Sequence[torch.Tensor]]


class ClassFigure(Metric):
    """IoU, Dice or pixel accuracy pooled over all images, without unknown classes.

    Voxels are pooled over the images of an epoch, because most slices do not contain a given organ,
    and the IoU of such a slice is 1 or 0 regardless of the segmentation of the organ. IoU and Dice
    are those of one class, or the mean over the foreground classes that are known in any image. The
    counts of all processes are added up.

    Args:
        figure: "iou", "dice" or "accuracy".
        class_names: names of all classes, background first.
        of: name of the class; None for the mean of the foreground classes, and for accuracy.
        output_transform: from the engine's output to two lists, (C, ...) logits or (1, ...) class
            values, and (C, ...) candidates (:mod:`scripts.transforms.partial_labels`).

    Raises:
        ValueError: for another figure or class.
    """

    def __init__(
        self,
        figure: str,
        class_names: Sequence[str],
        *,
        of: str | None = None,
        output_transform: Callable[[Any], Pairs] = lambda output: output,
    ) -> None:
        if figure not in FIGURES:
            raise ValueError(f"figure: must be one of {', '.join(FIGURES)}, got {figure!r}")
        if of is not None and (of not in class_names or figure == "accuracy"):
            raise ValueError(
                f"of: must be one of {', '.join(class_names)}, for iou or dice, got {of!r} for "
                f"{figure}"
            )
        self.figure = figure
        self.class_names = list(class_names)
        self.values = [class_names.index(of)] if of else list(range(1, len(class_names)))
        super().__init__(output_transform=output_transform)

    @reinit__is_reduced
    def reset(self) -> None:
        """Reset the counts."""
        size = len(self.class_names)
        self._counts = torch.zeros(size, size, dtype=torch.int64)
        self._known = torch.zeros(size, dtype=torch.int64)

    @reinit__is_reduced
    def update(self, output: Pairs) -> None:
        """Count the voxels of some images."""
        for prediction, candidates in zip(*output, strict=True):
            known = known_classes(convert_to_tensor(candidates))
            # background is the first of several candidates
            annotation = convert_to_tensor(candidates).to(torch.uint8).max(dim=0).indices
            matrix = confusion_matrix(
                self._class_values(prediction), annotation.cpu().numpy(), known.tolist()
            )
            self._counts += torch.from_numpy(matrix)
            self._known += known.cpu().long()

    def _class_values(self, prediction: torch.Tensor) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Reduce (C, ...) logits or (1, ...) values to the values (...)."""
        plain = convert_to_tensor(prediction).detach()
        if len(plain) not in (1, len(self.class_names)):
            raise ValueError(
                f"pred: must have 1 or {len(self.class_names)} channels, got {len(plain)}"
            )
        # the same indices as argmax, in an eighth of the time for few channels
        values = plain[0] if len(plain) == 1 else plain.max(dim=0).indices
        return np.asarray(values.long().cpu().numpy())

    @sync_all_reduce("_counts", "_known")
    def compute(self) -> float:
        """Compute the figure; NaN if none of its classes is known."""
        matrix = self._counts.cpu().numpy()
        if self.figure == "accuracy":
            return pixel_accuracy(matrix)
        known = [value for value in self.values if self._known[value] > 0]
        figures = [getattr(class_confusion(matrix, value), self.figure) for value in known]
        return float(np.mean(figures)) if figures else float("nan")


def class_metrics(class_names: Sequence[str]) -> dict[str, ClassFigure]:
    """Make the metrics of a validation: accuracy, mean Dice and each foreground class's IoU.

    Args:
        class_names: of all classes, background first.

    Returns:
        ``val_accuracy_pooled``, ``val_dice_pooled`` and a ``val_iou_CLASS_pooled`` per foreground
        class; they read ``pred`` and ``label`` of the engine's output.
    """
    read = from_engine(["pred", "label"])
    pooled = {
        f"val_{figure}_pooled": ClassFigure(figure, class_names, output_transform=read)
        for figure in ("accuracy", "dice")
    }
    single = {
        f"val_iou_{name.replace(' ', '_')}_pooled": ClassFigure(
            "iou", class_names, of=name, output_transform=read
        )
        for name in class_names[1:]
    }
    return {**pooled, **single}
