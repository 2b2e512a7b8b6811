"""The Python that a bundle's configs need: found by reading imports, not by importing."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

PACKAGES = ("scripts", "custom_nets")
WHOLE = "custom_nets"
DOTTED = re.compile(rf"\b(?:{'|'.join(PACKAGES)})(?:\.\w+)+")


def needed_files(configs: Iterable[Any], *, root: Path) -> list[Path]:
    """List the project's modules that configs reach, and the packages they lie in.

    Whatever text of a config spells a dotted name of ``scripts`` or ``custom_nets`` counts:
    ``_target_``, a reader's name, an expression. From there imports are followed, those inside of
    functions too. Of ``custom_nets`` every network comes, if one does: in a program that loads two
    packages (MONAI Label does, and reloads only ``scripts``) the first one's serves both.

    Args:
        configs: flattened.
        root: the folder that holds ``scripts`` and ``custom_nets``.

    Returns:
        Files, sorted.

    Raises:
        ValueError: for a name that no module of the project has.
    """
    names = sorted({name for config in configs for name in dotted_names(config)})
    pending = [_module_of(name, root) for name in names]
    if any(root / WHOLE in file.parents for file in pending):
        pending += (root / WHOLE).glob("*.py")
    found: set[Path] = set()
    while pending:
        file = pending.pop()
        if file in found:
            continue
        found.add(file)
        package = file.parent if file.name != "__init__.py" else file.parent.parent
        if package != root:
            pending.append(package / "__init__.py")
        own = (name for name in imported_names(file, root) if name.split(".")[0] in PACKAGES)
        pending += [_module_of(name, root) for name in own]
    return sorted(found)


def dotted_names(config: Any) -> Iterator[str]:
    """Yield every ``scripts.x.y`` and ``custom_nets.x.y`` that a config's text spells.

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
    """Find the file that a dotted name begins with; what follows are names inside of it."""
    place = root
    for word in name.split("."):
        if (place / f"{word}.py").is_file():
            return place / f"{word}.py"
        if not (place / word / "__init__.py").is_file():
            if place != root and word in _bound_names(place / "__init__.py"):
                break
            raise ValueError(f"{name}: a config names it, but there is no {word} in {place}")
        place = place / word
    return place / "__init__.py"


def _bound_names(file: Path) -> set[str]:
    """Names that a module's own lines define or import."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def imported_names(file: Path, root: Path) -> Iterator[str]:
    """Yield what a module imports, dotted from the top: ``scripts.storage.files``, ``torch.nn``.

    For ``from package import name`` that is ``package.name``, where it is a module, else
    ``package``.
    """
    package = list(file.relative_to(root).parent.parts)
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            inside = root.joinpath(*base.split("."))
            for alias in node.names:
                module, folder = inside / f"{alias.name}.py", inside / alias.name / "__init__.py"
                if module.is_file() or folder.is_file():
                    yield f"{base}.{alias.name}"


def foreign_modules(files: Iterable[Path], *, root: Path) -> list[str]:
    """List the top-level names that modules import from other people's packages.

    Example:
        >>> root = Path(__file__).parents[2]
        >>> foreign_modules([root / "scripts" / "transforms" / "intensity.py"], root=root)
        ['monai', 'torch']
    """
    names = {name.split(".")[0] for file in files for name in imported_names(file, root)}
    return sorted(names - set(sys.stdlib_module_names) - set(PACKAGES))
