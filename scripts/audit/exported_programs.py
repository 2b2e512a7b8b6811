"""Audit of ``.pt2`` files: what ``torch.export.load`` would call, evaluate or unpickle.

The file names its operators, and holds expressions of the image's size that torch evaluates as
Python. Its tensors are plain bytes, unless it says that they are pickles. Only what an exported
network of MONAI or this project needs is accepted.
"""

from __future__ import annotations

import ast
import json
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from scripts.audit.findings import HIGH, Sign

MARK = "archive_format"
"""Member that tells torch that a zip is a ``.pt2``."""
MOST_TEXT = 64 << 20
OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file)[a-z_]\w*\.\w+|torch\.sym_\w+|math\.\w+"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)"
)
TENSORS = re.compile(r"data/(weights/weight|constants/tensor)_\d+")
LISTS = re.compile(r"data/(weights|constants)/\w+_config\.json")
PROGRAMS = re.compile(r"models/\w+\.json")
EXAMPLES = re.compile(r"data/sample_inputs/\w+\.pt")
"""Written by ``torch.save``, and judged as such by :mod:`scripts.audit.model_files`."""
HARMLESS = re.compile(
    rf"{MARK}|archive_version|version|byteorder|\.data/(version|serialization_id)|extra/[\w.-]+"
)
COMPUTING = (
    *(ast.Expression, ast.Compare, ast.BinOp, ast.BoolOp, ast.UnaryOp, ast.Call, ast.keyword),
    *(ast.Attribute, ast.Subscript, ast.Name, ast.Constant, ast.Load, ast.IfExp),
    *(ast.operator, ast.boolop, ast.unaryop, ast.cmpop),
)
NAMES = re.compile(
    r"[a-z]+\d+|L|max|min|abs|Add|Mul|Pow|Mod|PythonMod|FloorDiv|CeilDiv|CleanDiv|IntTrueDiv"
    r"|ModularIndexing|Max|Min|Abs|Symbol|Integer|Rational|Float|true|false|Eq|Ne|Lt|Le|Gt|Ge"
    r"|Equality|Unequality|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|Not|And|Or"
)
ATTRIBUTES = ("size", "dim", "stride", "storage_offset")
EVALUATED = ("expr_str", "guards_code")


def is_program(archive: zipfile.ZipFile) -> bool:
    """Whether a zip is what ``torch.export.save`` writes."""
    return any(name.rpartition("/")[2] == MARK for name in archive.namelist())


def examples_of(archive: zipfile.ZipFile) -> list[str]:
    """List the members of a ``.pt2`` that ``torch.save`` wrote."""
    root = _root_of(archive)
    return [n for n in archive.namelist() if EXAMPLES.fullmatch(n.removeprefix(root))]


def audit_program(archive: zipfile.ZipFile) -> Iterator[Sign]:
    """Yield what loading a ``.pt2`` would do besides computing with tensors.

    Args:
        archive: of a ``.pt2``. Its examples (:func:`examples_of`) are not judged here.

    Raises:
        ValueError: for a description that is not JSON.
    """
    root = _root_of(archive)
    for info in archive.infolist():
        name = info.filename.removeprefix(root)
        if PROGRAMS.fullmatch(name) or LISTS.fullmatch(name):
            if info.file_size > MOST_TEXT:
                yield Sign(HIGH, "file", name, "too large to be examined")
                continue
            content = json.loads(archive.read(info))
            judge = _program if PROGRAMS.fullmatch(name) else _list
            yield from dict.fromkeys(judge(content, name))
        elif not any(kind.fullmatch(name) for kind in (TENSORS, EXAMPLES, HARMLESS)):
            why = "pickled objects or compiled code" if name.startswith("data/") else "unknown"
            yield Sign(HIGH, "code", name, f"a part that no exported network needs: {why}")


def _root_of(archive: zipfile.ZipFile) -> str:
    """Return the folder that everything lies in, with its slash."""
    marks = [name for name in archive.namelist() if name.rpartition("/")[2] == MARK]
    return marks[0].removesuffix(MARK) if marks else ""


def _list(content: Any, name: str) -> Iterator[Sign]:
    """Judge the list of weights or constants, each in a member of its own."""
    entries = content.get("config", {}) if isinstance(content, dict) else {}
    for key, entry in entries.items():
        if entry.get("use_pickle") is not False:
            yield Sign(HIGH, "pickle", name, f"unpickles {key}, which can run any code")


def _program(content: Any, name: str) -> Iterator[Sign]:
    """Judge the operators of a program and the expressions that torch evaluates."""
    for key, value in _entries(content):
        called = [node.get("target") for node in value] if key == "nodes" else []
        called += [value] if key == "as_operator" else []
        for target in called:
            if not OPERATORS.fullmatch(str(target)):
                yield Sign(HIGH, "code", name, f"calls {str(target)[:80]}, which is no operator")
        if key in EVALUATED:
            for text in value if isinstance(value, list) else [value]:
                if not computes(text):
                    yield Sign(HIGH, "code", name, f"evaluates {str(text)[:80]!r} as Python")


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield every key of nested dictionaries with its value."""
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            yield from one.items()
            pending += one.values()
        elif isinstance(one, list):
            pending += one


def computes(text: object) -> bool:
    """Whether a text is an expression of sizes and numbers, and nothing else.

    Example:
        >>> computes("max(1, (31 + L['x'].size()[3]) // 32) > 1"), computes("exit()")
        (True, False)
    """
    if not isinstance(text, str):
        return False
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(
        isinstance(node, COMPUTING)
        and (not isinstance(node, ast.Name) or NAMES.fullmatch(node.id) is not None)
        and (not isinstance(node, ast.Attribute) or node.attr in ATTRIBUTES)
        for node in nodes
    )
