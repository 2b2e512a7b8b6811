"""The parts of a bundle for prediction: those of its inference.json, with overlays and options."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, LoadImaged

from custom_nets.definition import LEARNT, SOURCES, TRAINING_ONLY, Defined
from scripts.bundle.components import built
from scripts.bundle.compose import Composition, compose
from scripts.bundle.config_files import files_below, find_shipped_files
from scripts.bundle.data_files import KIND, advice, data_files, refuse_other_bundle
from scripts.bundle.overlays import refuse_unread
from scripts.packaging.configs import with_settings
from scripts.prediction.network.segments import SegmentRule
from scripts.prediction.predict_options import Options
from scripts.storage.shipped import shipped

logger = logging.getLogger(__name__)

TRAINED = "trained"  # settings of the model file
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
OF_WEIGHTS = {"data_files", "earlier_models"}
"""Ids that say where the weights' input comes from, as the model file does."""
CANDIDATE_THRESHOLD = 0.1  # least probability of a voxel of a candidate, unless another is asked

Transformation = Callable[[dict[str, Any]], dict[str, Any]]


class BundleParts:
    """The components of a bundle's ``configs/inference.json``, with overlays.

    Each is built at its first use by MONAI's ConfigParser, as in ``run inferring``. An input other
    than slices of one window (volumes, maps of earlier networks) has its own file of
    ``configs/data``; if no overlay gives it, the one that the model file names is taken.

    Args:
        options: bundle, overlays, checkpoints, thresholds, device.

    Raises:
        FileNotFoundError: when the bundle has no such file.
        ValueError: for a config that cannot be read or lacks an id, a threshold if the config
            has none, or an input that is not the trained network's.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._read_config(options.config_files)
        self._add_data_files()
        self.device: torch.device = self._built("device")

    def _read_config(self, overlays: Sequence[str]) -> None:
        """Read inference.json with overlays and options; nothing is built."""
        self.composition = _composed(self.options.bundle, overlays)
        self.parser = _read(self.options, self.composition.files)
        missing = [name for name in NEEDED if name not in self.parser]
        if missing:
            raise ValueError(
                f"bundle: {self.options.bundle}/configs/inference.json has no id "
                f"{', '.join(missing)}; predict reads preprocessing, network, post-processing "
                f"and segments from it{_of_plain(self.parser)}"
            )
        self._set_options()
        self.config = _without_macros(self.parser)

    def _set_options(self) -> None:
        """Write thresholds and second stage of the command into the config."""
        options = self.options
        for name in ("threshold", "candidate_threshold"):
            if getattr(options, name) is not None and "threshold" not in self.parser:
                raise ValueError(
                    f"{name}: this bundle takes the most probable class of each voxel and its "
                    "config has no id `threshold`; omit the option"
                )
        if options.threshold is not None:
            self.parser["threshold"] = options.threshold
        if options.reduce:
            if "reducer" not in self.parser:
                raise ValueError(
                    "reduce: the config of this bundle has no id `reducer`; omit the option"
                )
            self.parser["reducer"] = options.reduce

    def _add_data_files(self) -> None:
        """Lay the file that the network's input needs under the user's, if none is there yet.

        Raises:
            ValueError: when the input stays another one than that of the training.
        """
        if TRAINED not in self.parser or KIND not in self.parser:
            return
        trained: dict[str, Any] = self._built(TRAINED)
        wanted = trained.get(KIND)
        if wanted is None or self._built(KIND) == wanted:
            return
        refuse_other_bundle(trained, self.config.get("model_settings", ()))
        found = data_files(trained)
        if found.prediction:
            self._read_config((found.prediction, *self.options.config_files))
            own = [id_ for id_ in found.numbers if self._is_of(found.prediction, id_)]
            for id_ in own:
                self.parser[id_] = self.composition.config[id_] = found.numbers[id_]
            self.config = _without_macros(self.parser)
            logger.info("config_file: %s, which the trained network needs", found.prediction)
        if (here := self._built(KIND)) != wanted:
            raise ValueError(
                f"ckpt_path: {self._built('ckpt_path')} was trained on {wanted!r}, the config "
                f"makes {here!r} of a CT; {advice(trained)}"
            )

    def _is_of(self, file: str, id_: str) -> bool:
        return id_ in self.composition.config and self.composition.file_of(id_) == file

    def _built(self, name: str) -> Any:
        return built(self.parser, name, self.composition)

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
        return _sha256_of(kept)

    @cached_property
    def settled_sha256(self) -> str:
        """SHA-256 of the config with the settings of the model file in it, as a package has it.

        A bundle and its package have the same.
        """
        kept = {key: value for key, value in self.config.items() if key not in PLACES | OF_WEIGHTS}
        if TRAINED in kept:
            kept = with_settings(kept, self._built(TRAINED))
        network = self._built("network")
        if isinstance(network, Defined):
            unlike = {*SOURCES, *LEARNT, *TRAINING_ONLY}
            stated = {key: v for key, v in network.definition.items() if key not in unlike}
            kept["network_def"] = stated
        return _sha256_of(kept)

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


def _sha256_of(config: dict[str, Any]) -> str:
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _of_plain(parser: ConfigParser) -> str:
    """Say of a plain package what it is for; empty for another config."""
    if parser.get("network_def::module::_target_") != "torch.export.load":
        return ""
    return "; a package of --plain is for MONAI's own commands: package without --plain for predict"


def _composed(bundle: Path, overlays: Sequence[str]) -> Composition:
    """Compose inference.json and its overlays, to check them and to know what each file sets."""
    base = shipped(bundle / "configs" / "inference.json")
    if not base.is_file():
        raise FileNotFoundError(
            f"bundle: no configs/inference.json in {bundle}; pass the folder of a bundle"
        )
    files = [str(base), *overlays]
    try:
        composed = compose(files, files_below())
    except ValueError as error:
        raise ValueError(f"config_file: cannot be read: {error}") from error
    refuse_unread(files, files_below())
    return composed


def _read(options: Options, files: Sequence[str]) -> ConfigParser:
    """Read inference.json, its overlays and metadata.json, with the options of the command."""
    find_shipped_files()
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
            "reinstall the project, or use the packaged bundle"
        ) from error
    config: dict[str, Any] = parser.get()
    return json.loads(json.dumps(config, default=str))  # type: ignore[no-any-return]
