"""Dotted names in a bundle's configs, judged by the list; nothing is imported."""

from __future__ import annotations

import ast
import builtins
import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib.machinery import PathFinder
from pathlib import Path

from monai.bundle import ComponentLocator

from scripts.audit.allowed import definition_of, harm_of, is_listed, listed_modules, listed_names
from scripts.audit.findings import HIGH, LOW, MEDIUM, Sign

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ("scripts", "custom_nets")
LOCATOR = ComponentLocator()  # MONAI's table of its components
Reader = Callable[[str], bytes | None]
"""Maps the path of a Python file (``scripts/nets.py``) to its text; None if it does not exist."""


class Names:
    """Judge of the dotted names in the configs of one bundle.

    Args:
        read: returns a Python file of the bundle by its path (``scripts/nets.py``), None if it
            does not exist. The bundle's modules come before this project's.
    """

    def __init__(self, read: Reader | None = None) -> None:
        self._read = read or (lambda path: None)

    def judge(self, name: str, *, target: bool = False) -> Sign:
        """Judge whether a config may name a class, function or constant.

        Args:
            name: dotted name as written.
            target: whether it is a ``_target_``, where MONAI's components need no module.

        Example:
            >>> Names().judge("torch.nn.L1Loss").level, Names().judge("torch.os.system").kind
            ('low', 'process')
        """
        full = (component_of(name) if target else None) or name
        return self._of_bundle(full) or _of_list(name, full, target)

    def judge_import(self, name: str) -> Sign:
        """Judge the import of a module, or of a name in a module."""
        own = self._of_bundle(name)
        if own is None and name in listed_modules():
            return Sign(LOW, "import", name, "a listed module")
        sign = own or self.judge(name)
        return Sign(sign.level, sign.kind if sign.level == HIGH else "import", name, sign.why)

    def source_of(self, name: str) -> tuple[bytes | None, list[str]]:
        """Return the source of the module that defines a name, and the rest of the name.

        A module of the bundle comes before one of this project; the source is None for any other.
        """
        readers = [self._read, own_source] if name.split(".")[0] in PROJECT else [self._read]
        for read in readers:
            module, rest = split_module(name, read)
            if module is not None:
                return read(module), rest
        return None, []

    def _of_bundle(self, name: str) -> Sign | None:
        """Judge a name whose module, or a package around it, is the bundle's own; else None."""
        for path, _ in _modules_of(name):
            source = self._read(path)
            if source is not None and not is_ours(path, source):
                return Sign(MEDIUM, "code", name, f"runs Python of the bundle: {path}")
        return None


@lru_cache(maxsize=4096)
def _of_list(name: str, full: str, target: bool) -> Sign:
    """Judge a name outside the bundle, written in short as ``name``."""
    if any(is_internal(part) for part in name.split(".")):
        return Sign(HIGH, "code", name, "reaches Python's insides")
    if is_listed(full):
        return Sign(LOW, "target", name, "listed")
    for meaning in (full, definition_of(full)):
        kind, why = harm_of(meaning)
        if why:
            leads = "" if meaning == full else f"leads to {meaning}: "
            return Sign(HIGH, kind, name, f"{leads}{why}")
    return Sign(MEDIUM, "target", name, f"not on the list{_hint(name, full, target)}")


def _hint(name: str, full: str, target: bool) -> str:
    """Say which listed name may be meant, or that there is no such package."""
    known: Iterable[str] = listed_names()
    if target and "." not in name:
        known, full = [one.rpartition(".")[2] for one in known], name
    near = difflib.get_close_matches(full, known, n=1, cutoff=0.85)
    root = full.partition(".")[0]
    exists = root in PROJECT or root in sys.stdlib_module_names or hasattr(builtins, root)
    unknown = "" if exists or is_installed(root) else ": it is neither installed nor in the bundle"
    return f"; did you mean {near[0]}?" if near else unknown


def is_internal(name: str) -> bool:
    """Whether a name is private or a Python internal (``__class__`` ...).

    Example:
        >>> is_internal("__subclasses__"), is_internal("_modules"), is_internal("size")
        (True, True, False)
    """
    return name.startswith("_") and name != "_"


def is_ours(module: str, source: bytes) -> bool:
    """Whether a file of a bundle is identical to this project's: Python, a page, a list."""
    ours = ROOT / module
    return module.split("/")[0] in PROJECT and ours.is_file() and ours.read_bytes() == source


def own_source(path: str) -> bytes | None:
    """Read a Python file of this project; None if it does not exist."""
    file = ROOT / path
    return file.read_bytes() if file.is_file() else None


def _modules_of(name: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the files that may define a dotted name, innermost first, and the rest of the name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        stem = "/".join(parts[:length])
        yield f"{stem}.py", parts[length:]
        yield f"{stem}/__init__.py", parts[length:]


def split_module(name: str, read: Reader) -> tuple[str | None, list[str]]:
    """Split a dotted name into the path of its module, None if there is none, and the rest."""
    found = (one for one in _modules_of(name) if read(one[0]) is not None)
    return next(found, (None, name.split(".")))


@lru_cache(maxsize=4096)
def component_of(name: str) -> str | None:
    """Return the dotted name of the MONAI component with a short name; None if there is none.

    Example:
        >>> component_of("Compose"), component_of("os.system")
        ('monai.transforms.compose.Compose', None)
    """
    modules = None if "." in name else LOCATOR.get_component_module_name(name)
    if not modules:
        return None
    return f"{modules if isinstance(modules, str) else modules[0]}.{name}"


@lru_cache(maxsize=512)
def is_installed(root: str) -> bool:
    """Whether a package is installed; it is not imported."""
    folders = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    return PathFinder.find_spec(root, folders) is not None


def imports_of(tree: ast.AST) -> dict[str, str]:
    """Map the names that import statements define to the dotted names they stand for."""
    imports: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                imports |= {alias.asname: alias.name} if alias.asname else {root: root}
        elif isinstance(node, ast.ImportFrom):
            home = f"{'.' * node.level}{node.module or ''}"
            imports |= {alias.asname or alias.name: f"{home}.{alias.name}" for alias in node.names}
    return imports
