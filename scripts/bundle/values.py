"""Values that a command line or an overlay gives to the ids of a config: read as meant, or refused.

fire reads ``True`` as a boolean, but ``true``, ``false`` and ``null`` as text, which Python takes
for true. A config therefore passes its booleans through :func:`read_switches`, and the ids that may
be null through :func:`read_optional`. All other values must be of the kind of the bundle's own.
"""

from __future__ import annotations

import math
import re
from ast import literal_eval
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from scripts.bundle.compose import compose
from scripts.bundle.config_files import (
    MissingError,
    files_below,
    find,
    normalized,
    references_of,
    walk,
)
from scripts.running.options import TRUTHS, is_null, read_truth

SWITCHES = "scripts.bundle.values.read_switches"
OPTIONAL = "scripts.bundle.values.read_optional"
NO_WORDS = "must not be empty"
_OF_ONE_SHAPE = re.compile(r"(?:\w+_)?(size|window_hu|betas)")
ROOT_ID = "bundle_root"  # a path, also where a package finds it by a component


def read_switches(**switches: Any) -> dict[str, bool]:
    """Read the boolean ids of a config: true, false, yes, no, 1 or 0, in any case.

    A config uses the values as ``$@switches['resume']``, never ``@resume``.

    Args:
        switches: id -> value.

    Raises:
        ValueError: for any other value, naming the id.

    Example:
        >>> read_switches(resume="false", overwrite=True)
        {'resume': False, 'overwrite': True}
    """
    return {name: read_truth(name, value) for name, value in switches.items()}


def read_optional(**values: Any) -> dict[str, Any]:
    """Read the ids of a config that may be null: ``null`` and ``none`` in any case are None.

    A config uses the values as ``$@optional['normalise']``, never ``@normalise``.

    Args:
        values: id -> value.

    Raises:
        ValueError: for an empty text, naming the id.

    Example:
        >>> read_optional(normalise="null", width=64)
        {'normalise': None, 'width': 64}
    """
    empty = [name for name, value in values.items() if value == ""]
    if empty:
        raise ValueError(f"{empty[0]}: {NO_WORDS}; write none for none at all")
    return {name: None if is_null(value) else value for name, value in values.items()}


@dataclass(frozen=True)
class Values:
    """What the values of a config must be.

    Args:
        own: the bundle's config without overlays, macros replaced; its values show the kinds.
        merged: the config with all overlays, macros replaced.
    """

    own: Mapping[str, Any]
    merged: Mapping[str, Any]

    def _read_by(self, target: str) -> set[str]:
        """Return the ids that the config reads with a function of this module."""
        return {
            reference
            for _, part in walk(self.merged)
            if isinstance(part, dict) and part.get("_target_") == target
            for value in part.values()
            for reference in references_of(value)
        }

    @property
    def switches(self) -> set[str]:
        """The boolean ids that accept text."""
        return self._read_by(SWITCHES)

    @property
    def optional(self) -> set[str]:
        """The ids that may be null, and accept it as text."""
        return self._read_by(OPTIONAL)

    def read(self, name: str, value: Any, sign: str = "") -> Any:
        """Return a given value as its id means it.

        References, expressions, macros and components are returned as they are.

        Args:
            name: id, nested ones with ``#`` or ``::``.
            value: as fire or a JSON file gives it.
            sign: prefix of the id in messages.

        Raises:
            ValueError: for a value of another kind than that of the bundle's config.
        """
        id_, shown = normalized(name), f"{sign}{name}"
        if is_code(value):
            return value
        if id_ in self.switches:
            return read_truth(shown, value)
        if id_ in self.optional:
            return read_optional(**{shown: value})[shown]
        if id_ == ROOT_ID:
            return _text(shown, value, ".")
        default = self._default(id_)
        if "::" in id_ and isinstance(value, (list, tuple)) and not isinstance(default, list):
            return value  # an argument of a component may be a number or a list of them
        read = _read_like(shown, value, default)
        if "::" not in id_ and isinstance(read, (list, tuple)) and isinstance(default, list):
            _check_shape(shown, id_, read, default)
        return read

    def _default(self, id_: str) -> Any:
        """Return the bundle's own value, or that of an overlay if only that has the id."""
        for config in (self.own, self.merged):
            with suppress(MissingError):
                return find(config, id_)
        return None

    def check(self, name: str, value: Any, sign: str = "") -> None:
        """Refuse a value that MONAI would pass on as something else than is meant.

        Raises:
            ValueError: see :meth:`read`; and for text where the config does not convert it.
        """
        read = self.read(name, value, sign)
        converted = normalized(name) in self.switches | self.optional
        if not converted and (type(read) is not type(value) or read != value):
            raise ValueError(
                f"{sign}{name}: {value!r} would be passed on as "
                f"{'text' if isinstance(value, str) else 'a number'}; write {as_word(read)}"
            )


