"""The configs of a package: each workflow as one file, the chosen overlays laid over it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from custom_nets.definition import TARGET
from scripts.bundle.compose import flatten, overlaid
from scripts.bundle.config_files import (
    Config,
    MissingError,
    files_below,
    find,
    normalized,
    read_config,
    references_of,
    walk,
)
from scripts.bundle.model_file import NETWORK

WORKFLOWS = ("train", "evaluate", "inference")
ADDITION = "multi_gpu_train"  # laid over train.json by whoever starts several processes
RUNTIME = "configs/runtime"  # folder of the addition
TRAINED = "trained"  # id by which a config takes settings from the model file
FOUND_ROOT = {"_target_": "scripts.packaging.location.bundle_root"}
# prediction takes the trained network; where training began is none of its business
OF_TRAINING = ("encoder_weights",)
LINE = 100  # of a JSON file


def packaged_configs(
    bundle: Path, overlays: Sequence[str | Path], *, root: Path
) -> dict[str, Config]:
    """Make the configs of a package, by name without suffix.

    Every workflow takes of an overlay the ids that it knows and what those refer to, so that one
    list of files suits all workflows. ``multi_gpu_train`` stays what it is everywhere in MONAI's
    zoo, an addition to ``train``: MONAI Label lays it over a ``train`` that has the user's data,
    and a whole config would put its own back.

    Args:
        bundle: the bundle's folder.
        overlays: config files, the later ones win.
        root: the folder that macros name files from.

    Raises:
        FileNotFoundError: when the bundle lacks a workflow.
        ValueError: for a missing file, or an overlay with an id that no workflow of the bundle has.
    """
    folder = bundle / "configs"
    missing = [name for name in WORKFLOWS if not (folder / f"{name}.json").is_file()]
    if missing:
        raise FileNotFoundError(f"bundle: {folder} lacks {', '.join(missing)} (.json)")
    files = [file for file in sorted(folder.glob("*.json")) if file.stem != "metadata"]
    read = files_below(root)
    made = {file.stem: flatten(read_config(file, read), read) for file in files}
    addition = flatten(read_config(root / RUNTIME / f"{ADDITION}.json", read), read)
    for file in overlays:
        overlay = flatten(read_config(file, read), read)
        _refuse_unknown(str(file), overlay, list(made.values()))
        made = {name: _with_overlay(name, config, overlay) for name, config in made.items()}
    packaged = {name: {**made[name], "bundle_root": FOUND_ROOT} for name in WORKFLOWS}
    return {**packaged, ADDITION: addition}


def settled(config: Config, settings: Mapping[str, Any]) -> Config:
    """Write the settings of a model file into a config, in place of what takes them from the file.

    A packaged config can so be read by itself, by people and by programs that know nothing of ours;
    a training continues with the same network and input.

    Args:
        config: flattened, with overlays.
        settings: of a model file, see :mod:`scripts.bundle.model_file`.
    """
    definition = settings[NETWORK]
    if TRAINED not in config:
        weights = {"weights": f"@{OF_TRAINING[0]}"} if "weights" in definition else {}
        known = {key: settings[key] for key in config.get("model_settings", {}) if key in config}
        return {**config, **known, NETWORK: _component({**definition, **weights})}
    made = {key: _settled(value, settings) for key, value in config.items() if key != TRAINED}
    network = config[NETWORK]
    if isinstance(network, dict) and network.get("settings") == f"@{TRAINED}":
        asked = {key: v for key, v in network.items() if key not in (TARGET, "settings")}
        made[NETWORK] = _component({**definition, **asked})
    return made


def _component(definition: Any) -> Any:
    """Turn a definition into a config's component: inner classes are built by the outer one."""
    if not isinstance(definition, Mapping):
        return definition
    made = {key: _component(value) for key, value in definition.items()}
    for value in made.values():
        if isinstance(value, dict) and TARGET in value:
            value["_mode_"] = "callable"
    return made


def _settled(value: Any, settings: Mapping[str, Any]) -> Any:
    """Compute an expression of the model file's settings; leave all else as it is."""
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
    """Refuse an overlay's id that would be left out of every config."""
    taken = {key for config in workflows for key in chosen_keys(config, overlay)}
    for key in overlay:
        if key not in taken:
            valid = sorted({name for config in workflows for name in config})
            near = difflib.get_close_matches(key, valid, n=3, cutoff=0.5) or valid
            raise ValueError(
                f"config_file: {file} sets {key!r}, which no config of the bundle has; did you "
                f"mean {', '.join(near)}?"
            )


def knows(config: Config, key: str) -> bool:
    """Say whether a config has the id that a file's key sets, or the item that it is a part of.

    Args:
        config: flattened.
        key: as in a config file: ``lr``, ``+handlers``, ``network_def::width``.

    Example:
        >>> knows({"network_def": {"_target_": "Net"}}, "network_def::width")
        True
        >>> knows({"network_def": {"_target_": "Net"}}, "width")
        False
    """
    id_ = normalized(key)
    try:
        find(config, id_.rpartition("::")[0] or id_)
    except MissingError:
        return False
    return True


def chosen_keys(config: Config, overlay: Config) -> list[str]:
    """List what of an overlay concerns a config: ids that it has, and what those refer to.

    Example:
        >>> overlay = {"net": {"width": "@width"}, "width": 4, "strategy": {}}
        >>> chosen_keys({"net": {}}, overlay)
        ['net', 'width']
    """
    taken = {key for key in overlay if knows(config, key)}
    pending = list(taken)
    while pending:
        for _, value in walk(overlay[pending.pop()]):
            for first in (name.partition("::")[0] for name in references_of(value)):
                if first in overlay and first not in taken:
                    taken.add(first)
                    pending.append(first)
    return [key for key in overlay if key in taken]


def as_json(config: object) -> str:
    """Write a config as people read it: indented, lists of plain values on one line.

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
