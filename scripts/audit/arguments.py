"""Arguments of components: which they take, and which values a shared config may give."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from types import FunctionType
from typing import Any, NamedTuple

from scripts.audit.allowed import (
    FILE_NAMES,
    LOADED,
    NAMED_CODE,
    NAMES_OF_CODE,
    ONLY,
    PASSED_ON,
    READ,
    WRITTEN,
    definition_of,
    loaded,
)
from scripts.audit.findings import HIGH, LOW, MEDIUM, PROBLEM, Sign
from scripts.audit.names import PROJECT, Names, component_of
from scripts.audit.static_values import UNKNOWN, path_sign

# MONAI's own keys of a component (monai.bundle.config_item)
RESERVED = ("_target_", "_disabled_", "_requires_", "_desc_", "_mode_")
STARTABLE = (".py", ".pth", ".pyc", ".so", ".sh", ".bat", ".cmd", ".exe", ".html", ".js", ".ipynb")


class Arguments(NamedTuple):
    """Arguments that a component takes.

    Args:
        names: names, positional ones in order.
        is_open: whether it passes further ones on (``**kwargs``).
        default_true: those that are on unless the config says otherwise.
    """

    names: tuple[str, ...]
    is_open: bool = False
    default_true: frozenset[str] = frozenset()


def arguments_of(target: str, names: Names) -> Arguments | None:
    """Return the arguments that a ``_target_`` takes.

    Args:
        target: value of ``_target_`` as written.
        names: resolves names; modules in the bundle come before this project's.

    Returns:
        None when the arguments are unknown: a package that is not loaded here, positional-only
        arguments, or an inherited ``__init__`` or a decorator in source text.

    Example:
        >>> dice = arguments_of("DiceLoss", Names())
        >>> arguments_of("scripts.training.precision.nothing", Names()), "sigmoid" in dice.names
        (None, True)
    """
    name = component_of(target) or target
    source, rest = names.source_of(name)
    if source is not None:
        return _of_source(source, rest[0]) if len(rest) == 1 else None
    return _of_loaded(name) if name.partition(".")[0] in (*LOADED, "glob") else None


def unknown_argument(target: object, given: Iterable[str], names: Names) -> str:
    """Describe the first argument that a component does not take; empty when it takes all.

    Example:
        >>> unknown_argument("DiceLoss", ["sigmod"], Names())
        'takes no sigmod; did you mean sigmoid?'
    """
    taken = arguments_of(target, names) if isinstance(target, str) else None
    wrong = [key for key in given if taken and key not in (*taken.names, *RESERVED)]
    if taken is None or taken.is_open or not wrong:
        return ""
    near = difflib.get_close_matches(wrong[0], taken.names, n=3) or sorted(taken.names)
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


def takes_paths(target: str, names: Names) -> bool:
    """Whether a component has arguments that are folders, files or names of code."""
    taken = arguments_of(target, names)
    return taken is not None and bool({*taken.names} & (READ | WRITTEN | NAMED_CODE))


def judge_arguments(
    target: str, given: Mapping[str, Any], names: Names
) -> Iterator[tuple[str, Sign]]:
    """Judge the values of a listed component's arguments.

    Args:
        target: the component as written.
        given: arguments and their values, UNKNOWN for those known only when the config runs.
        names: judge of names.

    Returns:
        Arguments, empty for the component itself, and signs.
    """
    taken = arguments_of(target, names) or Arguments(())
    passes_on = taken.is_open and target.partition(".")[0] not in PROJECT
    wrong = unknown_argument(target, given, names)
    if wrong:
        yield "", Sign(PROBLEM, "name", target, wrong)
    for key in sorted(taken.default_true & ONLY.keys() - given.keys()):
        if ONLY[key][0] is not True:
            yield "", Sign(MEDIUM, "network", target, f"{ONLY[key][1]} unless {key} is false")
    if "weights_only" not in given and definition_of(target) == "torch.serialization.load":
        yield "", Sign(HIGH, "pickle", target, ONLY["weights_only"][1])
    if definition_of(target) == "torch.export.load" and not str(given.get("f")).endswith(".pt2"):
        why = "must name a .pt2, which is examined: another file can run any code"
        yield "f", Sign(HIGH, "pickle", target, why)
    for key, value in given.items():
        if passes_on and key not in (*taken.names, *RESERVED, *PASSED_ON, *ONLY):
            yield key, Sign(MEDIUM, "target", f"{target}({key}=...)", "passed on, to unlisted code")
        for one in value if isinstance(value, list) else [value]:
            yield from ((key, sign) for sign in _value(key, one, names))


def _value(key: str, value: Any, names: Names) -> Iterator[Sign]:
    """Judge one value of an argument."""
    if key == "pretrained" and isinstance(value, str) and value.lower() not in ("true", "false"):
        key = "path"
    if key in ONLY:
        allowed, why = ONLY[key]
        if value not in (allowed, None) and str(value).lower() != str(allowed).lower():
            level = HIGH if "unpickles" in why else MEDIUM
            shown = "(computed)" if value is UNKNOWN else value
            yield Sign(level, "pickle" if level == HIGH else "code", f"{key}={shown}", why)
    elif key in READ | WRITTEN:
        if isinstance(value, str):
            sign = path_sign(value, written=key in WRITTEN)
            if sign.level != LOW or "/" in value or "." in value:
                yield sign
        elif value is UNKNOWN:
            yield Sign(
                MEDIUM, "write" if key in WRITTEN else "read", key, "a path computed at run time"
            )
    elif key in FILE_NAMES and isinstance(value, str):
        if "/" in value or "\\" in value or value.lower().endswith(STARTABLE):
            yield Sign(HIGH, "write", f"{key}={value}", "must be the name of a data file")
    elif key in NAMED_CODE and isinstance(value, str) and value.lower() not in NAMES_OF_CODE:
        sign = names.judge(value, target=True)
        if sign.level != LOW:
            yield Sign(sign.level, sign.kind, value, f"a name that the component calls: {sign.why}")


@lru_cache(maxsize=1024)
def _of_loaded(name: str) -> Arguments | None:
    """Read the signature of a function or class of a loaded module."""
    value, rest = loaded(name)
    if rest or not isinstance(value, (type, FunctionType)):
        return None
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.POSITIONAL_ONLY for p in parameters):
        return None
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    is_open = any(p.kind is p.VAR_KEYWORD for p in parameters)
    true = frozenset(p.name for p in named if p.default is True)
    return Arguments(tuple(p.name for p in named), is_open, true)


@lru_cache(maxsize=512)
def _of_source(source: bytes, name: str) -> Arguments | None:
    """Read the signature of a function or class from the text of its module."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # a file of a bundle; reported with its Python files
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            functions = [one for one in node.body if isinstance(one, ast.FunctionDef)]
            init = next((one for one in functions if one.name == "__init__"), None)
            return _of_function(init, skip=1) if init and not node.decorator_list else None
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _of_function(node)
    return None


def _of_function(node: ast.FunctionDef, *, skip: int = 0) -> Arguments | None:
    """Read a function's arguments, without the first ``skip`` ones (``self``)."""
    arguments = node.args
    if arguments.posonlyargs or node.decorator_list:
        return None
    names = tuple(one.arg for one in [*arguments.args[skip:], *arguments.kwonlyargs])
    return Arguments(names, arguments.kwarg is not None)
