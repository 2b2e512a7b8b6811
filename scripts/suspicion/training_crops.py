"""Crops around nodules, with which the lung bundle trains a classifier from image to suspicion.

``configs/classifiers/crops.json`` trains it; its record in ``model.pt`` says on which nodules, so
that every nodule is scored by a classifier that has not seen its patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.util import crop as cut_edges

from scripts.bundle.model_file import ModelFile, trained_network
from scripts.storage.files import atomic_path, write_json
from scripts.suspicion.cross_validation import Design
from scripts.suspicion.rated_nodules import Nodule
from scripts.training.weights.trained_weights import load_weights
from scripts.transforms.intensity import WindowHU
from scripts.volumes.geometry import Floats

SIDE = 96  # pixels: the middle 64 after rotations and shifts
NEIGHBOURS = 1
KIND = "crops"  # the input of such a classifier
ROWS = list(range(2 * NEIGHBOURS + 1))


def write_crops(nodules: Sequence[Nodule], design: Design, folder: Path) -> None:
    """Write a data set of crops for each outer fold: ``folder/fold0/datalist.json`` and so on.

    As in ``prepare --split fold``, fold k is tested, fold k + 1 is for validation and the others
    are trained on; a fold without a nodule is passed over.

    Args:
        nodules: with a label each.
        design: labels and folds of these nodules.
        folder: to fill.
    """
    for nodule in nodules:
        with atomic_path(folder / "images" / f"{_name(nodule)}.npy") as part:
            np.save(part, crop_of(nodule))
    following = dict(zip(design.numbers, [*design.numbers[1:], design.numbers[0]], strict=True))
    for fold, validation in following.items():
        held_out = {fold: "test", validation: "validation"}
        parts = [held_out.get(int(number), "training") for number in design.folds]
        samples = [_sample(n, label) for n, label in zip(nodules, design.labels, strict=True)]
        content: dict[str, Any] = {
            name: [sample for sample, part in zip(samples, parts, strict=True) if part == name]
            for name in ("training", "validation", "test")
        }
        split = {"kind": "fold", "folds": len(design.numbers), "test_fold": fold}
        content |= {"name": "suspicion", "kind": "targets", "provenance": {"split": split}}
        write_json(folder / f"fold{fold}" / "datalist.json", content)


def _name(nodule: Nodule) -> str:
    return nodule.id.replace("#", "-")


def _sample(nodule: Nodule, label: bool) -> dict[str, Any]:
    return {
        "image": f"../images/{_name(nodule)}.npy",
        "rows": ROWS,
        "slice": int(_centre(nodule)[0]),
        "affine_lps": nodule.affine_lps,
        "series_uid": nodule.scan_id,
        "patient_id": nodule.patient,
        "target": [float(label)],
    }


def _centre(nodule: Nodule) -> NDArray[np.int64]:
    """Return the voxel (z, y, x) nearest to the nodule's centre."""
    return np.asarray(np.rint(ndimage.center_of_mass(nodule.mask)), np.int64)


def crop_of(nodule: Nodule) -> NDArray[np.int16]:
    """Return (3, 96, 96) HU: the central slice with its neighbours, around the nodule's centre.

    Beyond the part that was cut out, HU are those of its edge.
    """
    middle = _centre(nodule)
    rows = np.clip(middle[0] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1), 0, len(nodule.hu) - 1)
    half = SIDE // 2
    padded = np.pad(nodule.hu[rows], ((0, 0), (half, half), (half, half)), mode="edge")
    y, x = middle[1:]
    return padded[:, y : y + SIDE, x : x + SIDE]


def crop_scores(model: ModelFile, nodules: Sequence[Nodule]) -> Floats:
    """Return the probability (nodules,) of suspicion by a trained classifier of crops.

    Raises:
        ValueError: for a file of another kind of network.
    """
    settings = model.settings or {}
    if settings.get("input_kind") != KIND or settings.get("out_channels") != 1:
        raise ValueError(
            f"classifiers: {model.path} must be trained with configs/classifiers/crops.json for "
            f"one class, got input {settings.get('input_kind')!r}"
        )
    network = trained_network(settings)
    load_weights(network, model)
    network.eval()
    window = WindowHU(settings["window_hu"], outside=settings["outside_window"])
    channels = slice(None) if settings["in_channels"] > 1 else slice(NEIGHBOURS, NEIGHBOURS + 1)
    scores = []
    with torch.no_grad():
        for nodule in nodules:
            image = _middle(crop_of(nodule), settings["patch_size"])[channels]
            logits = network(window(torch.from_numpy(image.copy()))[None])
            scores.append(float(torch.sigmoid(logits)[0, 0]))
    return np.array(scores)


def _middle(image: NDArray[np.int16], size: Sequence[int]) -> NDArray[np.int16]:
    """Return the middle (height, width) of a crop."""
    widths = [((n - m + 1) // 2, (n - m) // 2) for n, m in zip(image.shape[1:], size, strict=True)]
    return np.asarray(cut_edges(image, [(0, 0), *widths]))
