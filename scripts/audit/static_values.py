"""Values of a config that are known without running anything: constants and joined texts."""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from monai.bundle import ReferenceResolver

from scripts.audit.findings import HIGH, LOW, MEDIUM, Sign
from scripts.bundle.config_files import MissingError, find
from scripts.bundle.values import OPTIONAL, SWITCHES

UNKNOWN = object()
"""A value that is known only when the config runs."""
MISSING = "missing"  # for an id that does not exist, which is reported with the references
DATA = "(data)"  # stands for the full path of the user's data, which is read only
REFERENCE = "REFERENCE_"  # with a number, stands for a reference in the code of an expression
RANKS = ("LOCAL_RANK", "RANK", "WORLD_SIZE")  # numbers that torchrun sets
BUNDLE_FOLDER = "scripts.packaging.location.bundle_root"
DATA_FOLDER = "scripts.prediction.sources.studies.root_of"
JOINING = ("os.path.join", "pathlib.Path", "pathlib.PurePath", "pathlib.PurePosixPath")
GIVEN = {"monai": "monai", "torch": "torch", "np": "numpy", "numpy": "numpy"}
ADDRESS = re.compile(r"\b[A-Za-z][\w+.-]+:/|^databricks\b|^\w+@[\w.]+:")
OUTSIDE = re.compile(r"[/~\\]|[A-Za-z]:[/\\]")
LONGEST = 10_000
Config = Mapping[str, Any]


def plain_code(text: str) -> tuple[str, list[str]]:
    """Return an expression's code with a name in place of each reference, and their ids.

    Raises:
        ValueError: when the code contains such a name itself.

    Example:
        >>> plain_code("$@net#lr * 2")
        ('REFERENCE_0 * 2', ['net::lr'])
    """
    if REFERENCE in text or len(text) > LONGEST:
        raise ValueError(f"must not contain {REFERENCE} or be longer than {LONGEST} characters")
    code = ReferenceResolver.normalize_id(text)[1:].strip()
    ids: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        ids.append(match.group()[1:])
        return f"{REFERENCE}{len(ids) - 1}"

    return ReferenceResolver.id_matcher.sub(numbered, code), ids


