"""Loading a trained network for evaluation and inference, never going on without it."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from ignite.engine import Engine, Events

from custom_nets.folding import fold_norms
from custom_nets.freezing import Freezable

logger = logging.getLogger(__name__)


class TrainedWeights:
    """Ignite handler that loads ``{"model": state_dict}`` into a network when an engine starts.

    MONAI's bundles often disable their loader where the file is missing; the network would then
    predict with random weights and nobody would know. Here a missing file stops the run.

    Args:
        network: the network of the config.
        path: a file as training writes it (``model.pt``).
        fold_norms: fold the batch norms of a network of ours into its convolutions once it is
            loaded (:func:`custom_nets.folding.fold_norms`): for inference only.
    """

    def __init__(
        self, network: torch.nn.Module, path: str | Path, *, fold_norms: bool = False
    ) -> None:
        self.network = network
        self.path = Path(path)
        self.fold_norms = fold_norms
        self._folded = False

    def attach(self, engine: Engine) -> None:
        """Load when ``engine`` starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the weights; see :meth:`load`."""
        self.load()

    def load(self) -> None:
        """Load the weights, with no engine about; what was folded has them and stays as it is.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file holds no weights, or those of another network; or its norms
                cannot be folded.
        """
        if self._folded:
            return
        if not self.path.is_file():
            raise FileNotFoundError(
                f"ckpt_path: no trained network at {self.path}; run training first, "
                "or pass --ckpt_path FILE"
            )
        weights = self._read()
        self._refuse_other_network(weights)
        self.network.load_state_dict(weights)
        logger.info("loaded %d tensors of %s", len(weights), self.path)
        if self.fold_norms and isinstance(self.network, Freezable):
            logger.info("folded %d batch norms", fold_norms(self.network.eval()))
            self._folded = True

    def _read(self) -> dict[str, torch.Tensor]:
        """Read tensors by their names; nothing in the file is run."""
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:  # zip, pickle and torch have no common error
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise self._no_weights(f"{type(error).__name__}: {reason}") from error
        weights = content.get("model", content) if isinstance(content, dict) else content
        if not isinstance(weights, dict):
            raise self._no_weights(f"got a {type(weights).__name__}")
        strange = [key for key, value in weights.items() if not isinstance(value, torch.Tensor)]
        if strange:
            raise self._no_weights(f"{strange[0]!r} is no tensor")
        return weights

    def _no_weights(self, reason: str) -> ValueError:
        return ValueError(
            f"ckpt_path: {self.path} holds no weights that can be read without running code "
            f"({reason}); give the model.pt that training wrote"
        )

    def _refuse_other_network(self, weights: dict[str, torch.Tensor]) -> None:
        """Compare names and shapes before anything is copied."""
        own = {key: tuple(t.shape) for key, t in self.network.state_dict().items()}
        came = {key: tuple(t.shape) for key, t in weights.items()}
        differing = sorted(key for key in own.keys() | came.keys() if own.get(key) != came.get(key))
        if differing:
            raise ValueError(
                f"ckpt_path: {self.path} holds another network than the config describes: "
                f"{len(differing)} of {len(own)} tensors differ, first {differing[0]!r}; add the "
                "network file that training used, e.g. configs/networks/unet_densenet121.json"
            )
