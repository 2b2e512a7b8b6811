"""What a bundle's Python files would do: read from their syntax trees, never imported."""

from __future__ import annotations

import ast

from scripts.audit.expressions import Reading
from scripts.audit.findings import HIGH, MEDIUM, Sign
from scripts.audit.names import Names


def audit_code(source: bytes, names: Names) -> list[tuple[int, Sign]]:
    """List what is remarkable about a file of Python.

    Returns:
        Line number from 1, and what stands there, above low.

    Raises:
        ValueError: for text that is no Python.

    Example:
        >>> found = audit_code(b"import os\\nos.system('ls')", Names())
        >>> [(line, sign.what) for line, sign in found]
        [(2, 'os.system')]
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"is no Python that can be read: {error}") from error
    reading = Reading(names, _imports_of(tree), tree)
    found: dict[tuple[int, Sign], None] = {}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for sign in reading.signs_of(node):
            if sign.level in (HIGH, MEDIUM):
                found[line, sign] = None
    return sorted(found, key=lambda place: place[0])


def _imports_of(tree: ast.Module) -> dict[str, str]:
    """Map the names that a file's imports make to what they lead to."""
    reach: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                reach[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            reach |= {(a.asname or a.name): f"{node.module}.{a.name}" for a in node.names}
    return reach