class Static:
    """Looks up the values of a config that are constants, or texts and lists joined from them.

    Args:
        config: composed config.
        imports: names that the config imports -> the dotted names they stand for.
    """

    def __init__(self, config: Config, imports: Mapping[str, str] | None = None) -> None:
        self.config = config
        self.imports = {**GIVEN, **(imports or {})}
        self._known: dict[str, Any] = {}

    def of_id(self, id_: str) -> Any:
        """Return the value at an id; UNKNOWN if it is computed, MISSING if it does not exist."""
        if id_ not in self._known:
            self._known[id_] = UNKNOWN  # while it is looked up: a circle ends here
            self._known[id_] = self.of(self.raw(id_))
        return self._known[id_]

    def raw(self, id_: str) -> Any:
        """Return what is written at an id, MISSING if it does not exist."""
        try:
            return find(self.config, id_)
        except MissingError:
            return MISSING

    def of(self, value: Any) -> Any:
        """Return a value of the config with references and joined texts replaced.

        Example:
            >>> Static({"a": "models"}).of("$@a + '/x.pt'")
            'models/x.pt'
        """
        if isinstance(value, dict) and value.get("_target_", OPTIONAL) in (OPTIONAL, SWITCHES):
            return {key: self.of(item) for key, item in value.items()}
        if isinstance(value, dict):
            folder = self.of(value.get("source")) if value["_target_"] == DATA_FOLDER else UNKNOWN
            return "." if value["_target_"] == BUNDLE_FOLDER else folder
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if isinstance(value, str) and value.startswith("@"):
            return self.of_id(ReferenceResolver.normalize_id(value)[1:])
        if not isinstance(value, str) or not value.startswith("$"):
            return value
        try:
            code, ids = plain_code(value)
            return self.of_node(ast.parse(code, mode="eval").body, ids)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return UNKNOWN

    def of_node(self, node: ast.AST | None, ids: Sequence[str]) -> Any:
        """Return the value of a part of an expression; ``ids`` are its references."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            number = reference_number(node)
            return UNKNOWN if number is None or number >= len(ids) else self.of_id(ids[number])
        if isinstance(node, (ast.List, ast.Tuple)):
            return [self.of_node(item, ids) for item in node.elts]
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Div)):
            sides = [self.of_node(side, ids) for side in (node.left, node.right)]
            return _joined(sides, "/" if isinstance(node.op, ast.Div) else "")
        if isinstance(node, ast.JoinedStr):
            return _joined([self.of_node(part, ids) for part in node.values], "")
        if isinstance(node, ast.FormattedValue):
            plain = node.conversion == -1 and node.format_spec is None
            return _text(self.of_node(node.value, ids)) if plain else UNKNOWN
        if isinstance(node, ast.Call) and not node.keywords:
            given = [self.of_node(one, ids) for one in node.args]
            name = self.dotted(node.func)
            if name == "str" and len(given) == 1:
                return _text(given[0])
            return _joined(given, "/") if name in JOINING and given else UNKNOWN
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            inner, key = self.of_node(node.value, ids), node.slice.value
            if self.dotted(node.value) == "os.environ" and key in RANKS:
                return "0"
            if isinstance(inner, dict) or (isinstance(inner, list) and isinstance(key, int)):
                items = enumerate(inner) if isinstance(inner, list) else inner
                return dict(items).get(key, MISSING)  # which fails when it runs
        return UNKNOWN

    def dotted(self, node: ast.AST) -> str:
        """Return the dotted name of a function in an expression; empty for anything else."""
        attributes: list[str] = []
        while isinstance(node, ast.Attribute):
            attributes.insert(0, node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or reference_number(node) is not None:
            return ""
        return ".".join([self.imports.get(node.id, node.id), *attributes])


def reference_number(node: ast.Name) -> int | None:
    """Return which reference of its expression a name stands for; None for any other name."""
    number = node.id.removeprefix(REFERENCE)
    return int(number) if number != node.id and number.isdecimal() else None


def _text(value: Any) -> Any:
    """Return a number, a text or a list of numbers as text."""
    numbers = isinstance(value, list) and all(isinstance(one, (int, float)) for one in value)
    return str(value) if numbers or isinstance(value, (str, int, float)) else UNKNOWN


def _joined(parts: Sequence[Any], separator: str) -> Any:
    """Join texts, as paths if there is a separator, or lists; UNKNOWN for anything else."""
    if all(isinstance(part, list) for part in parts) and not separator:
        return [item for part in parts for item in part][:LONGEST]
    if not all(isinstance(part, str) for part in parts):
        return UNKNOWN
    text = posixpath.join(*parts) if separator else "".join(parts)
    return text if len(text) <= LONGEST else UNKNOWN


def path_sign(text: str, *, written: bool) -> Sign:
    """Judge a text that may be a path or an address.

    Example:
        >>> path_sign("models/model.pt", written=False).level
        'low'
        >>> path_sign("/etc", written=True).level, path_sign("s3://a", written=False).kind
        ('high', 'network')
    """
    if ADDRESS.search(text) and text != "env://":
        return Sign(HIGH, "network", text, "an address, which the component may contact")
    parts = PurePosixPath(text.replace("\\", "/")).parts
    outside = bool(OUTSIDE.match(text)) or ".." in parts or (written and text.startswith(DATA))
    hidden = any(part.startswith(".") and len(part) > 2 for part in parts) and (
        written or "/" in text
    )
    if not (outside or hidden or "\0" in text):
        why = "writes inside this folder" if written else "reads inside this folder"
        return Sign(LOW, "write" if written else "read", text, why)
    where = "outside this folder" if outside else "in a hidden folder"
    if written:
        return Sign(HIGH, "write", text, f"writes {where}")
    return Sign(MEDIUM, "read", text, f"a path {where}")
