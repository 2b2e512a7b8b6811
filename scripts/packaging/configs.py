"""Configs of a package: one file per workflow, with overlays merged and macros replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from monai.bundle import ConfigParser

from custom_nets.definition import TARGET, trusted_class
from scripts.bundle.compose import flatten, overlaid
from scripts.bundle.config_files import (
    Config,
    Read,
    files_below,
    read_config,
    walk,
)
from scripts.bundle.data_files import KIND
from scripts.bundle.model_file import NETWORK
from scripts.bundle.overlays import chosen_keys, is_read_elsewhere, is_shipped, unread
from scripts.packaging.overlays import check_inputs, overlays_of

WORKFLOWS = ("train", "evaluate", "inference")
ADDITION = "multi_gpu_train"  # laid over train.json to train with several processes
RUNTIME = "configs/runtime"  # folder of the addition
TRAINED = "trained"  # id by which a config takes settings from the model file
FOR_LABEL = {"instances": "monai_label", "classes": "monai_label_organs"}
"""Kind of labels -> file in the same folder: what holds when MONAI Label trains."""
PLAIN = "plain_volumes"
OWN_WEIGHTS = "$@bundle_root + '/models/model.pt'"
DATA_ID = "dataset_dir"
NO_DATA = {"train": "prepared", "evaluate": "prepared", "inference": "ct"}
"""``dataset_dir`` of a package, in place of folders of the packaging machine, whose names may be
those of patients."""
FOUND_ROOT = {"_target_": "scripts.packaging.location.bundle_root"}

ARE_PLAIN = "scripts.datasets.datalist.are_plain_volumes"
TRAINING_DATA = "scripts.datasets.training_data.training_data"
OF_TRAINING = ("encoder_weights",)
OF_THE_FILE = (TARGET, "settings", KIND)  # of a network_def that is read from the model file
LINE = 100  # of a JSON file


def packaged_configs(
    bundle: Path,
    overlays: Sequence[str | Path],
    *,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Config]:
    """Return the configs of a package, by name without suffix.

    Each workflow uses those ids of an overlay that it has, and the ids that they refer to, so that
    one list of files suits all workflows. As in MONAI's model zoo, ``multi_gpu_train`` remains an
    addition to ``train``: MONAI Label lays it over a ``train`` with the user's data, which a
    complete config would overwrite.

    Args:
        bundle: folder of the bundle.
        overlays: config files, later ones win.
        settings: of the trained network, see :func:`scripts.packaging.overlays.overlays_of`.

    Raises:
        FileNotFoundError: when the bundle lacks a workflow.
        ValueError: for a missing file, an overlay with an id that no workflow of the bundle has, or
            workflows with another input than the network's.
    """
    folder = bundle / "configs"
    missing = [name for name in WORKFLOWS if not (folder / f"{name}.json").is_file()]
    if missing:
        raise FileNotFoundError(f"bundle: {folder} lacks {', '.join(missing)} (.json)")
    files = [file for file in sorted(folder.glob("*.json")) if file.stem != "metadata"]
    read = files_below()
    made = {file.stem: flatten(read_config(file, read), read) for file in files}
    addition = flatten(read_config(f"{RUNTIME}/{ADDITION}.json", read), read)
    for name in made:
        for _, overlay in overlays_of(name, overlays, settings, read=read):
            made[name] = _with_overlay(name, made[name], overlay)
    for file in overlays:
        _refuse_unknown(str(file), flatten(read_config(file, read), read), list(made.values()))
    check_inputs({name: made[name] for name in WORKFLOWS}, settings)
    made["train"] = trainable_anywhere(made["train"], read)
    packaged = {name: _without_folders(made[name], NO_DATA[name]) for name in WORKFLOWS}
    return {**packaged, ADDITION: addition}


def _without_folders(config: Config, data: str) -> Config:
    """Replace the folders of the packaging machine; ``data`` is that of a config that names one."""
    own = {DATA_ID: data} if DATA_ID in config else {}
    return {**config, **own, "bundle_root": FOUND_ROOT}


def trainable_anywhere(train: Config, read: Read) -> Config:
    """Let a packaged training start from the package's weights, and take MONAI Label's data too.

    Label replaces the samples by pairs of image and label files. Then the ids of the file for Label
    hold (``label::``), otherwise the bundle's own (``prepared::``). Nothing is downloaded when the
    network is built, as by ``monai.bundle.load``. A bundle whose own samples are not slices as the
    shipped ones keeps its transforms.

    Args:
        train: flattened config of the training, with overlays.
        read: reader of config files.
    """
    made = {**train, "encoder_weights": "none", "start_from": OWN_WEIGHTS}
    kind = _kind_of(train)
    if kind is None:
        return made
    label = flatten(read_config(f"{RUNTIME}/{FOR_LABEL[kind]}.json", read), read)
    if train.get("input_kind", "window") != "window" or train.get("samples_prefix"):
        own = ("sample_transforms", "augmentation", "slices_of_a_volume")
        label = {key: value for key, value in label.items() if key not in own}
    switched = [key for key in label if key in train]
    made["label"] = {key: label[key] for key in switched}
    made["prepared"] = {key: train[key] for key in switched}
    made |= {key: f"$@label::{key} if @{PLAIN} else @prepared::{key}" for key in switched}
    made |= {key: value for key, value in label.items() if key not in train}
    made[PLAIN] = {"_target_": ARE_PLAIN, "samples": "@train::dataset::data"}
    return made


def _kind_of(train: Config) -> str | None:
    """Return the kind of labels that a training checks its data for."""
    kinds = [str(part.get("kind")) for _, part in walk(train) if _has_target(part, TRAINING_DATA)]
    kind = train.get(kinds[0].removeprefix("@"), kinds[0]) if kinds else None
    return kind if kind in FOR_LABEL else None


def _has_target(part: object, target: str) -> bool:
    return isinstance(part, dict) and part.get(TARGET) == target


def settled(config: Config, settings: Mapping[str, Any], *, stored: bool = True) -> Config:
    """Replace the references of a config to a model file by the settings in that file.

    The packaged config is then complete in itself, for readers and for other programs, and training
    continues with the same network and input.

    Args:
        config: flattened config, with overlays.
        settings: settings of a model file, see :mod:`scripts.bundle.model_file`.
        stored: whether they are the file's; otherwise a network that an overlay defines is kept.

    Raises:
        ValueError: when the file's network is of a class that neither it nor the config may name.
    """
    definition = settings[NETWORK]
    _refuse_untrusted(definition, own=config.get(NETWORK))
    if TRAINED not in config:
        weights = {"weights": f"@{OF_TRAINING[0]}"} if "weights" in definition else {}
        names = config.get("model_settings", {})
        known = {key: settings[key] for key in names if key in config and key in settings}
        return {**config, **known, NETWORK: _component({**definition, **weights})}
    made = with_settings(config, settings)
    network = config[NETWORK]
    if isinstance(network, dict) and network.get("settings") == f"@{TRAINED}":
        asked = {key: v for key, v in network.items() if key not in OF_THE_FILE}
        made[NETWORK] = _component({**definition, **asked})
    elif stored and isinstance(network, dict) and network.get(TARGET) == definition.get(TARGET):
        made[NETWORK] = _component(definition)  # of the file of configs/networks, for the training
    return made


def _refuse_untrusted(definition: Config, *, own: object) -> None:
    """Refuse a network of a class other than networks, or those that the config itself names."""
    for target in sorted(_targets(definition) - _targets(own)):
        if trusted_class(target) is None:
            raise ValueError(
                f"ckpt_path: the file's network is of the class {target!r}, which is not of "
                "custom_nets or monai.networks.nets; name its config in --config_file"
            )


def _targets(config: object) -> set[str]:
    parts = (part for _, part in walk(config) if isinstance(part, dict))
    return {str(part[TARGET]) for part in parts if TARGET in part}


def _component(definition: Any) -> Any:
    """Convert a network's definition to a component; nested classes are built by the outer one."""
    if not isinstance(definition, Mapping):
        return definition
    made = {key: _component(value) for key, value in definition.items()}
    for value in made.values():
        if isinstance(value, dict) and TARGET in value:
            value["_mode_"] = "callable"
    return made


