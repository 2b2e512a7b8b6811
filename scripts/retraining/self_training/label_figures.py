"""How labels given by a network compare with drawn ones: counts of voxels, pooled Dice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.datasets.stored_slices import read_rows
from scripts.evaluation.figures.intervals import Figure, ratio_of_sums
from scripts.retraining.self_training.pseudo_labels import UNKNOWN_VALUE, PseudoLabels, middle_row
from scripts.volumes.geometry import reverse_axes
from scripts.volumes.volume_files import read_volume_file


@dataclass(frozen=True)
class Counts:
    """Voxels of one class in one slice or volume, of a given label against the drawn one.

    Attributes:
        patient: of the slice or volume.
        series: likewise.
        name: of the class.
        tp: voxels of the class in both, of the known ones.
        fp: voxels of the class in the given label only.
        fn: voxels of the class in the drawn label only.
        unknown: voxels without a given label.
        voxels: all of them.
    """

    patient: str
    series: str
    name: str
    tp: int
    fp: int
    fn: int
    unknown: int
    voxels: int

    @property
    def dice_terms(self) -> tuple[float, float]:
        """Numerator and denominator of Dice."""
        return 2.0 * self.tp, 2.0 * self.tp + self.fp + self.fn


def count_voxels(
    given: NDArray[np.integer[Any]],
    drawn: NDArray[np.integer[Any]],
    entry: Mapping[str, Any],
    names: Sequence[str],
) -> list[Counts]:
    """Compare one slice or volume with its drawn label, class by class.

    Args:
        given: class of each voxel; ``UNKNOWN_VALUE`` where there is none.
        drawn: of the same shape, class of each voxel; of single lesions their numbers.
        entry: of the slice or volume; classes that were not drawn in its patient are left out.
        names: of the classes, background first; of single lesions two.
    """
    lesions = "class_known" not in entry
    known = given != UNKNOWN_VALUE
    drawn_of = entry.get("class_known", [True] * len(names))
    rows = []
    for value, name in enumerate(names):
        if value == 0 or not drawn_of[value]:
            continue
        truth = (drawn > 0) if lesions else (drawn == value)
        has = given == value
        tp, fp, fn = (int(np.sum(part)) for part in (has & truth, has & ~truth, ~has & truth))
        fn -= int(np.sum(truth & ~known))
        unknown = int(np.sum(~known))
        rows.append(
            Counts(
                str(entry["patient_id"]),
                str(entry["series_uid"]),
                name,
                tp,
                fp,
                fn,
                unknown,
                given.size,
            )
        )
    return rows


def compare_files(
    labelled: Iterable[Mapping[str, Any]], drawn: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[Counts]:
    """Compare stored pseudo-labels with the drawn labels that had been withheld, if there are."""
    truth = {_place(one): one for one in drawn}
    rows = []
    for entry in labelled:
        own = truth.get(_place(entry))
        if own is not None:
            rows += count_voxels(read_label(entry), read_label(own), own, names)
    return rows


def _place(entry: Mapping[str, Any]) -> tuple[str, int | None]:
    return entry["image"], middle_row(entry) if "rows" in entry else None


def read_label(entry: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Return the stored label of a slice, (H, W), or of a volume, (Z, Y, X) in LPS index order."""
    if "rows" in entry:
        return np.asarray(read_rows(entry["label"], [middle_row(entry)], np.uint8)[0])
    return read_volume_file(Path(entry["label"])).in_lps().hu.astype(np.uint8)


def compare_maps(
    maps: Iterable[tuple[Mapping[str, Any], torch.Tensor]],
    names: Sequence[str],
    how: PseudoLabels,
) -> list[Counts]:
    """Compare a network's most probable classes, all voxels of them, with the drawn labels."""
    rows = []
    for entry, probabilities in maps:
        given = how.classes(probabilities).argmax(dim=0).numpy()
        if "rows" not in entry:
            given = reverse_axes(given)
        rows += count_voxels(given, read_label(entry), entry, names)
    return rows


def pooled_dice(rows: Sequence[Counts], *, seed: int) -> dict[str, Figure]:
    """Return Dice of each class over all voxels, with an interval over patients."""
    figures = {}
    for name in dict.fromkeys(row.name for row in rows):
        chosen = [row for row in rows if row.name == name]
        over, under = zip(*(row.dice_terms for row in chosen), strict=True)
        figures[name] = ratio_of_sums(over, under, [row.patient for row in chosen], seed=seed)
    return figures


def unknown_share(rows: Sequence[Counts]) -> float:
    """Return the share of voxels without a given label."""
    once = {name: [row for row in rows if row.name == name] for name in {row.name for row in rows}}
    longest = max(once.values(), key=len, default=[])
    return sum(row.unknown for row in longest) / max(sum(row.voxels for row in longest), 1)
