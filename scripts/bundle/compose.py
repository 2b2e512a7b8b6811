"""Composing configs as ``monai.bundle run`` does: files laid over one another, macros replaced.

Nothing of a config is evaluated: references (``@id``) and expressions (``$...``) stay text.
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


@dataclass(frozen=True)
class Remark:
    """What is wrong with, or unusual about, the way that files refer to one another.

    Attributes:
        kind: id, reference or read (of a file outside the folder of the run).
        file: the file that it is written in.
        id: of the config.
        what: the key or the text itself.
        why: what is wrong with it.
        fatal: whether MONAI refuses the config for it.
    """

    kind: str
    file: str
    id: str
    what: str
    why: str
    fatal: bool


@dataclass
class Composition:
    """A config as it would be run, and which file wrote each part of it.

    Attributes:
        files: the config files, in order.
        config: the merged content.
        origins: id -> file that it was written in; an id without an entry has its parent's.
        remarks: on the files themselves.
        macros: ids that a macro copies.
        written: ids that the files set, in order.
    """

    files: tuple[str, ...]
    config: Config = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    macros: set[str] = field(default_factory=set)
    written: list[str] = field(default_factory=list)

    def file_of(self, id_: str) -> str:
        """Return the file that an id was written in."""
        while id_ and id_ not in self.origins:
            id_ = id_.rpartition("::")[0]
        return self.origins.get(id_, self.files[0])

    def note(self, kind: str, id_: str, what: str, why: str, *, fatal: bool = True) -> None:
        """Add a remark."""
        self.remarks.append(Remark(kind, self.file_of(id_), id_, what, why, fatal))

    def complete(self) -> Config:
        """Return the config, where MONAI would take it.

        Raises:
            MissingError: for the first id or file that is missing.
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
        files: names that ``read`` knows; later ones win, ``+key`` adds to what is there.
        read: returns a file's bytes, None where there is none.
        metadata: files of metadata; None takes metadata.json in the first file's folder, if any.
        overrides: id -> value, as on the command line.

    Raises:
        MissingError: for a file of ``files`` or ``metadata`` that does not exist.
        ValueError: for a file that is no config, or that is built to exhaust the reader.
    """
    made = merge(files, read)
    try:
        _add_metadata(made, _metadata_of(files, read) if metadata is None else metadata, read)
        ConfigParser(config=made.config).update(dict(overrides or {}))
        limit(made.config)
        made.config = _resolved(made, made.config, "", read)
        limit(made.config)
    except RecursionError as error:
        raise ValueError(f"{', '.join(files)}: nested too deeply to be a config") from error
    return made


def merge(files: Sequence[str], read: Read) -> Composition:
    """Lay config files over one another; macros stay as they are written.

    Raises:
        MissingError: for a file that does not exist.
        ValueError: for a file that is no config.
    """
    made = Composition(tuple(files))
    parser = ConfigParser(config={})
    for name in files:
        loaded, twice = load_named(name, read)
        for key in twice:
            why = "written twice in one file; the last one counts"
            made.remarks.append(Remark("id", name, key, key, why, fatal=False))
        for key, value in deepcopy(loaded).items():
            _lay(made, parser, name, key, value)
    made.config = parser.get()
    return made


def _lay(made: Composition, parser: ConfigParser, name: str, key: str, value: Any) -> None:
    """Set one key of a file, or add to it; where there is nothing to add to, MONAI sets it."""
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
        why = "sets a part of what no earlier file has"
        made.remarks.append(Remark("id", name, id_, key, why, fatal=refused))
    if not refused:
        made.written.append(id_)
        _mark(made, id_, name, None if before is None else value, length)


def _mark(made: Composition, id_: str, name: str, added: Any, before: int) -> None:
    """Record which file wrote an id; it replaces the parts of earlier files, unless it adds."""
    if isinstance(added, dict):
        made.origins |= {f"{id_}::{key}": name for key in added}
    elif isinstance(added, list):
        made.origins |= {f"{id_}::{before + n}": name for n in range(len(added))}
    else:
        for inner in [one for one in made.origins if one.startswith(f"{id_}::")]:
            del made.origins[inner]
        made.origins[id_] = name


def _metadata_of(files: Sequence[str], read: Read) -> list[str]:
    """Name the metadata in the first file's folder, which MONAI parses with the config."""
    name = str(PurePosixPath(files[0].replace("\\", "/")).parent / "metadata.json")
    return [] if name in files or read(name) is None else [name]


