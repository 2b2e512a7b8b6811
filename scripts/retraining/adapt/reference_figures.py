"""Comparison of the adapted network, and of its baselines, with a full reference mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.evaluation.figures.classes import class_confusion, confusion_matrix
from scripts.evaluation.figures.confusion import Confusion
from scripts.prediction.annotated_volume import classes_in_lps
from scripts.prediction.result import Prediction
from scripts.retraining.adapt.drawn_slice import class_values, slice_number
from scripts.volumes.geometry import Floats, lps_to_ras
from scripts.volumes.grids import Grid, difference_of_grids, grid_in_lps
from scripts.volumes.volume import Volume
from scripts.volumes.volume_files import read_volume_file

Figures = dict[str, Confusion]


@dataclass(frozen=True)
class Reference:
    """The annotation of every slice of a CT.

    Attributes:
        labels: (Z, Y, X) uint8, classes, in LPS index order.
        affine_lps: (4, 4), index (x, y, z) to LPS mm.
        class_names: of the bundle, background first.
    """

    labels: NDArray[np.uint8]
    affine_lps: Floats
    class_names: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, *, class_names: Sequence[str], lesions: bool) -> Reference:
        """Read a mask file.

        Raises:
            FileNotFoundError: when it does not exist.
            ValueError: for a file that is not one volume of the bundle's classes.
        """
        volume = read_volume_file(path)
        try:
            labels = class_values(volume.hu, class_names, lesions=lesions)
        except ValueError as error:
            raise ValueError(f"reference: {str(error).removeprefix('annotated: ')}") from error
        lps = Volume(labels, volume.affine_lps).in_lps()  # type: ignore[arg-type]
        return cls(lps.hu, lps.affine_lps, tuple(class_names))  # type: ignore[arg-type]

    def figures(self, prediction: Prediction, drawn_slice: int) -> Figures:
        """Count the voxels of each class in all slices but the drawn one.

        A class without a voxel in the reference counts as not annotated: it has no figures, and its
        predicted voxels count as background.

        Args:
            prediction: of this CT.
            drawn_slice: its number in the CT as it is stored.

        Raises:
            ValueError: when the reference has another geometry than the prediction.
        """
        z, y, x = prediction.mask.shape
        own = Grid((x, y, z), lps_to_ras(prediction.affine))
        mine = Grid(self.labels.shape[::-1], self.affine_lps)
        if difference := difference_of_grids(grid_in_lps(own), mine):
            raise ValueError(f"reference: must have the geometry of the image: {difference}")
        predicted = classes_in_lps(prediction, self.class_names)
        others = np.arange(len(self.labels)) != slice_number(own, drawn_slice)
        known = [True, *(bool((self.labels == k).any()) for k in range(1, len(self.class_names)))]
        matrix = confusion_matrix(predicted[others], self.labels[others], known)
        return {
            name: class_confusion(matrix, value)
            for value, name in enumerate(self.class_names)
            if value and known[value]
        }


def table_rows(figures: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """Return a row for each class and arm, for a CSV file; ``figures`` is arm -> class -> counts.

    Example:
        >>> table_rows({"none": {"liver": Confusion(tp=8, fp=2, fn=2, tn=0)}})[0]["dice"]
        0.8
    """
    return [
        {"class": name, "tuning": arm, "dice": counts.dice, "iou": counts.iou, **vars(counts)}
        for arm, classes in figures.items()
        for name, counts in classes.items()
    ]


def shown_table(figures: Mapping[str, Figures]) -> str:
    """Return the figures as a table for the screen, a line for each class and figure."""
    arms = list(figures)
    lines = [f"{'slices other than the drawn one':<34}" + "".join(f"{a:>18}" for a in arms)]
    for name in next(iter(figures.values()), {}):
        counts = [figures[arm][name] for arm in arms]
        lines.append(f"  {name + ', Dice':<32}" + "".join(f"{c.dice:18.3f}" for c in counts))
        lines.append(f"  {name + ', IoU':<32}" + "".join(f"{c.iou:18.3f}" for c in counts))
    return "\n".join(lines)
