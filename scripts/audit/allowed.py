"""What a shared config may name: the list (``allowed.ini``) that every audit judges by.

Anything that is not listed is refused, harmful or not. Those arguments of listed components that
are folders, files, names of code or switches are judged by value (:mod:`scripts.audit.arguments`).
"""

from __future__ import annotations

import sys
from configparser import RawConfigParser
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

import monai  # noqa: F401  # loads all its modules, so that their names can be looked up

LOADED = ("monai", "torch", "ignite", "numpy")


def _read_lists() -> dict[str, dict[str, frozenset[str]]]:
    """Read the sections of the list, each a name for a set of words."""
    parser = RawConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keeps capitals
    parser.read(Path(__file__).with_name("allowed.ini"), encoding="utf-8")
    return {
        name: {key: frozenset(words.split()) for key, words in section.items()}
        for name, section in parser.items()
    }


_LISTS = _read_lists()
COMPONENTS = _LISTS["components"]
PLAIN_BUILTINS, ATTRIBUTES = (_LISTS["expressions"][k] for k in ("builtins", "attributes"))
READ, WRITTEN, FILE_NAMES, NAMED_CODE, NAMES_OF_CODE, PASSED_ON = _LISTS["arguments"].values()
_HARM = {name: why.split(": ", 1) for why, names in _LISTS["harm"].items() for name in names}

# arguments that may have one value only, and why
ONLY = {
    "weights_only": (True, "unpickles: a file that it reads can run any code"),
    "allow_pickle": (False, "unpickles: a file that it reads can run any code"),
    "pickle_module": (None, "unpickles: a file that it reads can run any code"),
    "pretrained": (False, "downloads published weights"),
    "multiprocessing_context": (None, "starts processes of its own"),
    "summary_writer": (None, "writes to a place that is not in the config"),
    "_debug_": (False, "stops in a debugger and waits for the keyboard"),
}


@lru_cache(maxsize=4096)
def harm_of(name: str) -> tuple[str, str]:
    """Return the kind and description of a name's known harm; empty for any other name.

    Example:
        >>> harm_of("os.execv"), harm_of("os.path.join")
        (('process', 'runs programs or ends processes'), ('', ''))
    """
    name = name.removeprefix("builtins.")
    root, _, rest = name.partition(".")
    name = f"os.{rest}" if root in ("posix", "nt") and rest else name
    for known, (kind, why) in _HARM.items():
        wild = known.endswith("*") and name.startswith(known[:-1])
        if wild or name == known or name.startswith(f"{known}."):
            return kind, why
    return "", ""


@lru_cache(maxsize=1)
def listed_names() -> frozenset[str]:
    """Return every listed dotted name, and the definitions that the listed names lead to."""
    names = set()
    for package, listed in COMPONENTS.items():
        for one in listed:
            endings = ("", "d", "D", "Dict") if package == "monai.transforms" else ("",)
            names |= {f"{package}.{one}{end}" for end in endings}
    return frozenset(names | {definition_of(name) for name in names} - {""})


@lru_cache(maxsize=1)
def listed_modules() -> frozenset[str]:
    """Return the modules with listed names, and the packages around them."""
    modules = {name.rpartition(".")[0] for name in listed_names()} | {"ignite.utils", "warnings"}
    return frozenset(
        ".".join(parts[:length])
        for parts in (module.split(".") for module in modules)
        for length in range(1, len(parts) + 1)
    )


def loaded(name: str) -> tuple[object, list[str]]:
    """Follow a dotted name in loaded modules, without running code of attributes.

    Returns:
        The module, class or function that it leads to, None for anything else, and the parts of
        the name after a function or class.
    """
    parts = name.split(".")
    length = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules), 0)
    current: object = sys.modules.get(".".join(parts[:length]))
    for index in range(length, len(parts)):
        if not isinstance(current, ModuleType):
            break
        current = vars(current).get(parts[index])
        if isinstance(current, (type, FunctionType, BuiltinFunctionType)):
            return current, parts[index + 1 :]
    return (current if isinstance(current, ModuleType) else None), []


@lru_cache(maxsize=4096)
def definition_of(name: str) -> str:
    """Return where a name of a loaded module is defined; empty if that is not known.

    Example:
        >>> definition_of("monai.transforms.Compose"), definition_of("torch.os.system")
        ('monai.transforms.compose.Compose', 'posix.system')
    """
    value, rest = loaded(name)
    if isinstance(value, ModuleType):
        return value.__name__
    if not isinstance(value, (type, FunctionType, BuiltinFunctionType)) or not value.__module__:
        return ""
    return ".".join([value.__module__, value.__qualname__, *rest])


def is_listed(name: str) -> bool:
    """Whether a config may name a class, function or constant.

    Example:
        >>> is_listed("monai.transforms.LoadImaged"), is_listed("torch.os.system"), is_listed("len")
        (True, False, True)
    """
    if name.removeprefix("builtins.") in PLAIN_BUILTINS:
        return True
    root = name.partition(".")[0]
    return name in listed_names() or (root in LOADED and definition_of(name) in listed_names())
