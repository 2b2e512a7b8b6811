"""Lists of samples that a network can learn from, or be compared by: not empty, with foreground."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from scripts.datasets.missing_data import MissingData
from scripts.datasets.stored_slices import read_rows

logger = logging.getLogger(__name__)


def annotated_samples(
    samples: Sequence[Mapping[str, Any]],
    section: str,
    *,
    dataset_dir: str | Path,
    class_names: Sequence[str] = (),
    labels_needed: bool = True,
) -> list[dict[str, Any]]:
    """Return the samples of a partition, after checking that they can be used for training.

    Without any foreground in the validation every epoch has the same Dice, and the first one would
    be the result. Labels are read only until each class was seen.

    Args:
        samples: entries of a partition, see :func:`scripts.datasets.datalist.load_datalist`.
        section: name of the partition.
        dataset_dir: folder of the datalist, for messages.
        class_names: of the labels' values, background first; empty for single lesions.
        labels_needed: False for a pretraining that uses no labels.

    Raises:
        ValueError: for an empty list, or one without any foreground.
    """
    if isinstance(samples, MissingData):
        return samples  # a run is refused with its reason
    place = f"{section}: the list of {Path(dataset_dir) / 'datalist.json'}"
    if not samples:
        raise ValueError(
            f"{place} is empty; prepare more scans, or divide them otherwise (--split, --shares)"
        )
    if labels_needed:
        wanted = set(range(1, len(class_names)))
        seen = _seen(samples, wanted)
        if not seen:
            raise ValueError(
                f"{place} has {len(samples)} samples without any foreground, so that nothing can "
                "be learnt or compared; prepare scans with annotations, or divide them otherwise"
            )
        missing = [class_names[value] for value in sorted(wanted - seen)]
        if missing:
            logger.warning(
                "%s has no voxel of %s in any of %d samples: nothing is learnt or measured of it",
                *(place, ", ".join(missing), len(samples)),
            )
    return [dict(sample) for sample in samples]


def _seen(samples: Sequence[Mapping[str, Any]], wanted: set[int]) -> set[int]:
    """Return the values above 0 in the labels, as far as needed: all wanted ones, or any one."""
    seen: set[int] = set()
    for sample in samples:
        if "nodules" in sample:
            seen |= {1} if sample["nodules"] else set()
        elif "label" in sample:
            seen |= set(np.unique(_label(sample)).tolist()) - {0}
        else:
            return {1, *wanted}  # another kind of list, whose labels are not known
        if seen and wanted <= seen:
            break
    return seen


def _label(sample: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """Read the label of a slice from its stack, or of a whole volume."""
    if "rows" in sample:
        rows = list(sample["rows"])
        return read_rows(sample["label"], [rows[len(rows) // 2]], np.uint8)
    return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(sample["label"]))))
