"""What a network is trained on, as its model file and its checkpoints record it."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.bundle.record import sha256_of
from scripts.bundle.training_scans import (
    TEST,
    TRAINING,
    VALIDATION,
    case_id,
    extent,
    hashed_ids,
    spacings_of,
)
from scripts.datasets.datalist import check_labels, prepare_again, read_datalist
from scripts.datasets.shares import PARTITIONS
from scripts.datasets.stored_slices import read_rows
from scripts.running.options import read_truth

logger = logging.getLogger(__name__)

AUTO = "auto"
THICK = 2.0  # slices this many pixels apart
# entries of a datalist's provenance that say what its samples are, and no folder
PREPARED_WITH = (
    *("kind", "label", "min_readers", "objects", "segments", "overlaps", "tumour"),
    *("slices", "every", "neighbours", "empty_share"),
)


def identities(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, str]:
    """Return digests of the slices of each partition and of their labels, independent of paths.

    A run is not resumed with other ones: another split would leak test slices into training, and
    with other labels under the same names it would learn something else.

    Args:
        samples: partition -> its entries, from :func:`load_datalist`.

    Returns:
        ``slices``, of the names in their order, and ``labels``, of the voxels.

    Example:
        >>> sample = {"series_uid": "1.2", "slice": 3, "label_kind": "ball", "image": "a.npy"}
        >>> moved = {**sample, "image": "b.npy"}
        >>> identities({"training": [sample]}) == identities({"training": [moved]})
        True
        >>> identities({"training": [sample]}) == identities({"test": [sample]})
        False
    """
    names = [
        (partition, sample.get("series_uid"), sample.get("slice"), sample.get("label_kind"))
        for partition in sorted(samples)
        for sample in samples[partition]
    ]
    labels = hashlib.sha256()
    for partition in sorted(samples):
        for sample in samples[partition]:
            labels.update(_label_of(sample))
    digests = (hashlib.sha256(json.dumps(names).encode()), labels)
    return dict(zip(("slices", "labels"), (one.hexdigest()[:16] for one in digests), strict=True))


def _label_of(sample: Mapping[str, Any]) -> bytes:
    """Return the label of a slice, or the digest of the file of a whole volume's."""
    if "label" not in sample:
        return b""
    if "rows" not in sample:
        return sha256_of(sample["label"]).encode()
    rows = sample["rows"]
    return read_rows(sample["label"], [rows[len(rows) // 2]], np.uint8).tobytes()


def training_data(
    path: str | Path,
    samples: Sequence[Mapping[str, Any]],
    class_names: Sequence[str] | None = None,
    kind: str | None = None,
) -> dict[str, Any]:
    """Say what a network is trained, selected and to be tested on, without naming a case.

    Args:
        path: ``datalist.json``; samples of another source have none.
        samples: that the network was trained on.
        class_names: that the network learns, background first; None where no names are learnt.
        kind: kind of labels that the network learns, see :func:`check_labels`.

    Raises:
        ValueError: see :func:`check_labels`.

    Returns:
        kinds of label, the split, the seed, the number of samples, the smallest and largest
        distance of pixels and of slices in mm, and the hashes of the cases with
        their salt: who has a case can ask whether it was among them
        (:class:`scripts.bundle.training_scans.TrainingScans`). The salt
        follows from all training cases together, so that a training repeated writes the same.
        With a datalist also the data set with the options of its preparation, the hashes of its
        validation and test cases, and the numbers of samples, cases and patients.

    Example:
        >>> data = training_data("none.json", [{"series_uid": "1.2"}, {"series_uid": "1.2"}])
        >>> data["samples"], data["cases"] == hashed_ids([{"series_uid": "1.2"}], data["salt"])
        (2, True)
    """
    content = read_datalist(Path(path)) if Path(path).is_file() else {}
    known = content.get("provenance", {})
    if content:
        check_labels(path, content, kind=kind, class_names=class_names)
    cases = sorted({case_id(sample) for sample in samples})
    spacings = spacings_of(samples)
    salt = hashlib.sha256(json.dumps(cases).encode()).hexdigest()[:16]
    return {
        "labels": sorted({str(s["label_kind"]) for s in samples if "label_kind" in s}),
        "split": known.get("split"),
        "seed": known.get("seed"),
        "samples": len(samples),
        "pixel_mm": extent(pixel for pixel, _ in spacings),
        "slice_mm": extent(distance for _, distance in spacings),
        "salt": salt,
        TRAINING: hashed_ids(samples, salt),
        **(_held_out(content, samples, salt) if content else {}),
    }


def _held_out(
    content: Mapping[str, Any], samples: Sequence[Mapping[str, Any]], salt: str
) -> dict[str, Any]:
    """Describe the data set of a training, and what is not for training.

    Args:
        content: the datalist.
        samples: those trained on: slices, or whole volumes.
        salt: of the hashes.
    """
    whole = bool(samples) and "slice" not in samples[0]
    lists = content["volumes"] if whole and "volumes" in content else content
    parts = {name: lists.get(name, []) for name in PARTITIONS} | {"training": samples}
    known = content.get("provenance", {})
    return {
        VALIDATION: hashed_ids(parts["validation"], salt),
        TEST: hashed_ids(parts["test"], salt),
        "partitions": {name: _counted(entries) for name, entries in parts.items()},
        "data_set": {
            **({"name": content["name"]} if "name" in content else {}),
            **{name: known[name] for name in PREPARED_WITH if name in known},
        },
    }


def _counted(samples: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Count samples, cases and patients; a case without patient counts as one."""
    return {
        "samples": len(samples),
        "cases": len({case_id(sample) for sample in samples}),
        "patients": len({str(s.get("patient_id", case_id(s))) for s in samples}),
    }


def training_mean(
    path: str | Path, window_hu: Sequence[float], *, outside_window: str = "clip"
) -> float:
    """Read the mean of the windowed training images from a datalist.

    Args:
        path: ``datalist.json`` of classes, written by ``python -m scripts prepare DATASET``.
        window_hu: HU window of the network's input.
        outside_window: handling of HU outside the window, see
            :class:`~scripts.transforms.intensity.WindowHU`.

    Returns:
        The mean with the window mapped to [0, 1]. Without a datalist 0, with a warning: a network
        can be built, and its mean is replaced with the trained one when weights are loaded.

    Raises:
        ValueError: when it has no mean, or the mean for another window.
    """
    if not Path(path).exists():
        logger.warning(
            "normalise: no %s; the network is built with the mean 0 until weights are loaded",
            path,
        )
        return 0.0
    content = read_datalist(Path(path))
    mean = content.get("training_mean")
    if mean is None:
        raise ValueError(
            f"{path}: has no mean of the training images; {prepare_again(content)}, or train with "
            "--normalise imagenet"
        )
    configured = [*map(float, window_hu), outside_window]
    prepared = [*map(float, mean["window_hu"]), mean["outside_window"]]
    if prepared != configured:
        raise ValueError(
            f"{path}: has the mean after the window {prepared}, the config has {configured}; "
            f"{prepare_again(content)} with --window_hu, or change the window of the config"
        )
    return float(mean["windowed"])


def has_thick_slices(asked: bool | str, samples: Sequence[Mapping[str, Any]]) -> bool:
    """Decide whether slices are so far apart that kernels should stay within a slice.

    Args:
        asked: true, false, or ``auto``: true if in most scans the slices are at least twice as far
            apart as the pixels.
        samples: of the training, see :func:`scripts.bundle.training_scans.spacings_of`.

    Raises:
        ValueError: for another word.

    Example:
        >>> has_thick_slices("auto", [{"series_uid": "1.2", "spacing_mm": [0.7, 0.7, 2.5]}])
        True
    """
    if asked != AUTO:
        return read_truth("thick_slices", asked)
    ratios = [distance / pixel for pixel, distance in spacings_of(samples)]
    return bool(ratios) and float(np.median(ratios)) >= THICK
