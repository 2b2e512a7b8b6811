"""Initial weights of a training, and the encoder file that a pretraining writes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines.utils import IterationEvents
from torch import nn

from custom_nets.classifier import TransferClassifier
from custom_nets.definition import LEARNT, TRAINING_ONLY, Defined, head_of
from custom_nets.encoders import Encoder
from custom_nets.fcn import TransferFCN
from custom_nets.normalisation import InputNormalisation, make_normalisation
from custom_nets.state_dicts import refuse_non_finite
from custom_nets.unet import TransferUNet
from scripts.bundle.model_file import (
    DESCRIPTIVE,
    NETWORK,
    ModelFile,
    check_settings,
    read_model,
    settings_of,
)
from scripts.bundle.record import sha256_of
from scripts.running.options import read_truth
from scripts.storage.files import atomic_path
from scripts.training.engine_events import finite_loss, kept
from scripts.training.fine_tuning.stage_checks import unwrapped
from scripts.training.weights.trained_weights import load_most

logger = logging.getLogger(__name__)

HEAD = ("out_channels", "class_names")
"""Settings that may differ where the last layers are fresh."""


class StartingWeights:
    """Ignite handler that starts a training from a trained network, encoder and decoder.

    For example from phantoms to patients, or from a public data set to a hospital's own scans.
    ``encoder_weights`` then has no effect, and the mean that the network subtracts is that of the
    file. List it before the handler of checkpoints, so that a resumed run continues from its own
    weights.

    Args:
        network: the network to train, or one inside DistributedDataParallel.
        path: ``model.pt`` of an earlier training of the same network.
        settings: the config's ``model_settings``, compared with the file's by name.
        unchecked_model: accept a file without its training settings, with a warning.
        fresh_head: keep the config's random last layers, for other classes or another number of
            them than the file's; everything else is loaded.
        other_domain: start from a network of another domain, such as another organ: its window, its
            masking and its classes may differ and are not compared, and the last layers are fresh.
            The network itself and its number of input channels must be the same; how the input is
            normalised is taken from the file.

    Source:
        Chen, Zheng, Park, Heng, Zhou, MICCAI 2016, 487-495: a network that segments natural images,
        all but its last layer, as the start of one that segments ultrasound. That the input may
        differ in nothing but its meaning is our choice.
    """

    option = "start_from"
    ignored: tuple[str, ...] = (*LEARNT, *TRAINING_ONLY)  # which a training may change

    def __init__(
        self,
        network: nn.Module,
        path: str | Path,
        *,
        settings: Mapping[str, Any] | None = None,
        unchecked_model: bool | str = False,
        fresh_head: bool | str = False,
        other_domain: bool | str = False,
    ) -> None:
        self.network: Any = unwrapped(network)
        self.path = Path(path)
        self.settings = dict(settings or {})
        self.unchecked_model = read_truth("unchecked_model", unchecked_model)
        self.other_domain = read_truth("other_domain", other_domain)
        self.fresh_head = read_truth("fresh_head", fresh_head) or self.other_domain

    def attach(self, engine: Engine) -> None:
        """Load when ``engine`` starts."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Load the network.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file belongs to another network, or other settings.
        """
        try:
            self._load()
        except FileNotFoundError as error:
            message = f"no trained network at {self.path}; give the model.pt of a training"
            raise FileNotFoundError(f"{self.option}: {message}") from error
        except ValueError as error:
            message = str(error).removeprefix("ckpt_path: ")
            other_classes = any(f"{name}: " in message for name in HEAD) and not self.fresh_head
            hint = "; to keep all but the last layers, pass --fresh_head true" * other_classes
            if any(f"{name}: the file has" in message for name in self._input()):
                hint += "; a network of another domain is the start with --other_domain true"
            if "skip_norm: the file has 'none'" in message:
                hint += "; to go on without norms on the skips, pass --skip_norm none"
            raise type(error)(f"{self.option}: {message}{hint}") from error
        # compared when the run is resumed
        kept(engine).settings[self.option] = sha256_of(self.path)

    def _load(self) -> None:
        model = read_model(self.path)
        expected = settings_of(self.network, self.settings)
        ignored = (*self.ignored, *(HEAD if self.fresh_head else ()))
        if self.other_domain:
            ignored = (*ignored, *self._input())
            self._log_differences(model.settings or {}, expected)
            self._take_normalisation(model)
            expected = settings_of(self.network, self.settings)
        check_settings(model, expected, unchecked_model=self.unchecked_model, ignoring=ignored)
        self._load_weights(model)
        if model.settings is not None and expected[NETWORK] is not None:
            saved = model.settings[NETWORK]
            self.network.definition.update({name: saved[name] for name in LEARNT if name in saved})

    def _input(self) -> tuple[str, ...]:
        """Name the settings of the input that a network of another domain may differ in."""
        return tuple(n for n in self.settings if n not in ("in_channels", *DESCRIPTIVE))

    def _log_differences(self, stored: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
        """Log how the file's input differs from the config's."""
        differing = [
            f"{name}: {stored.get(name)!r} there, {expected[name]!r} here"
            for name in self._input()
            if stored.get(name) != expected[name]
        ]
        if differing:
            logger.info("other_domain: %s", "; ".join(differing))

    def _take_normalisation(self, model: ModelFile) -> None:
        """Normalise the input as the file's network does: its first layers have learnt from that.

        One network may subtract the mean of its training images, the other the published one.
        """
        own = getattr(self.network, "normalise", None)
        if not isinstance(own, InputNormalisation) or model.settings is None:
            return
        kind = (model.settings.get(NETWORK) or {}).get("normalise")
        if kind == self.network.definition["normalise"]:
            return
        encoders = (each for each in self.network.modules() if isinstance(each, Encoder))
        usual = next(encoders).normalisation
        taken = make_normalisation(kind, usual, own.mean.shape[1])
        self.network.normalise = taken.to(own.mean.device)
        self.network.definition["normalise"] = kind
        logger.info("other_domain: the input is normalised as there: %s", kind or usual)

    def _load_weights(self, model: ModelFile) -> None:
        fresh = self._head() if self.fresh_head else ()
        load_most(self.network, model, fresh=fresh)
        if fresh:
            logger.info("fresh_head: with their random values stay %s", ", ".join(fresh))

    def _head(self) -> tuple[str, ...]:
        if not isinstance(self.network, Defined):
            raise ValueError(
                f"fresh_head: the last layers of a {type(self.network).__name__} are not known; "
                "only networks of custom_nets can start with fresh ones"
            )
        return head_of(self.network)


class CoarserWeights(StartingWeights):
    """Ignite handler that starts an FCN from a coarser one: FCN-16s from FCN-32s, and so on.

    At first the network computes the same function; see
    :meth:`custom_nets.fcn.TransferFCN.load_coarser`.

    Args:
        network: the finer network, or one inside DistributedDataParallel.
        path: ``model.pt`` of the coarser one.
        settings: the config's ``model_settings``, compared with the file's by name.
        unchecked_model: accept a file without its training settings, with a warning.

    Raises:
        ValueError: when the network is not an FCN.
    """

    option = "coarser_weights"
    ignored = (*StartingWeights.ignored, "stride")

    def __init__(self, network: nn.Module, path: str | Path, **options: Any) -> None:
        super().__init__(network, path, **options)
        if not isinstance(self.network, TransferFCN):
            raise ValueError(
                f"coarser_weights: only an FCN can start from a coarser one, got a "
                f"{type(self.network).__name__}; leave it out, or choose configs/networks/fcn.json"
            )

    def _load_weights(self, model: ModelFile) -> None:
        self.network.load_coarser(model.weights)


class EncoderWeights:
    """Ignite handler that writes the encoder's weights after every epoch of a pretraining.

    ``encoder_weights: FILE`` reads the file like a download. It holds
    ``{"encoder": name, "state_dict": tensors, "epoch": n}`` and is replaced atomically, so that a
    stopped pretraining leaves the last finished epoch.

    Args:
        network: the network that is pretrained.
        path: the file to write.
    """

    def __init__(self, network: TransferUNet | TransferClassifier, path: str | Path) -> None:
        self.network = network
        self.path = Path(path)

    def attach(self, engine: Engine) -> None:
        """Write after every epoch of ``engine``; stop a trainer at a loss that is NaN."""
        if engine.has_registered_events(IterationEvents.LOSS_COMPLETED):
            engine.add_event_handler(IterationEvents.LOSS_COMPLETED, finite_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the file."""
        write_encoder(self.network.encoder, self.path, epoch=engine.state.epoch)


def write_encoder(encoder: Encoder, path: Path, *, epoch: int) -> None:
    """Write an encoder's weights so that ``encoder_weights: FILE`` reads them.

    Args:
        encoder: the network's.
        path: the file, replaced atomically.
        epoch: the number of epochs done.

    Raises:
        ValueError: when a weight is not finite.
    """
    refuse_non_finite(encoder.state_dict(), f"epoch {epoch}: the encoder")
    content = {
        "encoder": encoder.name,
        "state_dict": {key: t.detach().cpu() for key, t in encoder.state_dict().items()},
        "epoch": epoch,
    }
    with atomic_path(path) as part:
        torch.save(content, part)
    logger.info("epoch %d: wrote the %s encoder to %s", epoch, encoder.name, path)
