"""Config files put together as ``monai.bundle run`` does, nothing of them evaluated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver
from monai.bundle.utils import merge_kv
from monai.utils import optional_import

from scripts.audit.findings import MEDIUM, PROBLEM, Finding, Sign

yaml, _ = optional_import("yaml")

META = "_meta_"
MOST_ITEMS = 300_000
Read = Callable[[str], bytes | None]


@dataclass
class Composition:
    """A config as it would be run, and where each part of it was written.

    Attributes:
        files: the config files, in order.
        config: the merged content; macros and relative ids are replaced, references stay.
        origins: id -> file that it was written in; an id without an entry has its parent's.
        findings: what is wrong with the files themselves.
        macros: ids that a macro copies.
        written: ids that the files set, in order.
    """

    files: tuple[str, ...]
    config: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    macros: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)

    def file_of(self, place: str) -> str:
        """Return the file that an id was written in."""
        while place and place not in self.origins:
            place = place.rpartition("::")[0]
        return self.origins.get(place, self.files[0])

    def say(self, level: str, kind: str, place: str, *, what: str, why: str) -> None:
        """Note something about the files."""
        self.findings.append(Sign(level, kind, what, why).at(self.file_of(place), place))


def compose(files: Sequence[str], read: Read) -> Composition:
    """Put config files together; the metadata beside the first one joins them, as with MONAI.

    Args:
        files: names that ``read`` knows; later ones win, ``+key`` adds to what is there.
        read: returns a file's bytes, None where there is none.

    Raises:
        FileNotFoundError: for a file that is not there.
        ValueError: for a file that is no config, or that is built to exhaust the reader.
    """
    made = Composition(tuple(files))
    parser = ConfigParser(config={})
    try:
        for name in files:
            _merge(made, parser, name, read)
        made.config = parser.get()
        _add_metadata(made, files[0], read)
        _limit(made.config)
        made.config = _resolved(made, made.config, "", read)
        _limit(made.config)
    except RecursionError as error:
        raise ValueError(f"{', '.join(files)}: nested too deeply to be a config") from error
    return made


def _merge(made: Composition, parser: ConfigParser, name: str, read: Read) -> None:
    """Add one file to what the earlier ones gave."""
    content = read(name)
    if content is None:
        raise FileNotFoundError(f"config: there is no {name}")
    loaded, twice = load(name, content)
    for key in twice:
        sign = Sign(PROBLEM, "id", key, "written twice in one file; the last one counts")
        made.findings.append(sign.at(name, key))
    for key, value in deepcopy(loaded).items():
        place = ReferenceResolver.normalize_id(key.removeprefix("+"))
        there = parser.get(place) if key.startswith("+") else None
        before = len(there) if isinstance(there, list) else 0
        try:
            if key.startswith("+") and place not in parser:
                raise KeyError(place)
            merge_kv(parser, key, value)
        except (KeyError, ValueError, IndexError, TypeError):
            why = "sets a part of what no earlier file has"
            made.findings.append(Sign(PROBLEM, "id", key, why).at(name, place))
            continue
        made.written.append(place)
        _mark(made, place, name, value if key.startswith("+") else None, before)


def _mark(made: Composition, place: str, name: str, added: Any, before: int) -> None:
    """Note who wrote an id; what an earlier file wrote inside it is gone, unless it was added."""
    if isinstance(added, dict):
        made.origins |= {f"{place}::{key}": name for key in added}
    elif isinstance(added, list):
        made.origins |= {f"{place}::{before + n}": name for n in range(len(added))}
    else:
        for inner in [one for one in made.origins if one.startswith(f"{place}::")]:
            del made.origins[inner]
        made.origins[place] = name


def load(name: str, content: bytes) -> tuple[dict[str, Any], list[str]]:
    """Read a JSON or YAML config.

    Returns:
        Its content, to be copied before it is changed, and the keys that stand in it twice.

    Raises:
        ValueError: for anything that is no dictionary with text keys.
    """
    try:
        loaded, twice = _loaded(name.lower().endswith((".yaml", ".yml")), content)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{name}: is no config that can be read: {error}") from error
    if not isinstance(loaded, dict):
        raise ValueError(f"{name}: must hold a dictionary of ids, holds {type(loaded).__name__}")
    return loaded, twice


@lru_cache(maxsize=256)
def _loaded(is_yaml: bool, content: bytes) -> tuple[Any, list[str]]:
    """Parse a file; equal content once."""
    if is_yaml:
        tree = yaml.compose(content, Loader=yaml.SafeLoader)
        twice = _twice_in_yaml(tree)
        return yaml.safe_load(content), twice
    twice = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice.extend(sorted({key for key in keys if keys.count(key) > 1}))
        return dict(pairs)

    return json.loads(content.decode("utf-8-sig"), object_pairs_hook=collect), twice


def _twice_in_yaml(tree: Any) -> list[str]:
    """List keys that a mapping of a YAML file has twice.

    Raises:
        ValueError: when anchors blow a small file up.
    """
    twice: list[str] = []
    waiting, seen = [tree], 0
    while waiting:
        node = waiting.pop()
        seen += 1
        if seen > MOST_ITEMS:
            raise ValueError(f"more than {MOST_ITEMS} items")
        if isinstance(node, yaml.MappingNode):
            keys = [key.value for key, _ in node.value]
            twice += sorted({str(key) for key in keys if keys.count(key) > 1})
            waiting += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value
    return twice


def _add_metadata(made: Composition, first: str, read: Read) -> None:
    """Join the metadata that lies beside the first file: MONAI parses them with the config."""
    beside = str(PurePosixPath(first.replace("\\", "/")).parent / "metadata.json")
    content = None if beside in made.files else read(beside)
    if content is not None:
        made.config[META] = deepcopy(load(beside, content)[0])
        made.origins[META] = beside


def walk(config: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every nested item with its id, the outer ones first."""
    yield place, config
    if isinstance(config, (dict, list)):
        for _, inner, value in ReferenceResolver.iter_subconfigs(place, config):
            yield from walk(value, inner)


