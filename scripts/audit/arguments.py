"""Arguments of components, read from loaded modules and source text; nothing is imported."""

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
        target: value of ``_target_`` as written.
        names: resolves names; modules in the bundle come before this project's.

    Returns:
        None when the arguments are unknown: a package that is not loaded here, ``**kwargs``,
        positional-only arguments, or an inherited ``__init__`` or a decorator in source text.

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
    """Describe the first argument that a component does not take; empty when it takes all.

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
    """Describe what is wrong with an argument of a component of this project or MONAI, if any."""
    return unknown_argument(target, [name], Names())


def check_foreign_argument(target: object, name: str) -> str:
    """Check an argument as :func:`check_argument`, but accept any of the bundle's own modules.

    They have the package names of this project, which therefore cannot be looked up here.
    """
    own = str(target).partition(".")[0] in PROJECT
    return "" if own else check_argument(target, name)


def _of_loaded(name: str) -> tuple[str, ...] | None:
    """Read the signature of a function or class of a loaded module."""
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
        return None  # a file of a bundle; reported with its Python files
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            inits = [
                n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"
            ]
            return _of_function(inits[0], skip=1) if inits and not node.decorator_list else None
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _of_function(node)
    return None


def _of_function(node: ast.FunctionDef, *, skip: int = 0) -> tuple[str, ...] | None:
    """Read a function's arguments, without the first ``skip`` ones (``self``)."""
    arguments = node.args
    if arguments.kwarg is not None or arguments.posonlyargs or node.decorator_list:
        return None
    return tuple(one.arg for one in [*arguments.args[skip:], *arguments.kwonlyargs])