def with_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """Replace each expression that uses the model file's settings by its value."""
    return {key: _settled(value, settings) for key, value in config.items() if key != TRAINED}


def _settled(value: Any, settings: Mapping[str, Any]) -> Any:
    """Evaluate an expression that uses the model file's settings; return other values unchanged."""
    if not isinstance(value, str) or f"@{TRAINED}" not in value:
        return value
    content = {TRAINED: "$settings_of_the_file", "value": value}
    parser = ConfigParser(content, globals={"settings_of_the_file": dict(settings)})
    return parser.get_parsed_content("value")


def _with_overlay(name: str, config: Config, overlay: Config) -> Config:
    keys = chosen_keys(config, overlay)
    kept = [key for key in keys if name == "train" or key not in OF_TRAINING]
    return overlaid(config, overlay, kept)


def _refuse_unknown(file: str, overlay: Config, workflows: Sequence[Config]) -> None:
    """Check that every id of an overlay is used by some config.

    A file of ``configs/`` also serves bundles with workflows that this one may lack, as those of
    ``new_bundle`` do.
    """
    taken = {key for config in workflows for key in chosen_keys(config, overlay)}
    serves_others = bool(taken) and is_shipped(file)
    for key in overlay:
        if key in taken or (serves_others and is_read_elsewhere(file, key, files_below())):
            continue
        raise ValueError(unread(file, key, workflows))


def as_json(config: object) -> str:
    """Format a config as JSON, indented, with lists of plain values on one line.

    Example:
        >>> print(as_json({"keys": ["image", "label"]}), end="")
        {
            "keys": ["image", "label"]
        }
    """
    return _written(config, "") + "\n"


def _written(value: object, indent: str) -> str:
    deeper = indent + "    "
    line = json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict) and value:
        texts = [f"{json.dumps(k)}: {_written(item, deeper)}" for k, item in value.items()]
        marks = "{}"
    elif isinstance(value, list) and value:
        plain = not any(isinstance(item, (dict, list)) for item in value)
        if plain and len(indent) + len(line) < LINE:
            return line
        texts, marks = [_written(item, deeper) for item in value], "[]"
    else:
        return line
    inside = f",\n{deeper}".join(texts)
    return f"{marks[0]}\n{deeper}{inside}\n{indent}{marks[1]}"
