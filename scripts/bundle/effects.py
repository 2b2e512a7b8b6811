"""Settings without an effect: ids given by an option, or by a user's file, that nothing reads."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from scripts.bundle.compose import COMMAND, META, Composition
from scripts.bundle.config_files import (
    Config,
    MissingError,
    files_below,
    find,
    load_named,
    references_of,
    walk,
)
from scripts.bundle.overlays import BY_MONAI, is_shipped
from scripts.bundle.values import OPTIONAL, ROOT_ID, SWITCHES
from scripts.running.options import is_null

logger = logging.getLogger(__name__)

OF_STAGES = {"stage_epochs": "epochs", "learning_rate": "learning_rate", "final_rate": "final_rate"}
"""Ids that stages of a strategy without such a key take -> the key."""
ALWAYS = (*BY_MONAI, ROOT_ID, META, "imports")  # may be given whatever the config reads
_READ_ALONE = re.compile(r"\[['\"](\w+)['\"]\]")  # of a dictionary of switches


def check_effects(composed: Composition, *, entries: Sequence[str], sign: str = "") -> None:
    """Check that what the command line and the user's files set has an effect on a run.

    An option without one is refused. A file may also serve other networks or workflows, so that
    its ids without effect are reported by a warning; a default of stages, all of which have a value
    of their own, is refused there too.

    Args:
        composed: the config with overlays and overrides, macros replaced.
        entries: ids that are run.
        sign: prefix of the ids on the command line, for messages.

    Raises:
        ValueError: naming the id, and the file if it is from one.
    """
    config = composed.complete()
    own = load_named(composed.files[0], files_below())[0]
    read = ids_read(config, entries) | {_first(id_) for id_ in composed.macros}
    for id_, file in _given(composed):
        shown = f"{sign}{id_}" if file == COMMAND else f"{file}: {id_}"
        if id_ in OF_STAGES:
            _check_stage_default(composed, id_, shown)
        if _first(id_) in read or _first(id_) in ALWAYS or is_null(find(config, id_)):
            continue
        why = "with these config files, nothing that runs reads it"
        if file == COMMAND:
            raise ValueError(f"{shown}: would have no effect: {why}; leave it out")
        if _first(id_) in own:
            logger.warning("%s: has no effect: %s", shown, why)
    for id_, earlier, later in composed.replaced:
        if _is_of_user(composed, earlier) and is_shipped(later):
            logger.warning(
                "%s: %s: has no effect: %s, a later file, sets it too", earlier, id_, later
            )


def ids_read(config: Config, entries: Iterable[str]) -> set[str]:
    """Return the first parts of all ids that some ids refer to, directly or through others.

    A switch or an optional value is only read where a part of the config asks for it by name.

    Args:
        config: composed config, macros replaced.
        entries: ids to begin with.

    Example:
        >>> sorted(ids_read({"run": "$@net", "net": {"width": "@width"}, "width": 1}, ["run"]))
        ['net', 'run', 'width']
    """
    by_name = {
        key
        for key, part in config.items()
        if isinstance(part, Mapping) and part.get("_target_") in (SWITCHES, OPTIONAL)
    }
    seen, waiting = set(), list(entries)
    while waiting:
        id_ = waiting.pop()
        if id_ in seen:
            continue
        seen.add(id_)
        try:
            value = find(config, id_)
        except MissingError:
            continue
        for _, part in walk(value):
            for wanted in references_of(part):
                waiting += _asked_for(part, wanted) if wanted in by_name else [wanted]
    return {_first(id_) for id_ in seen}


def _asked_for(text: str, dictionary: str) -> list[str]:
    """Return the ids that a text reads from a dictionary; itself where it reads it as a whole."""
    keys: list[str] = []
    for rest in text.split(f"@{dictionary}")[1:]:
        match = _READ_ALONE.match(rest)
        keys.append(f"{dictionary}::{match[1]}" if match else dictionary)
    return keys


def _given(composed: Composition) -> Iterator[tuple[str, str]]:
    """Yield the ids that the command line or a file of the user sets, with the file."""
    for id_ in dict.fromkeys(composed.written):
        file = composed.file_of(id_)
        if file == COMMAND or _is_of_user(composed, file):
            yield id_, file


def _is_of_user(composed: Composition, file: str) -> bool:
    return file != composed.files[0] and not is_shipped(file)


def _check_stage_default(composed: Composition, id_: str, shown: str) -> None:
    """Refuse a default of stages all of which have a value of their own, not made of the default.

    Raises:
        ValueError: naming the strategy with its file.
    """
    strategy = composed.config.get("strategy")
    if isinstance(strategy, str):  # of a package, which also takes the data of MONAI Label
        prepared = composed.config.get("prepared")
        strategy = prepared.get("strategy") if isinstance(prepared, Mapping) else None
    stages: Any = strategy.get("stages") if isinstance(strategy, Mapping) else None
    if not isinstance(stages, list) or not all(isinstance(stage, Mapping) for stage in stages):
        return
    assert isinstance(strategy, Mapping)
    values = [stage.get(OF_STAGES[id_]) for stage in stages]
    if any(id_ in references_of(value) for value in values):
        return
    if values and None not in values:
        raise ValueError(
            f"{shown}: would have no effect: each stage of the strategy "
            f"{strategy.get('name')!r} in {composed.file_of('strategy')} has its own "
            f"{OF_STAGES[id_]} ({', '.join(map(str, values))}); add another strategy to "
            "config_file, or leave it out"
        )


def _first(id_: str) -> str:
    return id_.partition("::")[0]
