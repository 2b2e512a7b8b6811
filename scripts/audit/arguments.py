"""Which arguments a component takes, by loaded modules and source text: nothing is imported."""

from __future__ import annotations

import ast
import difflib
import inspect
import sys
from collections.abc import Iterable
from functools import lru_cache
from types import FunctionType, ModuleType

from scripts.audit.modules import KNOWN, PROJECT, component_of
from scripts.audit.names import Names

# MONAI's own keys of a component (monai.bundle.config_item)
RESERVED = ("_target_", "_disabled_", "_requires_", "_desc_", "_mode_")


def arguments_of(target: str, names: Names) -> tuple[str, ...] | None:
    """Return the names of the arguments that a ``_target_`` takes.

    Args:
        target: as it is written.
        names: knows the modules that the bundle brings, which come before this project's.

    Returns:
        None where they are not known: a package not loaded here, ``**kwargs``, an inherited
        ``__init__`` or a decorator in source text, positional arguments only.

    Example:
        >>> dice = arguments_of("DiceLoss", Names())
        >>> arguments_of("scripts.training.precision.nothing", Names()), "sigmoid" in dice
        (None, True)
    """
    name = component_of(target) or target
    source, rest = names.source_of(name)
    if source is not None:
        return _of_source(source, rest[0]) if len(rest) == 1 else None
    return _of_loaded(name) if name.partition(".")[0] in KNOWN else None


def unknown_argument(target: object, given: Iterable[str], names: Names) -> str:
    """Say which of the arguments given a component does not take; empty where all is well.

    Example:
        >>> unknown_argument("DiceLoss", ["sigmod"], Names())
        'takes no sigmod; did you mean sigmoid?'
    """
    taken = arguments_of(target, names) if isinstance(target, str) else None
    wrong = [key for key in given if taken is not None and key not in (*taken, *RESERVED)]
    if taken is None or not wrong:
        return ""
    near = difflib.get_close_matches(wrong[0], taken, n=3, cutoff=0.6) or sorted(taken)
    return f"takes no {wrong[0]}; did you mean {', '.join(near)}?"


def check_argument(target: object, name: str) -> str:
    """Say what is wrong with one argument for one of this project's or MONAI's components."""
    return unknown_argument(target, [name], Names())


def check_foreign_argument(target: object, name: str) -> str:
    """Do the same where a bundle brings modules of this project's names, which are not judged."""
    own = str(target).partition(".")[0] in PROJECT
    return "" if own else check_argument(target, name)


def _of_loaded(name: str) -> tuple[str, ...] | None:
    """Read the signature of what a module that is loaded already holds."""
    parts = name.split(".")
    length = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules), 0)
    current: object = sys.modules.get(".".join(parts[:length]))
    for part in parts[length:]:
        if not isinstance(current, (ModuleType, type)):
            return None
        current = vars(current).get(part)
    if not isinstance(current, (type, FunctionType)):
        return None
    try:
        parameters = inspect.signature(current).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind in (p.VAR_KEYWORD, p.POSITIONAL_ONLY) for p in parameters):
        return None
    return tuple(p.name for p in parameters)


@lru_cache(maxsize=512)
def _of_source(source: bytes, name: str) -> tuple[str, ...] | None:
    """Read the signature of a function or class from the text of its module."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # of a bundle; reported with its Python files
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            made = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
            return _of_function(made[0], skip=1) if made and not node.decorator_list else None
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _of_function(node)
    return None


def _of_function(node: ast.FunctionDef, *, skip: int = 0) -> tuple[str, ...] | None:
    """Read a function's arguments; ``skip`` leaves self out."""
    given = node.args
    if given.kwarg is not None or given.posonlyargs or node.decorator_list:
        return None
    return tuple(one.arg for one in [*given.args[skip:], *given.kwonlyargs])
