"""Composition of configs as by ``monai.bundle run``: files are merged and macros replaced.

Nothing is evaluated: references (``@id``) and expressions (``$...``) stay text.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from monai.bundle import ConfigParser
from monai.bundle.utils import MACRO_KEY, merge_kv

from scripts.bundle.config_files import (
    Config,
    MissingError,
    Read,
    find,
    limit,
    load_named,
    normalized,
    walk,
)

META = "_meta_"
COMMAND = "the command line"  # in place of a file


@dataclass(frozen=True)
class Remark:
    """A problem, or an unusual use, of references between config files.

    Attributes:
        kind: id, reference or read (of a file outside the folder of the run).
        file: file that contains it.
        id: id in the config.
        what: the key or text as written.
        why: what is wrong with it.
        fatal: whether MONAI refuses the config because of it.
    """

    kind: str
    file: str
    id: str
    what: str
    why: str
    fatal: bool


@dataclass
class Composition:
    """A composed config, with the file that set each part.

    Attributes:
        files: config files, in order.
        config: merged content.
        origins: id -> file that set it; an id without an entry has the file of its parent.
        remarks: problems found during composition.
        macros: ids that macros copy.
        written: ids that the files, and then the overrides, set, in order.
        replaced: ids that a later file set again, with the earlier and the later file.
    """

    files: tuple[str, ...]
    config: Config = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    macros: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)
    replaced: list[tuple[str, str, str]] = field(default_factory=list)

    def file_of(self, id_: str) -> str:
        """Return the file that set an id."""
        while id_ and id_ not in self.origins:
            id_ = id_.rpartition("::")[0]
        return self.origins.get(id_, self.files[0])

    def place_of(self, id_: str) -> str:
        """Return the file that set an id, and the id."""
        return f"{self.file_of(id_)}: {id_}"

    def note(self, kind: str, id_: str, what: str, why: str, *, fatal: bool = True) -> None:
        """Add a remark about an id."""
        self.remarks.append(Remark(kind, self.file_of(id_), id_, what, why, fatal))

    def complete(self) -> Config:
        """Return the config, if MONAI would accept it.

        Raises:
            MissingError: for the first fatal remark.
        """
        for remark in self.remarks:
            if remark.fatal:
                raise MissingError(f"{remark.file}: {remark.id}: {remark.what}: {remark.why}")
        return self.config


def compose(
    files: Sequence[str],
    read: Read,
    *,
    metadata: Sequence[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Composition:
    """Merge config files, metadata and overrides, then replace macros and relative ids.

    Args:
        files: names for ``read``; later ones win, ``+key`` extends an earlier value.
        read: returns a file's bytes, None if it does not exist.
        metadata: metadata files; None for metadata.json in the first file's folder, if it exists.
        overrides: id -> value, as on the command line.

    Raises:
        MissingError: for a file of ``files`` or ``metadata`` that does not exist.
        ValueError: for a file that is not a config, or that is nested too deeply or too large.
    """
    composition = merge(files, read)
    try:
        _add_metadata(
            composition, _metadata_of(files, read) if metadata is None else metadata, read
        )
        ConfigParser(config=composition.config).update(dict(overrides or {}))
        for name in map(normalized, overrides or {}):
            composition.written.append(name)
            _mark(composition, name, COMMAND, None, 0)
        limit(composition.config)
        composition.config = _resolved(composition, composition.config, "", read)
        limit(composition.config)
    except RecursionError as error:
        raise ValueError(f"{', '.join(files)}: nested too deeply to be a config") from error
    return composition


def merge(files: Sequence[str], read: Read) -> Composition:
    """Merge config files, later ones over earlier ones; macros are not replaced.

    Raises:
        MissingError: for a file that does not exist.
        ValueError: for a file that is not a config.
    """
    composition = Composition(tuple(files))
    parser = ConfigParser(config={})
    for name in files:
        loaded, twice = load_named(name, read)
        for key in twice:
            why = "set twice in one file; the last value counts"
            composition.remarks.append(Remark("id", name, key, key, why, fatal=False))
        for key, value in deepcopy(loaded).items():
            _lay(composition, parser, name, key, value)
    composition.config = parser.get()
    return composition


def _lay(composition: Composition, parser: ConfigParser, name: str, key: str, value: Any) -> None:
    """Merge one key of a file; ``+key`` without an earlier value sets it, as in MONAI."""
    id_, adds, refused = normalized(key), key.startswith("+"), False
    try:
        before = find(parser.get(), id_) if adds else None
    except MissingError:
        before = None
    length = len(before) if isinstance(before, list) else 0
    try:
        merge_kv(parser, id_ if before is None else key, value)
    except (KeyError, ValueError, IndexError, TypeError):
        refused = True
    if refused or (adds and before is None):
        why = "sets a part of an id that no earlier file has"
        composition.remarks.append(Remark("id", name, id_, key, why, fatal=refused))
    if not refused:
        composition.written.append(id_)
        if before is None and id_ in composition.origins:
            composition.replaced.append((id_, composition.origins[id_], name))
        _mark(composition, id_, name, None if before is None else value, length)


def _mark(composition: Composition, id_: str, name: str, added: Any, before: int) -> None:
    """Record the file that set an id, in place of earlier files unless it adds to their value."""
    if isinstance(added, dict):
        composition.origins |= {f"{id_}::{key}": name for key in added}
    elif isinstance(added, list):
        composition.origins |= {f"{id_}::{before + n}": name for n in range(len(added))}
    else:
        for inner in [one for one in composition.origins if one.startswith(f"{id_}::")]:
            del composition.origins[inner]
        composition.origins[id_] = name


def _metadata_of(files: Sequence[str], read: Read) -> list[str]:
    """Return the metadata file in the first file's folder, which MONAI reads with the config."""
    name = str(PurePosixPath(files[0].replace("\\", "/")).parent / "metadata.json")
    return [] if name in files or read(name) is None else [name]


