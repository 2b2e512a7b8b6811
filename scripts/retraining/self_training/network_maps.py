"""The probability maps of a trained network for slices or whole volumes, which need no labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, Orientation
from torch import nn

from scripts.bundle.model_file import read_model, trained_network
from scripts.training.weights.trained_weights import load_weights
from scripts.transforms.unlabelled import without_labels
from scripts.volumes.geometry import lps_to_ras
from scripts.volumes.grids import Grid, difference_of_grids, stored_grid

SLICES_AT_ONCE = 8


class NetworkMaps:
    """A trained network with the transforms of the config that it was trained with.

    Args:
        files: config files of the training, in order.

    Attributes:
        prefix: of the lists of a datalist that it reads: empty for slices, ``volumes/``.
    """

    def __init__(self, files: Sequence[str | Path]) -> None:
        self.parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
        self.prefix = str(self.parser.get("samples_prefix", ""))
        self.transform = Compose(without_labels(self._built("sample_transforms")))
        self.inferer = self._built("validate::inferer")
        self.to_lps = Orientation(axcodes="LPS", labels=None)
        self.device = self._built("device")

    @property
    def key_metric(self) -> str:
        """Name of the figure by which the training chooses its best weights."""
        (name,) = self._built("validate::key_metric")
        return str(name)

    def _built(self, id_: str) -> Any:
        return self.parser.get_parsed_content(id_)

    @torch.no_grad()
    def probabilities(
        self, model: Path, entries: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[Mapping[str, Any], torch.Tensor]]:
        """Yield each entry with its probabilities; one channel for single lesions.

        They are (C, H, W) of a slice; of a volume (C, X, Y, Z) in LPS index order, on the grid of
        its image.

        Args:
            model: file of the trained network.
            entries: with absolute paths; no label is read.

        Raises:
            ValueError: for a file without the settings of a network, or a config that changes the
                grid of volumes.
        """
        content = read_model(model)
        if content.settings is None:
            raise ValueError(f"model: {model} does not say of which network it is")
        network = trained_network(content.settings)
        load_weights(network, content)
        network = network.to(self.device).eval()
        if self.prefix:
            yield from ((entry, self._of_volume(network, entry)) for entry in entries)
            return
        for _, group in groupby(entries, key=lambda entry: entry["image"]):
            listed = list(group)  # slices of one stack have one size
            for start in range(0, len(listed), SLICES_AT_ONCE):
                part = listed[start : start + SLICES_AT_ONCE]
                yield from zip(part, self._mapped(network, part), strict=True)

    def _mapped(self, network: nn.Module, part: Sequence[Mapping[str, Any]]) -> torch.Tensor:
        """Return the probabilities (B, C, H, W) of slices of one size."""
        images = [torch.as_tensor(self.transform(dict(entry))["image"]) for entry in part]
        batch = torch.stack([_plain(image) for image in images]).to(self.device)
        return _probabilities(self.inferer(batch, network))

    def _of_volume(self, network: nn.Module, entry: Mapping[str, Any]) -> torch.Tensor:
        """Return the probabilities (C, X, Y, Z) of a volume."""
        image = self.transform(dict(entry))["image"]
        found = _probabilities(self.inferer(_plain(image)[None].to(self.device), network))[0]
        turned = self.to_lps(MetaTensor(found, meta=image.meta))
        grid = stored_grid(entry["image"])
        if difference := difference_of_grids(
            grid, Grid(tuple(turned.shape[1:]), lps_to_ras(turned.affine.numpy()))
        ):
            raise ValueError(
                f"config_file: {entry['image']}: its map is not on its grid: {difference}; "
                "sample_transforms must neither crop nor resample"
            )
        return _plain(turned)


def _probabilities(logits: torch.Tensor) -> torch.Tensor:
    scores = _plain(logits).float().cpu()
    return scores.sigmoid() if scores.shape[1] == 1 else scores.softmax(dim=1)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
