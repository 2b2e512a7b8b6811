"""Probability maps of earlier networks as further channels of an image (auto-context)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import nn

from scripts.bundle.held_models import held_models, refuse_others
from scripts.bundle.model_file import ModelFile, check_settings, read_model, trained_network
from scripts.training.precision import check_finite
from scripts.training.weights.trained_weights import load_weights

OF_THE_NETWORK = ("network_def", "input_kind", "in_channels", "threshold")
"""Settings by which an earlier network differs from the one that reads its maps."""


class EarlierNetworksd(MapTransform):
    """Append the maps of networks to an image, each network reading those of the one before.

    The first network gets the image (C, ...), the second the image and the maps of the first, and
    so on, as in ``python -m scripts context_maps``. The maps of the last one are appended, in
    evaluation and prediction of the network that was trained on them.

    Args:
        keys: images (C, ...).
        models: files of the networks, in order, those of all training patients; if there are
            none, those that ``holder`` holds are taken; if it holds some, they must be the same.
        inferer: that applies each of them.
        settings: the config's ``model_settings``; window, masking and classes must be those of
            every network.
        holder: model file of the network that reads the maps, see
            :mod:`scripts.bundle.held_models`; it may not exist yet.
        device: on which they run.

    Raises:
        FileNotFoundError: when a named network does not exist.
        ValueError: when no network is named or held, or others are named than those held.
    """

    def __init__(
        self,
        keys: KeysCollection,
        models: Sequence[str | Path],
        inferer: Callable[..., Any],
        *,
        settings: Mapping[str, Any],
        holder: str | Path = "",
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(keys)
        if isinstance(models, (str, Path)):
            raise ValueError(f"earlier_models: must be a list of files, got {models!r}")
        self.holder = Path(holder)
        self.models = [read_model(model) for model in models]
        if self.holder.is_file():
            holding = read_model(self.holder)
            self.models = self.models or held_models(holding)
            refuse_others(holding, self.models)
        if not self.models and (self.holder.is_file() or not str(holder)):
            raise ValueError(
                f"earlier_models: must list the networks whose maps are read, which {holder} does "
                "not hold; context_maps writes them into prediction.json, a config file"
            )
        self.inferer, self.settings, self.device = inferer, dict(settings), torch.device(device)
        self._networks: list[nn.Module] = []

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Append the maps to each image.

        Raises:
            FileNotFoundError: when the model file that should hold the networks does not exist.
            ValueError: for a network with other settings, or another number of channels.
        """
        if not self.models:
            read_model(self.holder)  # says that it does not exist
        if not self._networks:
            self._networks = [self._loaded(model) for model in self.models]
        result = dict(data)
        for key in self.keys:
            image: MetaTensor = result[key]
            channels = image.as_tensor()
            for network in self._networks:
                maps = self._maps(channels, network).to(channels)
                channels = torch.cat([image.as_tensor(), maps])
            result[key] = MetaTensor(
                channels, meta=image.meta, applied_operations=image.applied_operations
            )
        return result

    def _loaded(self, model: ModelFile) -> nn.Module:
        check_settings(model, self.settings, ignoring=OF_THE_NETWORK)
        network = trained_network(model.settings or {})
        load_weights(network, model)
        return network.eval().to(self.device)

    @torch.no_grad()
    def _maps(self, image: torch.Tensor, network: nn.Module) -> torch.Tensor:
        return class_probabilities(self.inferer(image[None].to(self.device), network)[0])


def class_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Return the probabilities (K, ...) of logits, on the CPU.

    One class (lesions) is a sigmoid; several are a softmax over all, background first.

    Raises:
        ValueError: when logits are not finite.

    Example:
        >>> class_probabilities(torch.zeros(4, 1))[:, 0].tolist()
        [0.25, 0.25, 0.25, 0.25]
    """
    plain = logits.as_tensor() if isinstance(logits, MetaTensor) else logits
    finite = check_finite(plain.cpu().float())
    return torch.sigmoid(finite) if len(finite) == 1 else torch.softmax(finite, dim=0)