def values_of(files: Sequence[str]) -> Values:
    """Return what the values of composed config files must be."""
    own, merged = compose(files[:1], files_below()), compose(files, files_below())
    return Values(own.complete(), merged.complete())


def as_word(value: Any) -> str:
    """Return the word that ``monai.bundle run`` reads as a value.

    Example:
        >>> as_word(False), as_word("2024"), as_word("vgg16"), as_word(None)
        ('False', '"\\'2024\\'"', 'vgg16', 'null')
    """
    if isinstance(value, str):
        return value if re.fullmatch(r"[A-Za-z_/.][\w/.:-]*", value) else f'"{value!r}"'
    return "null" if value is None else repr(value)


def is_code(value: Any) -> bool:
    """Whether a value is evaluated by MONAI, so that its kind is not known from its text."""
    return (isinstance(value, str) and value[:1] in ("$", "@", "%")) or (
        isinstance(value, Mapping) and "_target_" in value
    )


def _read_like(shown: str, value: Any, default: Any) -> Any:
    """Return a value as one of the same kind as another value."""
    if isinstance(default, bool):
        return read_truth(shown, value)
    if isinstance(default, (int, float)):
        return _number(shown, value)
    if isinstance(default, list):
        return _list(shown, value, default)
    if isinstance(default, str) and not is_code(default):
        return _text(shown, value, default)
    read = _unknown(shown, value)
    is_part = isinstance(default, Mapping)
    if is_part and (isinstance(read, str) or not (is_code(default) or isinstance(read, Mapping))):
        kind = "component" if is_code(default) else "dictionary"
        raise ValueError(f"{shown}: must be a {kind}, got {value!r}; add its file to config_file")
    return read


def _number(shown: str, value: Any) -> Any:
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
            number = int(number) if re.fullmatch(r"\s*[+-]?\d+\s*", value) else number
        except ValueError:
            number = None
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not is_number or not math.isfinite(number):
        raise ValueError(f"{shown}: must be a number, got {value!r}")
    return number


def _list(shown: str, value: Any, default: list[Any]) -> Any:
    items = value
    if isinstance(value, str):
        try:
            items = literal_eval(value.strip())
        except (ValueError, SyntaxError):
            items = None
    if not isinstance(items, (list, tuple)):
        raise ValueError(f"{shown}: must be a list, such as {default!r}, got {value!r}")
    plain = [type(one) for one in default if isinstance(one, (int, float, str))]
    if not default or len(plain) < len(default) or any(map(is_code, (*items, *default))):
        return items
    read = [_read_like(shown, one, default[0]) for one in items]
    return items if read == list(items) else read


def _check_shape(shown: str, id_: str, value: Sequence[Any], default: list[Any]) -> None:
    """Check the numbers of a patch, for each axis, of a window in HU, and of Adam's betas.

    Raises:
        ValueError: for another number of them, sizes that are not whole, or a window whose upper
            end is not above its lower one.
    """
    if not (match := _OF_ONE_SHAPE.fullmatch(id_)) or any(map(is_code, (*value, *default))):
        return
    whole = match[1] == "size"
    kinds = int if whole else (int, float)
    fits = len(value) == len(default) and all(isinstance(one, kinds) for one in value)
    fits = fits and not (whole and min(value) < 1)
    if not fits or (match[1] == "window_hu" and value[0] >= value[1]):
        what = {"size": "whole numbers of at least 1", "window_hu": "numbers, the lower first"}
        raise ValueError(
            f"{shown}: must be {len(default)} {what.get(match[1], 'numbers')}, such as "
            f"{default!r}, got {list(value)!r}"
        )


def _text(shown: str, value: Any, default: str) -> Any:
    if isinstance(value, str):
        if default and not value.strip():
            raise ValueError(f"{shown}: {NO_WORDS}")
        if value.startswith("~/"):
            raise ValueError(f"{shown}: ~ would be the name of a folder here, write $HOME: {value}")
        if value.strip().lower() == "null":
            raise ValueError(f"{shown}: must be text, got {value!r}")
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{shown}: must be text, got {value!r}")


def _unknown(shown: str, value: Any) -> Any:
    """Read a value of an id whose kind the config does not show."""
    if isinstance(value, str):
        word = value.strip().lower()
        if not word or is_null(value):
            raise ValueError(f"{shown}: must have a value, got {value!r}; leave it out")
        if word in TRUTHS and not word.isdigit():
            return TRUTHS[word]
    return value
