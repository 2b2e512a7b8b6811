"""Check of the ids in command-line overrides; unknown ones are refused with suggestions."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from monai.bundle import ReferenceResolver

ArgumentCheck = Callable[[object, str], str]
"""Maps a ``_target_`` and an argument name to a description of what is wrong, empty if valid."""

TRAINED = "trained"  # id by which a config takes settings from the model file
MOST_NEAR = 8  # ids in a message

# ids that MONAI's experiment tracking reads in any bundle
TRACKING_IDS = ("tracking_uri", "experiment_name", "run_name", "save_execute_config")


def refuse_unknown_ids(
    config: Mapping[str, Any],
    overrides: Iterable[str],
    sign: str = "",
    *,
    check_argument: ArgumentCheck | None = None,
    of_training: Collection[str] = (),
) -> None:
    """Check that the config has every id that is overridden.

    MONAI creates a misspelt id, which nothing reads, so that the run would silently use the
    default. Only a component can be given a further argument (``network_def::width``).

    Args:
        config: merged config files, before overrides and macros are resolved.
        overrides: ids, nested ones with ``#`` or ``::``; a leading ``+`` adds to the value. If it
            maps ids to values, arguments are checked against an overridden ``_target_``.
        sign: prefix of the ids on the command line, for the message.
        check_argument: checks whether a component has an argument; None for no check.
        of_training: ids of the bundle's training config, which a config of evaluation or inference
            reads from the trained network instead.

    Raises:
        ValueError: for an unknown id, with the nearest valid ones.

    Example:
        >>> refuse_unknown_ids({"train": {"handlers": [{}]}}, ["train#handler#0"])
        Traceback (most recent call last):
        ...
        ValueError: train#handler#0: no such id; did you mean train::handlers?
    """
    values = overrides if isinstance(overrides, Mapping) else dict.fromkeys(overrides)
    given = {_path(override): value for override, value in values.items()}
    for override in values:
        path, shown = _path(override), f"{sign}{override}"
        if path in TRACKING_IDS:
            continue
        first = path.partition("::")[0]
        if first not in config and first in of_training and TRAINED in config:
            raise ValueError(
                f"{shown}: a setting of training, which is read from the file of the trained "
                "network (ckpt_path); leave it out"
            )
        component = _follow(config, path, shown, adds=override.startswith("+"))
        if component is None or _is_replaced(path, given):
            continue
        parent, _, argument = path.rpartition("::")
        target = given.get(f"{parent}::_target_", component["_target_"])
        wrong = check_argument(target, argument) if check_argument else ""
        if wrong:
            raise ValueError(f"{shown}: {target} {wrong}")


def _path(override: str) -> str:
    path: str = ReferenceResolver.normalize_id(override.removeprefix("+"))
    return path


def _is_replaced(path: str, given: Collection[str]) -> bool:
    """Whether a parent of an id is overridden as a whole, possibly by another component."""
    keys = path.split("::")
    return any("::".join(keys[:depth]) in given for depth in range(1, len(keys)))


def _follow(config: Any, path: str, shown: str, *, adds: bool) -> Mapping[str, Any] | None:
    """Look up an id key by key.

    Returns:
        The component that the id gives a new argument, None for an existing id.

    Raises:
        ValueError: for an unknown id, or one inside a text.
    """
    keys, current = path.split("::"), config
    for depth, key in enumerate(keys):
        above = "::".join(keys[:depth])
        if isinstance(current, str) and current[:1] in "%@$":
            raise ValueError(
                f"{shown}: {above} is {current!r}, which has no parts to set; add the file that "
                "contains it to config_file, or set the id that it refers to"
            )
        children = _children(current)
        if key in children:
            current = children[key]
            continue
        component = current if isinstance(current, Mapping) and "_target_" in current else None
        if component is not None and depth == len(keys) - 1 and not adds:
            return component
        raise ValueError(f"{shown}: no such id{_advice(config, path, above, key)}")
    return None


def _children(current: Any) -> dict[str, Any]:
    """Return the items of a dictionary or list by the keys that may follow its id."""
    if isinstance(current, Mapping):
        return {str(key): value for key, value in current.items()}
    if isinstance(current, list):
        return {str(index): value for index, value in enumerate(current)}
    return {}


def _advice(config: Any, path: str, above: str, key: str) -> str:
    """Suggest valid ids for a misspelt one: similar ones, or its siblings if they are few."""
    near = _nearest(config, path, above, key)
    if near:
        return f"; did you mean {', '.join(near)}?"
    siblings = _siblings(config, above) or [above]
    where = f"{above} has" if above else "the config has"
    if len(siblings) > MOST_NEAR:
        return f", and none is similar; {where} {len(siblings)} ids"
    return f"; {where} {', '.join(siblings)}"


def _siblings(config: Any, above: str) -> list[str]:
    lead = f"{above}::" if above else ""
    for key in above.split("::") if above else []:
        config = _children(config)[key]
    return [lead + one for one in sorted(_children(config))]


def _nearest(config: Any, path: str, above: str, key: str) -> list[str]:
    """Return valid ids similar to a misspelt one, in its parent or anywhere."""
    lead = f"{above}::" if above else ""
    valid = [one.removeprefix(lead) for one in _siblings(config, above)]
    near = [lead + one for one in difflib.get_close_matches(key, valid, n=3, cutoff=0.5)]
    if near:
        return near
    everywhere = list(all_ids(config))
    leaf = path.rpartition("::")[2]
    near = [one for one in everywhere if one.rpartition("::")[2] == leaf][:3]
    return near or difflib.get_close_matches(path, everywhere, n=3, cutoff=0.5)


def all_ids(config: Any, parent: str = "") -> Iterable[str]:
    """Yield every id of a config, below ``parent``.

    Example:
        >>> list(all_ids({"train": {"handlers": [1]}}))
        ['train', 'train::handlers', 'train::handlers::0']
    """
    for key, value in _children(config).items():
        inner = f"{parent}::{key}" if parent else key
        yield inner
        yield from all_ids(value, inner)