def _add_metadata(made: Composition, names: Sequence[str], read: Read) -> None:
    """Add files of metadata to a config."""
    if names:
        metadata = merge(names, read)
        made.config[META] = metadata.config
        made.origins[META] = names[0]
        made.remarks += metadata.remarks


def _resolved(made: Composition, config: Any, id_: str, read: Read) -> Any:
    """Replace relative ids and macros in MONAI's order: a macro sees what earlier ones became."""
    if isinstance(config, (dict, list)):
        pairs: Any = config.items() if isinstance(config, dict) else enumerate(config)
        for key, value in list(pairs):
            config[key] = _resolved(made, value, f"{id_}::{key}" if id_ else str(key), read)
    if not isinstance(config, str):
        return config
    try:
        text: str = ConfigParser.resolve_relative_ids(id_, config)
    except ValueError:
        made.note("reference", id_, config, "reaches above the whole config")
        return config
    return _macro(made, text, id_, read) if text.startswith(MACRO_KEY) else text


def _macro(made: Composition, text: str, id_: str, read: Read) -> Any:
    """Return a copy of what a macro names."""
    path, wanted = ConfigParser.split_path_id(text[len(MACRO_KEY) :])
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        why = "reads a file outside the folder that the config is run in"
        made.note("read", id_, text, why, fatal=False)
    if not path:
        made.macros.add(wanted)
    try:
        copied, _ = _copied(path, wanted, made.config, read)
    except MissingError as missing:
        made.note("reference", id_, text, str(missing))
        return text
    if path:
        made.origins[id_] = path
    for inner, value in walk(copied):
        if isinstance(value, str) and value.startswith(MACRO_KEY):
            full = f"{id_}::{inner}" if inner else id_
            made.note("reference", full, value, "a macro in a macro: MONAI stops", fatal=False)
    return copied


def _copied(path: str, wanted: str, home: Config, read: Read) -> tuple[Any, Config]:
    """Copy what a macro names, in another file or in ``home``; return that file's content too."""
    source = load_named(path, read)[0] if path else home
    try:
        return deepcopy(find(source, wanted)), source
    except MissingError as missing:
        near = difflib.get_close_matches(wanted, list(source), n=3, cutoff=0.4)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise MissingError(f"leads to nothing{hint}") from missing


def flatten(config: Mapping[str, Any], read: Read) -> Config:
    """Put in place what a config's macros name in other files, so that it needs none of them.

    Macros within the file (``%id``) stay text, as MONAI replaces them when the config runs. Unlike
    MONAI's, macros inside of what a macro names are replaced too.

    Args:
        config: as it is written.
        read: returns the files that macros name.

    Raises:
        MissingError: for a macro that names a file or an id that does not exist.
        ValueError: for one that names itself.
    """
    flat: Config = _flat(deepcopy(dict(config)), None, read, ())
    return flat


def _flat(value: Any, home: Config | None, read: Read, under: tuple[str, ...]) -> Any:
    """Flatten one value.

    Args:
        value: of a config.
        home: the file that the value was copied from; None in the config itself, whose own macros
            stay.
        read: returns the files that macros name.
        under: the macros that led here, to notice one that names itself.
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
        raise ValueError(f"{value}: names itself, by way of {' -> '.join(under)}")
    try:
        copied, source = _copied(path, wanted, home or {}, read)
    except MissingError as missing:
        raise MissingError(f"{value}: {missing}") from missing
    return _flat(copied, source, read, (*under, value))


def overlaid(config: Config, overlay: Config, keys: Sequence[str]) -> Config:
    """Lay keys of a later file over a config, as MONAI does with a list of config files."""
    parser = ConfigParser(config=deepcopy(config))
    for key in keys:
        merge_kv(parser, key, deepcopy(overlay[key]))
    merged: Config = parser.get()
    return merged
