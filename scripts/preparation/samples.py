"""Samples for training, made from the records of prepared scans; mean of the training images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from scripts.datasets.contract import DataSet, Scan
from scripts.datasets.stored_slices import read_rows
from scripts.preparation.prepare_options import SliceOptions
from scripts.preparation.slices import empty_count, object_slices
from scripts.transforms.intensity import WindowHU
from scripts.transforms.neighbours import rows_of

Sample = dict[str, Any]


@dataclass(frozen=True)
class PreparedScan:
    """A scan with the record of its preparation.

    Args:
        scan: the scan as listed.
        record: the content of ``scan.json``.
        empty_wanted: number of the stored slices without an object that may become samples.
    """

    scan: Scan
    record: Mapping[str, Any]
    empty_wanted: int = 0


def samples_of(prepared: PreparedScan, data_set: DataSet, options: SliceOptions) -> list[Sample]:
    """Return the samples of one scan.

    For instances, those with an object come first, then those without in the order drawn; for
    classes, they run from the feet to the head.
    """
    record = prepared.record
    own = _object_samples if data_set.kind == "instances" else _class_samples
    common = {
        **{name: f"scans/{prepared.scan.id}/{name}.npy" for name in record["arrays"]},
        **shared_entries(prepared, data_set),
        "affine_lps": record["affine_lps"],
    }
    depth, stored = record["size"][2], record["stored_slices"]
    return [
        {**common, "rows": rows_of(number, stored, options.neighbours, depth), "slice": number, **s}
        for number, s in own(prepared, options)
    ]


def shared_entries(prepared: PreparedScan, data_set: DataSet) -> Sample:
    """Return the entries that samples and volumes have in common."""
    record = prepared.record
    shared = {
        "series_uid": prepared.scan.id,
        "patient_id": prepared.scan.patient_id,
        "spacing_mm": record["spacing_mm"],
        "label_kind": record["label_kind"],
        "image_hash": record["image_hash"],
    }
    if prepared.scan.scan_uid is not None:
        shared["scan_uid"] = prepared.scan.scan_uid
    if data_set.kind == "classes":
        known = record["known_classes"]
        shared["slices_in_volume"] = record["size"][2]
        shared["known_classes"] = known
        shared["class_known"] = [value in known for value in data_set.classes()]
    if data_set.cut_out:
        shared["crop"] = True
    if record.get("excluded"):
        keys = ("centre_lps_mm", "diameter_mm")
        points = [((x, y, z), diameter) for x, y, z, diameter in record["excluded"]]
        shared["excluded"] = [dict(zip(keys, point, strict=True)) for point in points]
    return shared


def listed(objects: Iterable[Mapping[str, Any]]) -> list[Sample]:
    """Return the entries of objects for samples and volumes."""
    keys = ("id", "diameter_mm", "centre_lps_mm", "texture")
    return [{key: item[key] for key in keys if key in item} for item in objects]


def _object_samples(prepared: PreparedScan, options: SliceOptions) -> list[tuple[int, Sample]]:
    objects, empty = prepared.record["nodules"], prepared.record["empty_slices"]
    numbers = [*object_slices(objects, options.which), *empty[: prepared.empty_wanted]]
    return [
        (number, {"nodules": listed(item for item in objects if number in item["slices"])})
        for number in numbers
    ]


def _class_samples(prepared: PreparedScan, options: SliceOptions) -> list[tuple[int, Sample]]:
    record = prepared.record
    return [(k, {"classes_shown": record["classes_shown"][k]}) for k in record["chosen_slices"]]


def choose_samples(
    scans: Sequence[PreparedScan], data_set: DataSet, options: SliceOptions
) -> tuple[list[Sample], int]:
    """Choose the samples of a cohort.

    For classes, all of them; for instances, all with an object and the requested share without.

    Returns:
        The samples, ordered by scan and slice; and the requested number of slices without an
        object, which may be more than the scans have.
    """
    if data_set.kind == "classes":
        return [sample for scan in scans for sample in samples_of(scan, data_set, options)], 0
    having: list[Sample] = []
    lacking: list[tuple[int, float, Sample]] = []
    random = Random(f"empty:{options.seed}")
    for prepared in sorted(scans, key=lambda prepared: prepared.scan.id):
        every = samples_of(prepared, data_set, options)
        having += [sample for sample in every if sample["nodules"]]
        empty = [sample for sample in every if not sample["nodules"]]
        lacking += [(rank, random.random(), sample) for rank, sample in enumerate(empty)]
    wanted = empty_count(len(having), options.empty_share)
    lacking.sort(key=lambda drawn: drawn[:2])  # one from each scan before a second from any
    chosen = [*having, *(sample for _, _, sample in lacking[:wanted])]
    return sorted(chosen, key=lambda sample: (sample["series_uid"], sample["slice"])), wanted


def mean_of_images(
    samples: Sequence[Sample], output: Path, window_hu: tuple[float, float]
) -> dict[str, Any]:
    """Compute the mean of the training images, subtracted from the input (FCN paper, 2.1).

    Args:
        samples: samples of the training partition; neighbouring slices are not counted.
        output: the prepared folder.
        window_hu: see :class:`~scripts.transforms.intensity.WindowHU`, outside ``clip``.

    Returns:
        ``hu``: mean over all voxels; ``windowed``: mean with the window mapped to [0, 1]; the
        window; and the number of slices.

    Raises:
        ValueError: when there is no training slice.
    """
    if not samples:
        raise ValueError("split: no training slice to take the mean of")
    transform = WindowHU(window_hu, outside="clip")
    sums = np.zeros(2)
    for sample in samples:
        centre = sample["rows"][len(sample["rows"]) // 2]
        image = read_rows(output / sample["image"], [centre], np.float32)
        windowed = transform(torch.from_numpy(image)).numpy()
        sums += image.mean(dtype=np.float64), windowed.mean(dtype=np.float64)
    hu, windowed_mean = (sums / len(samples)).tolist()
    return {
        "hu": hu,
        "windowed": windowed_mean,
        "window_hu": list(window_hu),
        "outside_window": "clip",
        "slices": len(samples),
    }
