"""Names in modules, looked up in loaded modules or source text; nothing is imported."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType

import monai.apps
import monai.bundle
import monai.engines
import monai.handlers
import monai.inferers
import monai.losses
import monai.metrics
import monai.networks.nets
import monai.optimizers
import monai.transforms  # noqa: F401  # loaded so that their names can be looked up
from monai.bundle import ComponentLocator

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("scripts", "custom_nets")
KNOWN = ("monai", "torch", "ignite", "numpy")
Reader = Callable[[str], bytes | None]
"""Maps the path of a Python file (``scripts/nets.py``) to its text; None if it does not exist."""


def is_ours(module: str, source: bytes) -> bool:
    """Whether a bundle's Python file is identical to this project's."""
    ours = ROOT / module
    return module.split("/")[0] in PROJECT and ours.is_file() and ours.read_bytes() == source


def follow_loaded(parts: list[str]) -> str:
    """Resolve a dotted name in loaded modules, without running attribute code.

    Returns:
        ``module.name`` of the definition; empty when the name cannot be resolved.
    """
    length = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules), 0)
    current: object = sys.modules.get(".".join(parts[:length]))
    for index in range(length, len(parts)):
        if not isinstance(current, (ModuleType, type)):
            return ""
        current = vars(current).get(parts[index])
        if isinstance(current, (type, FunctionType, BuiltinFunctionType)):
            if not current.__module__:
                return ""
            home = f"{current.__module__}.{current.__qualname__}"
            return ".".join([home, *parts[index + 1 :]])
    return current.__name__ if isinstance(current, ModuleType) else ""


def missing_in_loaded(name: str) -> bool:
    """Whether a name is certainly missing in a loaded module, which has no lazy attributes."""
    parts = name.split(".")
    length = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in sys.modules), 0)
    if length in (0, len(parts)):
        return False
    module = sys.modules[".".join(parts[:length])]
    folder = bool(getattr(module, "__path__", None)) and length + 1 < len(parts)
    lazy = "__getattr__" in vars(module) or folder
    return not lazy and parts[length] not in vars(module)


def own_source(path: str) -> bytes | None:
    """Read a Python file of this project; None if it does not exist."""
    file = ROOT / path
    return file.read_bytes() if file.is_file() else None


def split_module(name: str, read: Reader) -> tuple[str | None, list[str]]:
    """Split a dotted name into the path of its module, None if there is none, and the rest."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        stem = "/".join(parts[:length])
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if read(path) is not None:
                return path, parts[length:]
    return None, parts


@lru_cache(maxsize=512)
def top_names(source: bytes) -> Mapping[str, str]:
    """Map names defined in a module to "", imported names to the dotted names they stand for."""
    names: dict[str, str] = {}
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return names
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.setdefault(node.name, "")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, "")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.split(".")[0]] = alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def leads_to(source: bytes, rest: list[str]) -> str | None:
    """Return the dotted name that a module's attribute stands for.

    Returns:
        "" for a name defined in the module itself, None for an unknown name.
    """
    if not rest:
        return ""
    origin = top_names(source).get(rest[0])
    return ".".join([origin, *rest[1:]]) if origin else origin


@lru_cache(maxsize=1)
def _locator() -> ComponentLocator:
    """Return MONAI's table of its components."""
    return ComponentLocator()


@lru_cache(maxsize=1)
def component_names() -> list[str]:
    """List the names of MONAI's components."""
    locator = _locator()
    locator.get_component_module_name("Compose")
    return sorted(locator._components_table or [])


@lru_cache(maxsize=4096)
def component_of(name: str) -> str | None:
    """Return the dotted name of the MONAI component with a short name; None if there is none.

    Example:
        >>> component_of("Compose"), component_of("os.system")
        ('monai.transforms.compose.Compose', None)
    """
    modules = None if "." in name else _locator().get_component_module_name(name)
    if not modules:
        return None
    return f"{modules if isinstance(modules, str) else modules[0]}.{name}"


@lru_cache(maxsize=512)
def is_installed(root: str) -> bool:
    """Whether a package is installed; it is not imported."""
    folders = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return PathFinder.find_spec(root, folders) is not None