def _limit(config: Any) -> None:
    """Refuse what would never end.

    Raises:
        ValueError: for far more items than a config has.
    """
    for count, _ in enumerate(walk(config)):
        if count > MOST_ITEMS:
            raise ValueError(f"config: more than {MOST_ITEMS} items")


def find(config: Any, place: str) -> Any:
    """Return what stands at an id.

    Raises:
        KeyError: where nothing stands there.
    """
    for key in place.split("::") if place else []:
        try:
            config = config[key if isinstance(config, dict) else int(key)]
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise KeyError(place) from error
    return config


def _resolved(made: Composition, config: Any, place: str, read: Read) -> Any:
    """Replace relative ids and macros, in MONAI's order: each macro sees what stands before it."""
    if isinstance(config, (dict, list)):
        pairs: Any = config.items() if isinstance(config, dict) else enumerate(config)
        for key, value in list(pairs):
            config[key] = _resolved(made, value, f"{place}::{key}" if place else str(key), read)
    if not isinstance(config, str):
        return config
    try:
        text: str = ConfigParser.resolve_relative_ids(place, config)
    except ValueError:
        made.say(PROBLEM, "reference", place, what=config, why="reaches above the whole config")
        return config
    return _macro(made, text, place, read) if text.startswith("%") else text


def _macro(made: Composition, text: str, place: str, read: Read) -> Any:
    """Return a copy of what a macro names."""
    path, wanted = ConfigParser.split_path_id(text[1:])
    source: Any = made.config
    if path:
        content = read(path)
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            why = "reads a file outside the folder that the config is run in"
            made.say(MEDIUM, "read", place, what=text, why=why)
        if content is None:
            why = f"no file {path}, neither from here nor in the bundle"
            made.say(PROBLEM, "reference", place, what=text, why=why)
            return text
        source = load(path, content)[0]
    else:
        made.macros.add(wanted)
    try:
        copied = deepcopy(find(source, wanted))
    except KeyError:
        made.say(PROBLEM, "reference", place, what=text, why="leads to nothing")
        return text
    if path:
        made.origins[place] = path
    for inner, value in walk(copied):
        if isinstance(value, str) and value.startswith("%"):
            full = f"{place}::{inner}" if inner else place
            made.say(PROBLEM, "reference", full, what=value, why="a macro in a macro: MONAI stops")
    return copied