def _add_metadata(composition: Composition, names: Sequence[str], read: Read) -> None:
    """Add metadata files to a config."""
    if names:
        metadata = merge(names, read)
        composition.config[META] = metadata.config
        composition.origins[META] = names[0]
        composition.remarks += metadata.remarks


def _resolved(composition: Composition, config: Any, id_: str, read: Read) -> Any:
    """Replace relative ids and macros in MONAI's order: earlier macros are replaced first."""
    if isinstance(config, (dict, list)):
        pairs: Any = config.items() if isinstance(config, dict) else enumerate(config)
        for key, value in list(pairs):
            config[key] = _resolved(composition, value, f"{id_}::{key}" if id_ else str(key), read)
    if not isinstance(config, str):
        return config
    try:
        text: str = ConfigParser.resolve_relative_ids(id_, config)
    except ValueError:
        composition.note("reference", id_, config, "refers to a level above the root of the config")
        return config
    return _macro(composition, text, id_, read) if text.startswith(MACRO_KEY) else text


def _macro(composition: Composition, text: str, id_: str, read: Read) -> Any:
    """Return a copy of the value that a macro refers to."""
    path, wanted = ConfigParser.split_path_id(text[len(MACRO_KEY) :])
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        why = "reads a file outside the current directory"
        composition.note("read", id_, text, why, fatal=False)
    if not path:
        composition.macros.add(wanted)
    try:
        copied, _ = _copied(path, wanted, composition.config, read)
    except MissingError as missing:
        composition.note("reference", id_, text, str(missing))
        return text
    if path:
        composition.origins[id_] = path
    for inner, value in walk(copied):
        if isinstance(value, str) and value.startswith(MACRO_KEY):
            full = f"{id_}::{inner}" if inner else id_
            composition.note(
                "reference",
                full,
                value,
                "a macro inside a macro: MONAI stops with an error",
                fatal=False,
            )
    return copied


def _copied(path: str, wanted: str, home: Config, read: Read) -> tuple[Any, Config]:
    """Copy the value that a macro refers to, in another file or in ``home``.

    Returns:
        The value, and the config that contains it.
    """
    source = load_named(path, read)[0] if path else home
    try:
        return deepcopy(find(source, wanted)), source
    except MissingError as missing:
        near = difflib.get_close_matches(wanted, list(source), n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise MissingError(f"refers to nothing{hint}") from missing


def flatten(config: Mapping[str, Any], read: Read) -> Config:
    """Replace a config's macros to other files, so that it is independent of those files.

    Macros within the file (``%id``) stay text, because MONAI replaces them when the config runs.
    Unlike in MONAI, macros inside a copied value are replaced too.

    Args:
        config: the config as written.
        read: returns the files that macros refer to.

    Raises:
        MissingError: for a macro that refers to a file or an id that does not exist.
        ValueError: for a macro that refers to itself.
    """
    flat: Config = _flat(deepcopy(dict(config)), None, read, ())
    return flat


def _flat(value: Any, home: Config | None, read: Read, under: tuple[str, ...]) -> Any:
    """Flatten one value.

    Args:
        value: value in a config.
        home: content of the file that the value was copied from; None for the config itself, whose
            internal macros are kept.
        read: returns the files that macros refer to.
        under: macros being replaced, to detect one that refers to itself.
    """
    if isinstance(value, dict):
        return {key: _flat(item, home, read, under) for key, item in value.items()}
    if isinstance(value, list):
        return [_flat(item, home, read, under) for item in value]
    if not isinstance(value, str) or not value.startswith(MACRO_KEY):
        return value
    path, wanted = ConfigParser.split_path_id(value[len(MACRO_KEY) :])
    if not path and home is None:
        return value
    if value in under:
        raise ValueError(f"{value}: refers to itself, through {' -> '.join(under)}")
    try:
        copied, source = _copied(path, wanted, home or {}, read)
    except MissingError as missing:
        raise MissingError(f"{value}: {missing}") from missing
    return _flat(copied, source, read, (*under, value))


def overlaid(config: Config, overlay: Config, keys: Sequence[str]) -> Config:
    """Merge keys of a later file into a copy of a config, as MONAI does with several files."""
    parser = ConfigParser(config=deepcopy(config))
    for key in keys:
        merge_kv(parser, key, deepcopy(overlay[key]))
    merged: Config = parser.get()
    return merged
