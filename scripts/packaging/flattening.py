"""Configs made whole: every ``%file::id`` replaced by what it names, nothing evaluated."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver
from monai.bundle.utils import MACRO_KEY, merge_kv

Config = dict[str, Any]


def read_config(file: str | Path) -> Config:
    """Read one JSON or YAML config as it is written.

    Raises:
        FileNotFoundError: when it is not there.
        ValueError: when it is no mapping, or no JSON or YAML.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(
            f"config_file: no such file: {path}; commands are run from the repository's root"
        )
    try:
        content = ConfigParser.load_config_file(str(path))
    except Exception as error:  # of json, of yaml, of MONAI
        raise ValueError(f"{path}: cannot be read as a config: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold ids and their values, got a {type(content).__name__}")
    return content


def flatten(file: str | Path, *, root: str | Path) -> Config:
    """Read a config and put in place what its macros name in other files.

    References (``@id``), expressions (``$...``) and macros within the file (``%id``) stay text, as
    MONAI resolves them when the config runs. Unlike MONAI's, macros inside of what a macro names
    are resolved too.

    Args:
        file: the config.
        root: the folder that macros name files from; MONAI takes the current one.

    Raises:
        FileNotFoundError: for a macro whose file is not there.
        ValueError: for one that names an id its file does not have, or itself.
    """
    return resolve_macros(read_config(file), root=root)


def resolve_macros(config: Mapping[str, Any], *, root: str | Path) -> Config:
    """Resolve the macros of a config that was read already; see :func:`flatten`."""
    resolved: Config = _resolve(deepcopy(dict(config)), None, Path(root), ())
    return resolved


def _resolve(value: Any, home: Config | None, root: Path, under: tuple[str, ...]) -> Any:
    """Resolve one value.

    Args:
        value: of a config.
        home: what the file holds that the value was taken from; None in the config itself, whose
            own macros stay.
        root: of the files that macros name.
        under: the macros that led here, to notice one that names itself.
    """
    if isinstance(value, dict):
        return {key: _resolve(item, home, root, under) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, home, root, under) for item in value]
    if not isinstance(value, str) or not value.startswith(MACRO_KEY):
        return value
    path, ids = ConfigParser.split_path_id(value[len(MACRO_KEY) :])
    if not path and home is None:
        return value
    if value in under:
        raise ValueError(f"{value}: names itself, by way of {' -> '.join(under)}")
    source = read_config(root / path) if path else home
    assert source is not None
    return _resolve(_look_up(source, ids, value), source, root, (*under, value))


def _look_up(source: Config, ids: str, macro: str) -> Any:
    parser = ConfigParser(config=deepcopy(source))
    if ids not in parser:
        near = difflib.get_close_matches(ids, list(source), n=3, cutoff=0.4) or list(source)
        raise ValueError(f"{macro}: no such id in that file; did you mean {', '.join(near)}?")
    return deepcopy(parser[ids])


def knows(config: Config, key: str) -> bool:
    """Say whether a config has the id that a file's key sets, or what the id lies in.

    Args:
        config: flattened.
        key: as in a config file: ``lr``, ``+handlers``, ``network_def::width``.

    Example:
        >>> knows({"network_def": {"_target_": "Net"}}, "network_def::width")
        True
        >>> knows({"network_def": {"_target_": "Net"}}, "width")
        False
    """
    place, last = ReferenceResolver.split_id(key.removeprefix("+"), last=True)
    parser = ConfigParser(config=config)
    return (place if place else last) in parser


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
        for name in references(overlay[pending.pop()]):
            first = ReferenceResolver.split_id(name)[0]
            if first in overlay and first not in taken:
                taken.add(first)
                pending.append(first)
    return [key for key in overlay if key in taken]


def references(value: Any) -> set[str]:
    """Collect the ids that a value refers to (``@id``), at any depth."""
    if isinstance(value, dict):
        return set().union(*map(references, value.values()))
    if isinstance(value, list):
        return set().union(*map(references, value))
    return set(ReferenceResolver.match_refs_pattern(value)) if isinstance(value, str) else set()


def overlaid(config: Config, overlay: Config, keys: Sequence[str]) -> Config:
    """Lay keys of a later file over a config, as MONAI does with a list of config files."""
    parser = ConfigParser(config=deepcopy(config))
    for key in keys:
        merge_kv(parser, key, deepcopy(overlay[key]))
    merged: Config = parser.get()
    return merged
