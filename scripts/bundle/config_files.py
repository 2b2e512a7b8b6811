"""Config files: reading, iterating and looking up ids, without evaluating anything."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver
from monai.utils import optional_import

from scripts.storage.shipped import shipped

yaml, _ = optional_import("yaml")

MOST_ITEMS = 300_000
Config = dict[str, Any]
Read = Callable[[str], bytes | None]
"""Maps the name of a file to its bytes; None if it does not exist."""


class MissingError(ValueError):
    """A config refers to a file or an id that does not exist."""


def files_below(folder: Path | None = None) -> Read:
    """Return a reader of files named relative to a folder.

    Args:
        folder: by default the current one; files of ``bundles/`` and ``configs/`` that are not
            there are those of the installation.
    """

    def read(name: str) -> bytes | None:
        path = Path(folder or "", name)
        path = path if path.is_file() else shipped(name)
        return path.read_bytes() if path.is_file() else None

    return read


def find_shipped_files() -> None:
    """Let MONAI's ConfigParser find files of the installation too, for the rest of the process.

    Its macros read files by ``ConfigParser.load_config_file``, whatever the parser is, so this
    method is wrapped, once. See :func:`scripts.storage.shipped.shipped`.
    """
    original = ConfigParser.load_config_file
    if getattr(original, "finds_shipped_files", False):
        return

    def load_config_file(filepath: str | Path, **options: Any) -> Any:
        return original(shipped(filepath) if filepath else filepath, **options)

    load_config_file.finds_shipped_files = True  # type: ignore[attr-defined]
    ConfigParser.load_config_file = staticmethod(load_config_file)


def read_config(name: str | Path, read: Read) -> Config:
    """Read one JSON or YAML config.

    Raises:
        MissingError: when the file does not exist.
        ValueError: when it is not a config, or has a key twice.
    """
    loaded, twice = load_named(str(name), read)
    if twice:
        raise ValueError(f"{name}: has {', '.join(twice)} twice; keep one of them")
    return deepcopy(loaded)


def load_named(name: str, read: Read) -> tuple[Config, list[str]]:
    """Read a config by its name; see :func:`load`.

    Raises:
        MissingError: when the file does not exist.
        ValueError: when it is not a config.
    """
    content = read(name)
    if content is None:
        raise MissingError(
            f"no file {name} in the current directory or in the bundle; "
            f"{advice_on_absent(Path(name))}"
        )
    return load(name, content)


def advice_on_absent(file: Path) -> str:
    """Say what to do about a file that does not exist: the files of its folder, if it exists."""
    valid = sorted(one.name for one in file.parent.glob(f"*{file.suffix or '.json'}"))
    if not valid or not file.parent.name:
        return "run the command in the directory that the path is relative to"
    near = difflib.get_close_matches(file.name, valid, n=3)
    return f"{file.parent} has {', '.join(near or valid)}"


def load(name: str, content: bytes) -> tuple[Config, list[str]]:
    """Read a JSON or YAML config.

    Returns:
        The content, shared between calls and so not to be changed, and the keys that occur twice.

    Raises:
        ValueError: when it cannot be parsed or is not a dictionary.
    """
    try:
        loaded, twice = _loaded(name.lower().endswith((".yaml", ".yml")), content)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{name}: cannot be read as a config: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{name}: must be a dictionary of ids, got {type(loaded).__name__}")
    return loaded, twice


@lru_cache(maxsize=256)
def _loaded(is_yaml: bool, content: bytes) -> tuple[Any, list[str]]:
    """Parse a file; equal content is parsed once."""
    if is_yaml:
        tree = yaml.compose(content, Loader=yaml.SafeLoader)
        twice = _twice_in_yaml(tree)
        return yaml.safe_load(content), twice
    twice = []

    def collect(pairs: list[tuple[str, Any]]) -> Config:
        keys = [key for key, _ in pairs]
        twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return dict(pairs)

    return json.loads(content.decode("utf-8-sig"), object_pairs_hook=collect), twice


def _twice_in_yaml(tree: Any) -> list[str]:
    """List the keys that occur twice in a mapping of a YAML file.

    Raises:
        ValueError: for more than :data:`MOST_ITEMS` items, as anchors in a small file can create.
    """
    twice: list[str] = []
    waiting, seen = [tree], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > MOST_ITEMS:
            raise ValueError(f"must have at most {MOST_ITEMS} items, has more")
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            twice += sorted({str(key) for key in keys if keys.count(key) > 1})
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return twice


def walk(config: Any, id_: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a value and all nested values with their ids, outer ones first."""
    yield id_, config
    if isinstance(config, (dict, list)):
        for _, inner, value in ReferenceResolver.iter_subconfigs(id_, config):
            yield from walk(value, inner)


def limit(config: Any) -> None:
    """Check that a config has at most :data:`MOST_ITEMS` items.

    Raises:
        ValueError: when it has more.
    """
    for count, _ in enumerate(walk(config)):
        if count > MOST_ITEMS:
            raise ValueError(f"config: must have at most {MOST_ITEMS} items, has more")


def find(config: Any, id_: str) -> Any:
    """Return a config's value at an id (``train::handlers::0``).

    Raises:
        MissingError: when the id does not exist.
    """
    for key in id_.split("::") if id_ else []:
        try:
            config = config[key if isinstance(config, dict) else int(key)]
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise MissingError(f"{id_}: no such id") from error
    return config


def normalized(key: str) -> str:
    """Return the id that a key of a config file sets.

    Example:
        >>> normalized("+train#handlers")
        'train::handlers'
    """
    id_: str = ReferenceResolver.normalize_id(key.removeprefix("+"))
    return id_


def references_of(value: Any) -> list[str]:
    """List the ids that a value refers to, by MONAI's rules; none if it is not a text.

    Example:
        >>> references_of("$@a#b + 1"), references_of("@a::b"), references_of("me@home")
        (['a::b'], ['a::b'], [])
    """
    if not isinstance(value, str) or "@" not in value:
        return []
    return list(ReferenceResolver.match_refs_pattern(value))
