"""Probability maps of a trained network for the cases of a datalist, as files beside the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from numpy.typing import NDArray

from scripts.bundle.components import built
from scripts.bundle.compose import compose
from scripts.bundle.config_files import files_below, find_shipped_files
from scripts.bundle.model_file import read_model, trained_network
from scripts.bundle.recipe import Recipe
from scripts.bundle.record import sha256_of
from scripts.bundle.training_scans import TrainingScans, ids_of
from scripts.datasets.datalist import images_sha256
from scripts.datasets.stored_slices import CERTAIN, CONTEXT
from scripts.prediction.network.earlier_networks import class_probabilities
from scripts.storage.files import atomic_path, read_json, write_json
from scripts.training.inferers import CentreVoxelInferer
from scripts.training.weights.trained_weights import load_weights
from scripts.volumes.formats.nifti import nifti_of
from scripts.volumes.geometry import lps_to_ras, reverse_axes
from scripts.volumes.grids import Grid, difference_of_grids, stored_grid

RECORD = "context.json"
Sample = Mapping[str, Any]


class MapWriter:
    """Applies a trained network to cases, with transforms and inferer of its training's config.

    Labels of the cases are not read: the transforms get the image in their place.

    Args:
        recipe: bundle, and the files that were laid over its train.json.
        model: ``model.pt`` of that training.

    Raises:
        ValueError: for a network that is given the positions of lesions, or a config or file that
            cannot be used.
        FileNotFoundError: when the file does not exist.
    """

    def __init__(self, recipe: Recipe, model: Path) -> None:
        files = [f"{recipe.bundle}/configs/train.json", *recipe.overlays]
        self._composition = compose(files, files_below())
        find_shipped_files()
        self._parser = ConfigParser()
        self._parser.read_config(files)
        self._parser["bundle_root"] = recipe.bundle
        self._inferer = self._built("inferer")
        if isinstance(self._inferer, CentreVoxelInferer):
            raise ValueError(
                "config_file: networks that are given the positions of the lesions have no maps of "
                "whole images; choose a network that searches them"
            )
        trained = read_model(model)
        self._network = trained_network(trained.settings or {})
        load_weights(self._network, trained)
        self._device: torch.device = self._built("device")
        self._network.eval().to(self._device)
        self._transforms = Compose(self._built("sample_transforms"))
        self.prefix = str(self._built("samples_prefix"))
        self.scans = TrainingScans.of(trained)
        self.sha256 = sha256_of(model)

    def _built(self, name: str) -> Any:
        return built(self._parser, name, self._composition)

    def check_unseen(self, entries: Sequence[Sample]) -> None:
        """Refuse cases that the network was trained on, by the record in its file.

        Raises:
            ValueError: naming the first of them.
        """
        seen = [entry for entry in entries if self.scans.includes(ids_of(entry))]
        if seen:
            raise ValueError(
                f"context maps: the network was trained on {seen[0].get('series_uid')}, whose map "
                "it should make; a second network would learn to copy it"
            )

    @torch.no_grad()
    def probabilities(self, sample: Sample) -> MetaTensor:
        """Return the probability of each class, (K, ...), with the affine of the input."""
        blind = {key: value for key, value in sample.items() if key != "nodules"}
        item: Any = self._transforms({**blind, "label": sample["image"]})
        image = item["image"]
        logits = self._inferer(image.as_tensor()[None].to(self._device), self._network)[0]
        return MetaTensor(class_probabilities(logits), affine=image.affine)

    def write(self, entries: Sequence[Sample], folder: Path) -> list[dict[str, Any]]:
        """Write the maps of one scan, unless they are there; return its entries with their files.

        Maps are there if this network made them of these images.

        Args:
            entries: all slices of the scan in a partition, or its volume.
            folder: of the maps of this scan.
        """
        record = {"model_sha256": self.sha256, "images_sha256": images_sha256(entries)}
        if not _is_done(folder, record):
            draw = self._slices if "rows" in entries[0] else self._volume
            files = draw(entries, folder)
            write_json(folder / RECORD, {**record, "files": [file.name for file in files]})
        names = read_json(folder / RECORD)["files"]
        return [{**entry, CONTEXT: [str(folder / name) for name in names]} for entry in entries]

    def _slices(self, entries: Sequence[Sample], folder: Path) -> list[Path]:
        """Write a stack (S, H, W) for each class, the rows as in the scan's image."""
        shape = np.load(entries[0]["image"], mmap_mode="r").shape
        stacks: NDArray[np.uint8] = np.zeros((0, *shape), np.uint8)
        for entry in entries:
            found = _stored(self.probabilities(entry).numpy())
            if not len(stacks):
                stacks = np.zeros((len(found), *shape), np.uint8)
            stacks[:, entry["rows"][len(entry["rows"]) // 2]] = found
        files = [folder / f"{CONTEXT}{number}.npy" for number in range(len(stacks))]
        for file, stack in zip(files, stacks, strict=True):
            with atomic_path(file) as part:
                np.save(part, stack)
        return files

    def _volume(self, entries: Sequence[Sample], folder: Path) -> list[Path]:
        """Write a NIfTI volume for each class, on the grid of the image."""
        (entry,) = entries
        found = self.probabilities(entry)
        affine = lps_to_ras(found.affine.numpy().astype(np.float64))
        files = [folder / f"{CONTEXT}{number}.nii.gz" for number in range(len(found))]
        for file, scores in zip(files, found.numpy(), strict=True):
            with atomic_path(file) as part:
                nibabel.save(_nifti(scores, affine), part)
        _check_grid(entry, files[0])
        return files


def _is_done(folder: Path, record: Mapping[str, Any]) -> bool:
    """Return whether the maps of this network, of these images, are there."""
    try:
        written = read_json(folder / RECORD)
        complete = all((folder / name).is_file() for name in written["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return complete and all(written.get(key) == value for key, value in record.items())


def _stored(probabilities: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(probabilities * CERTAIN), np.uint8)


def _nifti(probabilities: NDArray[Any], affine_lps: NDArray[np.float64]) -> nibabel.Nifti1Image:
    """Return probabilities (X, Y, Z) as 8-bit integers with a slope, which readers apply."""
    image = nifti_of(_stored(reverse_axes(probabilities)), affine_lps)
    image.header.set_slope_inter(1 / CERTAIN, 0.0)
    return image


def _check_grid(entry: Sample, file: Path) -> None:
    """Refuse maps on another grid than their image."""
    grids: list[Grid] = [stored_grid(path) for path in (entry["image"], file)]
    if difference := difference_of_grids(*grids):
        raise ValueError(
            f"{entry['image']}: its map is not on its grid: {difference}; the config's "
            "sample_transforms must neither crop nor resample"
        )
