"""The parts of a bundle for prediction: those of its inference.json, and the trained networks."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, LoadImaged

from scripts.bundle.components import built
from scripts.bundle.compose import Composition, compose
from scripts.bundle.config_files import files_below
from scripts.bundle.record import sha256_of
from scripts.bundle.training_scans import TrainingScans
from scripts.prediction.network.engines import TRACED, Engine
from scripts.prediction.network.reducer import Reducer
from scripts.prediction.network.segments import SegmentRule
from scripts.prediction.predict_options import Options
from scripts.storage.options import is_null
from scripts.training.precision import check_finite
from scripts.training.weights.trained_weights import TrainedWeights

NEEDED = (
    *("preprocessing", "network", "inferer", "activation", "cleaning", "restoring"),
    *("segments", "ckpt_path", "device"),
)
# paths, and ids for running the bundle with monai.bundle: they do not affect the mask
PLACES = {
    *("_meta_", "imports", "bundle_root", "dataset_dir", "output_dir", "ckpt_path", "device"),
    *("dataset", "dataloader", "saving", "postprocessing", "handlers", "evaluator"),
    *("progress", "run", "inferring", "reducer", "reducing"),
}
SLICES_AT_ONCE = 8  # converted to probabilities together
CANDIDATE_THRESHOLD = 0.1  # least probability of a voxel of a candidate, unless another is asked

Transformation = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True)
class Checkpoint:
    """A file of trained weights."""

    name: str
    sha256: str


class Model:
    """The components of a bundle's ``configs/inference.json``, with overlays.

    Each is built at its first use by MONAI's ConfigParser, as in ``run inferring``.

    Class attributes:
        assisted: whether a reader took part in its segmentations.

    Args:
        options: bundle, overlays, checkpoints, thresholds, device, engine.

    Raises:
        FileNotFoundError: when the bundle has no such file.
        ValueError: for a config that cannot be read or lacks an id, a threshold if the config has
            none, or an engine that is not available or does not run on the device.
    """

    assisted = False

    def __init__(self, options: Options) -> None:
        self.options = options
        self.composition = _composed(options)
        self.parser = _read(options, self.composition.files)
        missing = [name for name in NEEDED if name not in self.parser]
        if missing:
            raise ValueError(
                f"bundle: {options.bundle}/configs/inference.json has no id "
                f"{', '.join(missing)}; predict reads preprocessing, network, post-processing "
                "and segments from it"
            )
        if options.threshold is not None:
            if "threshold" not in self.parser:
                raise ValueError(
                    "threshold: this bundle takes the most probable class of each voxel and its "
                    "config has no id `threshold`; omit the option"
                )
            self.parser["threshold"] = options.threshold
        if options.candidate_threshold is not None and "threshold" not in self.parser:
            raise ValueError(
                "candidate_threshold: this bundle takes the most probable class of each voxel and "
                "its config has no id `threshold`; omit the option"
            )
        if options.reduce:
            if "reducer" not in self.parser:
                raise ValueError(
                    "reduce: the config of this bundle has no id `reducer`; omit the option"
                )
            self.parser["reducer"] = options.reduce
        self.config = _without_macros(self.parser)
        self.device: torch.device = self._built("device")
        self.engine = Engine(options.engine, self.device)
        self.trained_on: list[TrainingScans] = []  # of each network, once they are loaded
        self.notes: list[str] = []  # on the files of the weights, once they are loaded

    def _built(self, name: str) -> Any:
        return built(self.parser, name, self.composition)

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
        self.check_engine()

    @cached_property
    def window_hu(self) -> tuple[float, float] | None:
        """The input window in HU; None if the config does not have a single one."""
        if "window_hu" not in self.parser:
            return None
        low, high = self._built("window_hu")
        return float(low), float(high)

    @property
    def metadata(self) -> dict[str, Any]:
        """The bundle's metadata.json."""
        content: dict[str, Any] = self.parser.get("_meta_", {})
        return content

    @cached_property
    def config_sha256(self) -> str:
        """SHA-256 of the merged config, without paths of files."""
        kept = {key: value for key, value in self.config.items() if key not in PLACES}
        text = json.dumps(kept, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def preprocessing(self) -> Compose:
        """Transforms from a path to the network's input; the first is LoadImaged.

        Raises:
            ValueError: for another first transform.
        """
        transforms: Compose = self._built("preprocessing")
        first = transforms.transforms[0] if transforms.transforms else None
        if not isinstance(first, LoadImaged):
            raise ValueError(
                f"preprocessing: must begin with LoadImaged, begins with {type(first).__name__}"
            )
        return transforms

    @cached_property
    def refining(self) -> Transformation:
        """Transforms of the probabilities of the whole volume, of the mean over networks and flips.

        A bundle without the id ``refining`` has none.
        """
        steps = self._built("refining") if "refining" in self.parser else []
        refining: Transformation = Compose(steps)
        return refining

    @property
    def cleaning(self) -> Transformation:
        """Transforms from probabilities to a label map."""
        cleaning: Transformation = self._built("cleaning")
        return cleaning

    @cached_property
    def fainter_cleaning(self) -> Transformation | None:
        """The cleaning at the candidates' threshold; None if that is the mask's, or there is none.

        Raises:
            ValueError: for a candidate threshold above the mask's.
        """
        if "threshold" not in self.parser:
            return None
        of_mask, asked = float(self._built("threshold")), self.options.candidate_threshold
        lower = min(CANDIDATE_THRESHOLD, of_mask) if asked is None else asked
        if lower > of_mask:
            raise ValueError(
                f"candidate_threshold: must be at most the mask's threshold {of_mask:g}, "
                f"got {lower:g}"
            )
        if lower == of_mask:
            return None
        parser = ConfigParser(deepcopy(self.parser.get()))
        parser["threshold"] = lower
        built: Transformation = parser.get_parsed_content("cleaning")
        return built

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

    @property
    def restoring(self) -> Transformation:
        """Transforms of the label map back to the geometry of the source."""
        restoring: Transformation = self._built("restoring")
        return restoring

    @cached_property
    def segments(self) -> tuple[SegmentRule, ...]:
        """The meaning of each label."""
        rules: tuple[SegmentRule, ...] = self._built("segments")
        return rules

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
            FileNotFoundError, ValueError: see :meth:`TrainedWeights.load`.
        """
        network: torch.nn.Module = self._built("network")
        networks = [network, *(deepcopy(network) for _ in self.checkpoint_files[1:])]
        options: dict[str, Any] = {
            "settings": self._built("model_settings") if "model_settings" in self.parser else None,
            "unchecked_model": self.options.unchecked_model,
            "fold_norms": bool(self.parser.get("fold_norms", False)),
        }
        for each, path in zip(networks, self.checkpoint_files, strict=True):
            weights = TrainedWeights(each, path, **options)
            weights.load()
            self.trained_on.append(weights.scans)
            self.notes += weights.notes
            each.eval()
        if self.reducer is not None:
            self.trained_on.append(self.reducer.scans)
        return tuple(map(self.engine.prepare, networks))

    def check_engine(self) -> None:
        """Let OpenVINO convert each network, and run the inferer on a small image.

        Nothing is checked for torch. A network without the attribute ``in_channels`` is converted
        at the first study.

        Raises:
            ValueError: see :class:`scripts.prediction.network.engines.OpenvinoNetwork`.
        """
        if self.engine.name == "torch":
            return
        inferer = self._built("inferer")
        for network in self.networks:
            channels = getattr(network.network, "in_channels", None)
            if isinstance(channels, int):
                with torch.no_grad():
                    inferer(torch.zeros(1, channels, *TRACED, device=self.device), network)

    def probabilities(self, image: MetaTensor) -> MetaTensor:
        """Return the probability of each class, the mean over checkpoints and flips.

        Args:
            image: (C, D1, D2, D3), preprocessed, with its affine.

        Returns:
            (K, D1, D2, D3) on the CPU, with the image's affine.

        Raises:
            ValueError: when logits are not finite.
        """
        inferer = self._built("inferer")
        passes = list(itertools.product(self.networks, flipped_axes(image, self.options.flips)))
        total = torch.zeros(())
        with torch.no_grad():
            for network, axes in passes:
                inputs = torch.flip(image.as_tensor(), axes) if axes else image.as_tensor()
                logits = check_finite(_plain(inferer(inputs[None].to(self.device), network))[0])
                del inputs
                self.activated(logits)
                one = (torch.flip(logits, axes) if axes else logits).cpu()
                del logits
                total = one if total.ndim == 0 else total.add_(one)
        mean = total.div_(len(passes)) if len(passes) > 1 else total
        return MetaTensor(mean, meta=deepcopy(image.meta))

    def activated(self, logits: torch.Tensor) -> torch.Tensor:
        """Convert logits (K, D1, D2, D3) to probabilities, in place, for memory."""
        activation = self._built("activation")
        for part in torch.split(logits, SLICES_AT_ONCE, dim=-1):
            part.copy_(_plain(activation({"pred": part})["pred"]))
        return logits


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


def _composed(options: Options) -> Composition:
    """Compose inference.json and its overlays, to check them and to know what each file sets."""
    base = options.bundle / "configs" / "inference.json"
    if not base.is_file():
        raise FileNotFoundError(
            f"bundle: no configs/inference.json in {options.bundle}; pass the folder of a bundle"
        )
    try:
        return compose([str(base), *options.config_files], files_below())
    except ValueError as error:
        raise ValueError(f"config_file: cannot be read: {error}") from error


def _read(options: Options, files: Sequence[str]) -> ConfigParser:
    """Read inference.json, its overlays and metadata.json, with the options of the command."""
    parser = ConfigParser()
    try:
        parser.read_config(list(files))
    except (ValueError, KeyError) as error:
        raise ValueError(f"config_file: cannot be read: {error}") from error
    meta = Path(files[0]).with_name("metadata.json")
    if meta.is_file():
        parser.read_meta(str(meta))
    parser["bundle_root"] = str(options.bundle)
    if options.checkpoints:
        parser["ckpt_path"] = options.checkpoints[0]  # the config reads its settings
    if options.device:
        parser["device"] = f"$torch.device({options.device!r})"
    if "progress" in parser:
        parser["progress"] = options.progress
    return parser


def _without_macros(parser: ConfigParser) -> dict[str, Any]:
    """Return the config with every ``%file::id`` replaced.

    Raises:
        ValueError: for a macro whose file does not exist.
    """
    try:
        parser.resolve_macro_and_relative_ids()
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"bundle: its configs refer to files of the repository that were not found: {error}; "
            "run the command in the repository's root, or use the packaged bundle"
        ) from error
    config: dict[str, Any] = parser.get()
    return json.loads(json.dumps(config, default=str))  # type: ignore[no-any-return]
