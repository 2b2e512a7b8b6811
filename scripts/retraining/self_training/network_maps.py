"""The probability maps of a trained network for prepared slices, which need no labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from torch import nn

from scripts.bundle.model_file import read_model, trained_network
from scripts.training.weights.trained_weights import load_weights
from scripts.transforms.unlabelled import without_labels

SLICES_AT_ONCE = 8


class SliceMaps:
    """A trained network with the transforms of the config that it was trained with.

    Args:
        files: config files of the training, in order.

    Raises:
        ValueError: for a network of whole volumes.
    """

    def __init__(self, files: Sequence[str | Path]) -> None:
        self.parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
        if self.parser.get("samples_prefix", ""):
            raise ValueError(
                "config_file: must be of a network of slices, got one of whole volumes; the slices "
                "of a prepared data set are what gets labels"
            )
        self.transform = Compose(without_labels(self._built("sample_transforms")))
        self.inferer = self._built("validate::inferer")
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
        """Yield each entry with its probabilities (C, H, W); one channel for single lesions.

        Args:
            model: file of the trained network.
            entries: with absolute paths; no label is read.

        Raises:
            ValueError: for a file without the settings of a network.
        """
        content = read_model(model)
        if content.settings is None:
            raise ValueError(f"model: {model} does not say of which network it is")
        network = trained_network(content.settings)
        load_weights(network, content)
        network = network.to(self.device).eval()
        for _, group in groupby(entries, key=lambda entry: entry["image"]):
            listed = list(group)  # slices of one stack have one size
            for start in range(0, len(listed), SLICES_AT_ONCE):
                part = listed[start : start + SLICES_AT_ONCE]
                yield from zip(part, self._mapped(network, part), strict=True)

    def _mapped(self, network: nn.Module, part: Sequence[Mapping[str, Any]]) -> torch.Tensor:
        """Return the probabilities (B, C, H, W) of slices of one size."""
        images = [torch.as_tensor(self.transform(dict(entry))["image"]) for entry in part]
        batch = torch.stack([_plain(image) for image in images]).to(self.device)
        logits = _plain(self.inferer(batch, network)).float().cpu()
        return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
