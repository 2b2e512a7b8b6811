"""Python modules that a bundle's configs need, found by parsing imports."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGES = ("scripts", "custom_nets")
WHOLE = "custom_nets"
PREDICTION = ("scripts.__main__.main", "scripts.prediction.predict_command.predict")
"""What ``python -m scripts predict`` needs besides a bundle's configs."""
REGISTRIES = ("scripts/__main__.py", "scripts/commands.py", "scripts/datasets/known.py")
"""Modules that name others for those who ask for them: a package brings what it needs only."""
OPTIONAL = ("openvino",)
"""Packages that the modules import only if they are installed."""
NAMED = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)+:\w+")
DOTTED = re.compile(rf"\b(?:{'|'.join(PACKAGES)})(?:\.\w+)+")


def needed_files(configs: Iterable[Any], *, root: Path) -> list[Path]:
    """List the project's files that configs use: modules, ``__init__.py``, and what lies beside.

    Every dotted name of ``scripts`` or ``custom_nets`` in a config's text counts: ``_target_``, the
    name of a reader, an expression. Imports are followed, including those inside functions and
    texts ``module:function``, and so are the pages and scripts in a module's folder. If one
    module of ``custom_nets`` is needed, all are included: in a program that loads two packages
    (MONAI Label, which reloads only ``scripts``) those of the first package serve both.

    Args:
        configs: flattened configs.
        root: folder that contains ``scripts`` and ``custom_nets``.

    Returns:
        Files, sorted.

    Raises:
        ValueError: for a name that does not exist in the project.
    """
    names = sorted({name for config in configs for name in dotted_names(config)})
    pending = [_module_of(name, root) for name in names]
    if any(root / WHOLE in file.parents for file in pending):
        pending += (root / WHOLE).glob("*.py")
    needed: set[Path] = set()
    while pending:
        file = pending.pop()
        if file in needed:
            continue
        needed.add(file)
        package = file.parent if file.name != "__init__.py" else file.parent.parent
        if package != root:
            pending.append(package / "__init__.py")
        own = {name for name in imported_names(file, root) if name.split(".")[0] in PACKAGES}
        if file.relative_to(root).as_posix() not in REGISTRIES:
            own |= named_modules(file)
        pending += [_module_of(name, root) for name in own]
    folders = {file.parent for file in needed} - {root / package for package in PACKAGES}
    return sorted(needed.union(*(_beside(folder) for folder in folders)))


def named_modules(file: Path) -> set[str]:
    """Return the modules that a module names as ``module:function``, to import them when used."""
    return {text.partition(":")[0] for text in _parsed(file).texts if NAMED.fullmatch(text)}


def _beside(folder: Path) -> set[Path]:
    """Return the files of a folder, and of folders in it without Python, that are no Python."""
    inner = [one for one in folder.iterdir() if one.is_dir() and not any(one.rglob("*.py"))]
    files = [file for one in (folder, *inner) for file in one.iterdir() if file.is_file()]
    return {file for file in files if file.suffix not in (".py", ".pyc")}


def dotted_names(config: Any) -> Iterator[str]:
    """Yield every dotted name ``scripts.x.y`` and ``custom_nets.x.y`` in a config's texts.

    Example:
        >>> sorted(dotted_names({"_target_": "custom_nets.unet.TransferUNet", "lr": 0.1}))
        ['custom_nets.unet.TransferUNet']
    """
    if isinstance(config, dict):
        for value in config.values():
            yield from dotted_names(value)
    elif isinstance(config, list):
        for value in config:
            yield from dotted_names(value)
    elif isinstance(config, str):
        yield from DOTTED.findall(config)


def _module_of(name: str, root: Path) -> Path:
    """Return the module file of a dotted name, of which later parts may be names in the module."""
    package = root
    for part in name.split("."):
        if (package / f"{part}.py").is_file():
            return package / f"{part}.py"
        if not (package / part / "__init__.py").is_file():
            if package != root and part in _parsed(package / "__init__.py").bound:
                break
            raise ValueError(f"{name}: used in a config, but there is no {part} in {package}")
        package = package / part
    return package / "__init__.py"


@dataclass(frozen=True)
class _Parsed:
    """What is needed of a module's source.

    Args:
        imports: its statements ``import`` and ``from``.
        texts: its string constants.
        bound: the names that it defines or imports.
    """

    imports: tuple[ast.Import | ast.ImportFrom, ...]
    texts: frozenset[str]
    bound: frozenset[str]


def _parsed(file: Path) -> _Parsed:
    return _parsed_source(file.read_text(encoding="utf-8"))


@lru_cache(maxsize=1024)  # a module is asked for by every module that imports it
def _parsed_source(source: str) -> _Parsed:
    imports: list[ast.Import | ast.ImportFrom] = []
    texts: set[str] = set()
    bound: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            bound.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            imports.append(node)
            bound.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
    return _Parsed(tuple(imports), frozenset(texts), frozenset(bound))


def imported_names(file: Path, root: Path) -> Iterator[str]:
    """Yield the absolute names that a module imports: ``scripts.storage.files``, ``torch.nn``.

    ``from package import name`` yields ``package``, and ``package.name`` if that is a module.
    """
    package = list(file.relative_to(root).parent.parts)
    for node in _parsed(file).imports:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        else:
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            inside = root.joinpath(*base.split("."))
            for alias in node.names:
                module, folder = inside / f"{alias.name}.py", inside / alias.name / "__init__.py"
                if module.is_file() or folder.is_file():
                    yield f"{base}.{alias.name}"


def foreign_modules(files: Iterable[Path], *, root: Path) -> list[str]:
    """List the top-level names of third-party packages that modules import.

    Example:
        >>> root = Path(__file__).parents[2]
        >>> foreign_modules([root / "scripts" / "transforms" / "intensity.py"], root=root)
        ['monai', 'torch']
    """
    modules = (file for file in files if file.suffix == ".py")
    names = {name.split(".")[0] for file in modules for name in imported_names(file, root)}
    return sorted(names - set(sys.stdlib_module_names) - {*PACKAGES, *OPTIONAL})
