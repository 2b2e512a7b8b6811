"""Loading of trained weights for evaluation and inference, with checks."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.data import MetaTensor
from monai.engines.utils import IterationEvents
from monai.utils.enums import CommonKeys

from custom_nets.definition import KEY
from custom_nets.folding import fold_norms
from custom_nets.freezing import Freezable
from custom_nets.state_dicts import in_short, naming, refuse_non_finite, unwrap
from scripts.bundle.held_models import held_models
from scripts.bundle.model_file import (
    ModelFile,
    check_settings,
    read_model,
    settings_of,
    weights_sha256,
)
from scripts.bundle.training_scans import TrainingScans, spacing_of_affine
from scripts.running.options import read_truth
from scripts.training.engine_events import check_logits
from scripts.training.tensor_files import refuse_outdated

logger = logging.getLogger(__name__)


class TrainedWeights:
    """Ignite handler that loads a model file into a network when an engine starts.

    MONAI's bundles often disable their loader if the file is missing, and the network would
    silently predict with random weights. Here a missing file stops the run, and so does a network,
    a window or another setting that differs from the training.

    Args:
        network: the network of the config.
        path: a file as training writes it (``model.pt``).
        settings: the config's ``model_settings``, compared with the file's by name.
        unchecked_model: accept a file without its training settings, with a warning.
        fold_norms: fold the batch norms of a ``Freezable`` network into its convolutions after
            loading (:func:`custom_nets.folding.fold_norms`); for inference only.

    Attributes:
        scans: what the file says about the scans of its training, once it is loaded.
        earlier_scans: the same of each earlier network whose maps the network reads, if held.
        stored: the settings in the file, once it is loaded.
        sha256: of the weights as the network has them, whatever else is in the file, once it is
            loaded.
        earlier_sha256: the same of each earlier network, if held.
        notes: how the file differs from one of this project, once it is loaded; one line each.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        path: str | Path,
        *,
        settings: Mapping[str, Any] | None = None,
        unchecked_model: bool | str = False,
        fold_norms: bool = False,
    ) -> None:
        self.network = network
        self.path = Path(path)
        self.settings = dict(settings or {})
        self.unchecked_model = read_truth("unchecked_model", unchecked_model)
        self.fold_norms = fold_norms
        self.scans = TrainingScans()
        self.earlier_scans: list[TrainingScans] = []
        self.sha256 = ""
        self.earlier_sha256: list[str] = []
        self.stored: dict[str, Any] = {}
        self.notes: list[str] = []
        self._folded = self._warned = False

    def attach(self, engine: Engine) -> None:
        """Load when ``engine`` starts; stop it at logits that are not finite."""
        engine.add_event_handler(Events.STARTED, self)
        check_logits(engine)
        if engine.has_registered_events(IterationEvents.FORWARD_COMPLETED):
            engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self._check_spacing)

    def __call__(self, engine: Engine) -> None:
        """Load the weights; see :meth:`load`."""
        self.load()

    def _check_spacing(self, engine: Engine) -> None:
        """Warn once of volumes whose spacing differs far from that of the training."""
        image = engine.state.output[CommonKeys.IMAGE]
        if self._warned or image.ndim != 5 or not isinstance(image, MetaTensor):
            return
        affines = image.affine.reshape(-1, 4, 4)
        for warning in self.scans.spacing_warnings([spacing_of_affine(a) for a in affines]):
            self._warned = True
            logger.warning("%s", warning)

    def load(self) -> None:
        """Load the weights without an engine; a network that is already folded keeps its weights.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file holds no weights, or those of another network or other
                settings, or the result of an earlier run that a newer one is to replace, or when
                the norms cannot be folded.
        """
        if self._folded:
            return
        model = read_model(self.path)
        refuse_outdated(self.path)
        expected = settings_of(self.network, self.settings)
        check_settings(model, expected, unchecked_model=self.unchecked_model)
        self.stored = dict(model.settings or {})
        self.notes = load_weights(self.network, model)
        self.scans = TrainingScans.of(model)
        self.sha256 = weights_sha256(self.network.state_dict())
        held = held_models(model)
        self.earlier_scans = [TrainingScans.of(one) for one in held]
        self.earlier_sha256 = [weights_sha256(one.weights) for one in held]
        if self.fold_norms and isinstance(self.network, Freezable):
            logger.info("folded %d batch norms", fold_norms(self.network.eval()))
            self._folded = True


def load_weights(network: torch.nn.Module, model: ModelFile) -> list[str]:
    """Load a model file's weights into a network, all of them or none; see :func:`load_most`."""
    return load_most(network, model, fresh=())


def load_most(network: torch.nn.Module, model: ModelFile, *, fresh: Collection[str]) -> list[str]:
    """Load a model file's weights except those named ``fresh``, which keep their values.

    Returns:
        A note on a prefix that the file's names have, for the reader of the results.

    Raises:
        ValueError: when names or shapes of the others differ, or values are not finite.
    """
    state = network.state_dict()
    with naming(f"ckpt_path: {model.path}"):
        found = unwrap(model.weights, state)
    own = {key: tuple(tensor.shape) for key, tensor in state.items() if key not in fresh}
    kept = {key: tensor for key, tensor in found.tensors.items() if key not in fresh}
    offered = {key: tuple(tensor.shape) for key, tensor in kept.items()}
    names = own.keys() | offered.keys()
    differing = sorted(key for key in names if own.get(key) != offered.get(key))
    if differing:
        raise ValueError(
            f"ckpt_path: {model.path} holds another network than the config describes: "
            f"{_shares(own, offered)}, first {differing[0]!r}; give the "
            "network's arguments that training used, e.g. --network_def::encoder densenet121"
        )
    refuse_non_finite(kept, f"ckpt_path: {model.path}")
    complete = OrderedDict({**state, **kept})
    if model.settings is None and model.definition is not None and not fresh:
        complete.__dict__["_metadata"] = {"": {KEY: model.definition}}
    with naming(f"ckpt_path: {model.path}"):
        network.load_state_dict(complete)
    prefix = f"without the prefix {found.prefix}" if found.prefix else ""
    logger.info(
        "loaded %d tensors of %s%s%s",
        *(len(kept), model.path, f", {prefix}" if prefix else ""),
        f", {len(found.others)} unused: {in_short(found.others)}" if found.others else "",
    )
    return [f"{Path(model.path).name}: its tensors were loaded {prefix}"] if prefix else []


def _shares(own: Mapping[str, Any], offered: Mapping[str, Any]) -> str:
    """Count the tensors of a network that a file lacks or has in other shapes, and its further."""
    lacking = len(own.keys() - offered.keys())
    other = sum(own[key] != offered[key] for key in own.keys() & offered.keys())
    counts = ((lacking, "are missing"), (other, "have another shape"))
    of_network = " and ".join(f"{count} {what}" for count, what in counts if count)
    texts = [f"of the {len(own)} tensors of the network {of_network}"] if of_network else []
    if further := len(offered.keys() - own.keys()):
        texts.append(f"the file has {further} that the network has not")
    return ", ".join(texts)
