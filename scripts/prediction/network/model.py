"""The trained networks of a bundle, as predict applies them to a volume."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor

from custom_nets.narrowing import NarrowedUNet, can_be_narrowed
from scripts.bundle.held_models import refuse_different, refuse_others
from scripts.bundle.model_file import ModelFile, read_model, weights_sha256
from scripts.bundle.record import sha256_of
from scripts.bundle.training_scans import TrainingScans
from scripts.prediction.members.agreement import member_names
from scripts.prediction.members.limit import (
    AgreementLimit,
    Members,
    read_limit,
    refuse_other_members,
)
from scripts.prediction.network.bundle_parts import BundleParts
from scripts.prediction.network.eight_bit import EightBitNetwork
from scripts.prediction.network.engines import AUTO, TORCH, Engine
from scripts.prediction.network.loaded_networks import load_networks
from scripts.prediction.network.openvino_network import TRACED
from scripts.prediction.network.reducer import Reducer
from scripts.prediction.predict_options import Options
from scripts.running.options import is_null
from scripts.running.reasons import reason_of
from scripts.training.inferers import OUTSIDE_LOGIT, RIM, SlicewiseInferer
from scripts.training.precision import check_finite
from scripts.transforms.most_probable import most_probable

EARLIER = "earlier_models"  # id of the earlier networks whose maps are read
Watch = Callable[[int, torch.Tensor], None]
"""Gets number and probabilities (K, D1, D2, D3) of each member, which it must not change."""
SLICES_AT_ONCE = 8  # converted to probabilities together


@dataclass(frozen=True)
class Checkpoint:
    """A file of trained weights."""

    name: str
    sha256: str


class Model(BundleParts):
    """The parts of a bundle, with its trained networks and the engine that runs them.

    Class attributes:
        assisted: whether a reader took part in its segmentations.

    Args:
        options: bundle, overlays, checkpoints, thresholds, device, engine.

    Raises:
        FileNotFoundError, ValueError: see :class:`BundleParts`; also an engine that is not
            available or does not run on the device.
    """

    assisted = False

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.engine = Engine(options.engine, self.device)
        self.trained_on: list[TrainingScans] = []  # of each network, once they are loaded
        self.weights_sha256: set[str] = set()  # of each network, once they are loaded
        self.notes: list[str] = []  # on the files of the weights, once they are loaded

    def check_parts(self) -> None:
        """Build every part, and load the weights.

        Raises:
            ValueError: for a part that cannot be built, with its id and the file; weights that do
                not fit; an engine that does not run on the device.
            FileNotFoundError: for weights that do not exist.
        """
        _ = self.preprocessing, self.segments, self.checkpoints, self.networks
        for name in ("inferer", "activation", "cleaning", "restoring"):
            self._built(name)
        _ = self.refining, self.fainter_cleaning
        _ = self.agreement_limit
        self.check_engine()

    @cached_property
    def reducer(self) -> Reducer | None:
        """The second stage that removes false candidates; None if there is none.

        Raises:
            FileNotFoundError, ValueError: see :class:`Reducer`; and for a bundle whose lesions are
                not what it was trained for.
        """
        path = self.parser.get("reducer")
        if is_null(path):
            return None
        reducer = Reducer(str(path), self.device)
        kinds = sorted({rule.kind for rule in self.segments if rule.numbered})
        if kinds != [reducer.class_name]:
            raise ValueError(
                f"reduce: {reducer.name} tells a {reducer.class_name} from other candidates, this "
                f"bundle finds {', '.join(kinds) or 'no lesions'}; leave it out"
            )
        return reducer

    @cached_property
    def checkpoint_files(self) -> tuple[Path, ...]:
        """The files of trained weights: those of the options, or that of the bundle."""
        files = self.options.checkpoints or (str(self._built("ckpt_path")),)
        return tuple(map(Path, files))

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Names and hashes of the files of trained weights.

        Raises:
            FileNotFoundError: when one does not exist.
        """
        for path in self.checkpoint_files:
            if not path.is_file():
                raise FileNotFoundError(
                    f"ckpt_path: no trained network at {path}; train the bundle first, or pass "
                    "--ckpt_path FILE"
                )
        return tuple(Checkpoint(path.name, sha256_of(path)) for path in self.checkpoint_files)

    @cached_property
    def networks(self) -> tuple[torch.nn.Module, ...]:
        """One network per checkpoint, on the device, prepared by the engine.

        Raises:
            FileNotFoundError, ValueError: see :func:`load_networks`.
        """
        earlier = self._earlier_networks()
        used = None
        if "threshold" in self.parser and self.options.threshold is None:
            used = float(self._built("threshold"))
        loaded = load_networks(
            self._built("network"),
            self.checkpoint_files,
            threshold=used,
            settings=self._built("model_settings") if "model_settings" in self.parser else None,
            unchecked_model=self.options.unchecked_model,
            fold_norms=bool(self.parser.get("fold_norms", False)),
        )
        self.trained_on += loaded.trained_on
        self.notes += loaded.notes
        self.trained_on += [TrainingScans.of(model) for model in earlier]
        self.weights_sha256 |= {
            *loaded.sha256,
            *(weights_sha256(model.weights) for model in earlier),
        }
        if self.reducer is not None:
            self.trained_on.append(self.reducer.scans)
        return tuple(self.engine.prepare(self._narrowed(each)) for each in loaded.networks)

    def _narrowed(self, network: torch.nn.Module) -> torch.nn.Module:
        """Spare a network's decoder what the inferer crops; not of one that is trained further.

        Nor where the probabilities are refined, as voxels far from the lungs take part in that, nor
        on a GPU, which would wait for the sizes of each region.
        """
        inferer = getattr(self._built("inferer"), "inferer", None)
        crops = isinstance(inferer, SlicewiseInferer) and inferer.grid is not None
        final = self.parser.get("fold_norms", False) and not self.parser.get("refining")
        worth = crops and final and self.device.type == "cpu"
        if not worth or not can_be_narrowed(network):
            return network
        return NarrowedUNet(network, rim=RIM, outside=OUTSIDE_LOGIT)

    @property
    def passes(self) -> int:
        """Number of members: the networks, each with every flip."""
        return len(self.checkpoint_files) << len(self.options.flips)

    @property
    def members(self) -> tuple[str, ...]:
        """Name of each member, the file of its network and its flip."""
        names = [one.name for one in self.checkpoints]
        if len(set(names)) < len(names):  # of several folders, which are not named
            names = [f"{one.name} {one.sha256[:8]}" for one in self.checkpoints]
        return member_names(names, self.options.flips)

    @property
    def members_identity(self) -> Members:
        """What their agreement depends on; the same for a bundle and its package."""
        _ = self.networks
        return Members(
            tuple(sorted(self.weights_sha256)),
            self.options.flips,
            self.settled_sha256,
            float(self._built("threshold")) if "threshold" in self.parser else None,
        )

    @cached_property
    def agreement_limit(self) -> AgreementLimit | None:
        """The least usual agreement of the members; None if none was given.

        Raises:
            ValueError: for a single member, or a limit of other members.
        """
        path = self.options.agreement
        if path is None:
            return None
        if self.passes == 1:
            raise ValueError(
                "agreement: is that of several members; name several files in --ckpt_path, or add "
                "--flips"
            )
        limit = read_limit(path)
        refuse_other_members(path, limit, self.members_identity)
        return limit

    def _earlier_networks(self) -> list[ModelFile]:
        """Return the earlier networks that the config names; several checkpoints must agree."""
        if EARLIER not in self.parser:
            return []
        named = [read_model(path) for path in self._built(EARLIER)]
        models = [read_model(path) for path in self.checkpoint_files[1:]]
        for model in models if named else ():  # the first is compared where they are applied
            refuse_others(model, named)
        if models and not named:
            refuse_different([read_model(self.checkpoint_files[0]), *models])
        return named

    def check_engine(self) -> None:
        """Let OpenVINO convert each network, and run the inferer on a small image.

        Nothing is checked for torch, which computes what OpenVINO cannot if the engine is ``auto``.
        A network without the attribute ``in_channels`` is converted at the first study.

        Raises:
            ValueError: see :class:`scripts.prediction.network.openvino_network.OpenvinoNetwork`;
                also for a network, or an inferer, of volumes.
        """
        if self.engine.name == TORCH:
            return
        try:
            self._run_small_image()
        except Exception as error:  # a network or an inferer may raise anything
            if self.engine.asked != AUTO:
                raise
            self.engine.give_up(error)

    def _run_small_image(self) -> None:
        inferer = self._built("inferer")
        for network in self.networks:
            channels = getattr(network.network, "in_channels", None)
            if isinstance(channels, int):
                with torch.no_grad(), _of_slices():
                    inferer(torch.zeros(1, channels, *TRACED, device=self.device), network)

    def probabilities(
        self,
        image: MetaTensor,
        watch: Watch | None = None,
        *,
        lung: torch.Tensor | None = None,
    ) -> MetaTensor:
        """Return the probability of each class, the mean over checkpoints and flips.

        Args:
            image: (C, D1, D2, D3), preprocessed, with its affine.
            watch: gets the probabilities of each member; twice if the engine gave up in the middle.
            lung: (1, D1, D2, D3), the lung field, if a mask ends there: 8 bits have to agree with
                float32 inside it.

        Returns:
            (K, D1, D2, D3) on the CPU, with the image's affine.

        Raises:
            ValueError: when logits are not finite.
        """
        begun = self.engine.name
        mean = self._mean(image, watch, lung)
        if self.engine.name != begun:  # it gave up in the middle; a CT is computed by one engine
            mean = self._mean(image, watch, lung)
        return MetaTensor(mean, meta=deepcopy(image.meta))

    def _mean(
        self, image: MetaTensor, watch: Watch | None, lung: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the mean of the probabilities over checkpoints and flips, one in memory each."""
        passes = list(itertools.product(self.networks, flipped_axes(image, self.options.flips)))
        self.engine.agreements.clear()
        total = torch.zeros(())
        with torch.no_grad():
            for number, (network, axes) in enumerate(passes):
                inputs = torch.flip(image.as_tensor(), axes) if axes else image.as_tensor()
                region = torch.flip(lung, axes) if axes and lung is not None else lung
                found = self._logits(inputs[None], network, calibrate=not axes, region=region)
                logits = check_finite(found[0])
                del inputs
                self.activated(logits)
                one = (torch.flip(logits, axes) if axes else logits).cpu()
                del logits
                if watch is not None:
                    watch(number, one)
                total = one if total.ndim == 0 else total.add_(one)
        return total.div_(len(passes)) if len(passes) > 1 else total

    def _logits(
        self,
        volume: torch.Tensor,
        network: torch.nn.Module,
        *,
        calibrate: bool,
        region: torch.Tensor | None,
    ) -> torch.Tensor:
        """Return logits (1, K, ...) of a volume (1, C, ...); 8 bits are calibrated if need be."""
        inferer = self._built("inferer")
        if not isinstance(network, EightBitNetwork):
            return _plain(inferer(volume.to(self.device), network))
        logits, agreement = network.predict(
            volume, inferer, self._masks, calibrate=calibrate, region=region
        )
        self.engine.agreements.append(agreement)
        return _plain(logits)

    def _masks(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the mask of each class (classes, ...) before cleaning, of logits (1, K, ...)."""
        if "threshold" in self.parser:
            return self.activated(_plain(logits)[0].clone()) >= float(self._built("threshold"))
        best = most_probable(_plain(logits)[0])[0]
        return torch.stack([best == each for each in range(1, logits.shape[1])])

    def activated(self, logits: torch.Tensor) -> torch.Tensor:
        """Convert logits (K, D1, D2, D3) to probabilities, in place, for memory."""
        activation = self._built("activation")
        for part in torch.split(logits, SLICES_AT_ONCE, dim=-1):
            part.copy_(_plain(activation({"pred": part})["pred"]))
        return logits


@contextmanager
def _of_slices() -> Iterator[None]:
    """Say of errors with a small image, which may seem to be of the user's, what they are of."""
    try:
        yield
    except Exception as error:
        if str(error).startswith(("engine: ", "precision: ")):
            raise
        raise ValueError(
            "engine: OpenVINO computes slices, and the network or its inferer does not take a "
            f"small one: {reason_of(error)}; use --engine torch"
        ) from error


def flipped_axes(image: MetaTensor, flips: tuple[str, ...]) -> list[list[int]]:
    """List the passes of test-time augmentation, each as the dimensions of the image to flip.

    Args:
        image: (C, D1, D2, D3) with its affine, in any orientation.
        flips: world axes, of x (left to right), y (front to back), z (feet to head).

    Returns:
        No flip, then every combination of axes: 2, 4 or 8 passes for 1, 2 or 3 axes.
    """
    nearest = np.abs(np.asarray(image.affine)[:3, :3]).argmax(axis=0).tolist()
    dimensions = [1 + nearest.index("xyz".index(axis)) for axis in flips]
    return [
        list(chosen)
        for count in range(len(dimensions) + 1)
        for chosen in itertools.combinations(dimensions, count)
    ]


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor
