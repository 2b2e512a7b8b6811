"""Unknown ids on a command line: refused, with the nearest valid ones."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from monai.bundle import ReferenceResolver

ArgumentCheck = Callable[[object, str], str]
"""Maps a ``_target_`` and the name of an argument to what is wrong with it; empty for nothing."""

# ids that MONAI's experiment tracking reads, in whatever bundle
TRACKING_IDS = ("tracking_uri", "experiment_name", "run_name", "save_execute_config")


def refuse_unknown_ids(
    config: Mapping[str, Any],
    overrides: Iterable[str],
    sign: str = "",
    *,
    check_argument: ArgumentCheck | None = None,
) -> None:
    """Stop where an override names an id that the config does not have.

    MONAI makes a new id of a misspelt one, which nothing reads: the run would continue with the
    default. Only a component takes a further argument (``network_def::width``).

    Args:
        config: the merged config files, before overrides and macros are resolved.
        overrides: ids, nested ones with ``#`` or ``::``; a leading ``+`` adds to what is there.
            With values, an argument is held against the ``_target_`` that is given, if any.
        sign: what the user typed before an id, for the message.
        check_argument: says whether a component has such an argument; None leaves that to the
            component itself.

    Raises:
        ValueError: naming the id and the nearest valid ones.

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
        component = _follow(config, path, shown, adds=override.startswith("+"))
        if component is None or _is_replaced(path, given):
            continue
        place, _, argument = path.rpartition("::")
        target = given.get(f"{place}::_target_", component["_target_"])
        wrong = check_argument(target, argument) if check_argument else ""
        if wrong:
            raise ValueError(f"{shown}: {target} {wrong}")


def _path(override: str) -> str:
    path: str = ReferenceResolver.normalize_id(override.removeprefix("+"))
    return path


def _is_replaced(path: str, given: Collection[str]) -> bool:
    """Whether something above an id is overridden as a whole, and may be another component."""
    keys = path.split("::")
    return any("::".join(keys[:depth]) in given for depth in range(1, len(keys)))


def _follow(config: Any, path: str, shown: str, *, adds: bool) -> Mapping[str, Any] | None:
    """Go down an id, key by key; return the component that it gives a further argument, if any."""
    keys, current = path.split("::"), config
    for depth, key in enumerate(keys):
        above = "::".join(keys[:depth])
        if isinstance(current, str) and current[:1] in "%@$":
            raise ValueError(
                f"{shown}: {above} is {current!r}, which has no parts to set; add the file that "
                "holds it to config_file, or set the id it refers to"
            )
        found = _children(current)
        if key in found:
            current = found[key]
            continue
        component = current if isinstance(current, Mapping) and "_target_" in current else None
        if component is not None and depth == len(keys) - 1 and not adds:
            return component
        near = _nearest(config, path, above, key, list(found))
        raise ValueError(f"{shown}: no such id; did you mean {', '.join(near)}?")
    return None


def _children(current: Any) -> dict[str, Any]:
    """Return the keys that may follow an id."""
    if isinstance(current, Mapping):
        return {str(key): value for key, value in current.items()}
    if isinstance(current, list):
        return {str(index): value for index, value in enumerate(current)}
    return {}


def _nearest(config: Any, path: str, above: str, key: str, valid: list[str]) -> list[str]:
    """Return valid ids near a misspelt one: of its level, then of any, then its whole level."""
    lead = f"{above}::" if above else ""
    near = [lead + one for one in difflib.get_close_matches(key, valid, n=3, cutoff=0.5)]
    if near:
        return near
    everywhere = list(all_ids(config))
    leaf = path.rpartition("::")[2]
    near = [one for one in everywhere if one.rpartition("::")[2] == leaf][:3]
    near = near or difflib.get_close_matches(path, everywhere, n=3, cutoff=0.5)
    return near or [lead + one for one in sorted(valid)] or [above]


def all_ids(config: Any, place: str = "") -> Iterable[str]:
    """Yield every id of a config.

    Example:
        >>> list(all_ids({"train": {"handlers": [1]}}))
        ['train', 'train::handlers', 'train::handlers::0']
    """
    for key, value in _children(config).items():
        inner = f"{place}::{key}" if place else key
        yield inner
        yield from all_ids(value, inner)
