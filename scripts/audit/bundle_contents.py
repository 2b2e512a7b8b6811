"""Audit of a bundle's files other than configs: Python, models, programs, logging."""

from __future__ import annotations

import ast
import configparser
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from scripts.audit.bundle_files import BundleFiles
from scripts.audit.expressions import ADDRESS, CodeAudit
from scripts.audit.findings import HIGH, LOW, MEDIUM, PROBLEM, Finding, Sign
from scripts.audit.model_files import SUFFIXES, audit_model_file
from scripts.audit.modules import KNOWN, is_installed, is_ours
from scripts.audit.names import Names

COMPILED = (".so", ".dll", ".pyd", ".dylib", ".pyc", ".pyo", ".exe", ".whl", ".egg", ".jar")
SCRIPTS = (".sh", ".bash", ".bat", ".cmd", ".ps1", ".ipynb", ".js", ".vbs", ".command")
PROGRAM_STARTS = (b"\x7fELF", b"MZ", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
AT_START = ("sitecustomize.py", "usercustomize.py")
STREAMS = ("sys.stdout", "sys.stderr")  # of a logging.conf


def audit_contents(files: BundleFiles, names: Names) -> list[Finding]:
    """Examine every file of a bundle; nothing is unpacked, imported or loaded."""
    findings = []
    for name in files.names():
        for line, sign in _file(files, name, names):
            findings.append(sign.at(name, line))
    for name in files.duplicates():
        why = "twice in the zip: programs differ in which one they read"
        findings.append(Sign(HIGH, "file", name, why).at(name, ""))
    return findings


def _file(files: BundleFiles, name: str, names: Names) -> Iterator[tuple[str, Sign]]:
    """Judge one file; yield each sign with its line or section, empty for the whole file."""
    lower = name.lower()
    if _leaves(name):
        yield "", Sign(HIGH, "file", name, "would be unpacked outside its folder")
    if files.is_link(name):
        yield "", Sign(MEDIUM, "file", name, "a symbolic link; not followed")
        return
    if lower.endswith(".py"):
        yield from _python(files, name, names)
    elif lower.endswith(COMPILED):
        yield "", Sign(HIGH, "code", name, "compiled code: cannot be examined")
    elif lower.endswith(SCRIPTS):
        yield "", Sign(MEDIUM, "code", name, "a script; no config starts it")
    elif lower.endswith(SUFFIXES):
        yield from (("", sign) for sign in audit_model_file(files, name))
    elif PurePosixPath(lower).name == "logging.conf":
        yield from audit_logging(files.read(name) or b"")
    elif PurePosixPath(lower).stem == "large_files":
        text = (files.read(name) or b"").decode("utf-8", "replace")
        for line in (line.strip() for line in text.splitlines() if ADDRESS.search(line)):
            yield "", Sign(MEDIUM, "network", line, "downloaded by download_large_files")
    else:
        with files.open(name) as file:
            start = file.read(4)
        if start.startswith(PROGRAM_STARTS):
            yield "", Sign(HIGH, "code", name, "a program")


def _leaves(name: str) -> bool:
    """Whether a member's name points outside the folder that it is unpacked to."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return any(p.is_absolute() or p.drive or ".." in p.parts for p in paths)


def _python(files: BundleFiles, name: str, names: Names) -> Iterator[tuple[str, Sign]]:
    """Judge a Python file, then each of its risky lines."""
    source = files.read(name) or b""
    if is_ours(name, source):
        yield "", Sign(LOW, "code", name, "this project's own file, byte for byte")
        return
    root = name.split("/")[0].removesuffix(".py")
    if root in KNOWN or root in sys.stdlib_module_names or is_installed(root):
        yield "", Sign(HIGH, "code", name, f"shadows the installed package {root}")
    if PurePosixPath(name).name in AT_START:
        yield "", Sign(HIGH, "code", name, "Python runs a file of this name at every start")
    yield "", Sign(MEDIUM, "code", name, "Python that runs when it is imported")
    try:
        for line, sign in audit_code(source, names):
            yield f"line {line}", sign
    except ValueError as error:
        yield "", Sign(PROBLEM, "code", name, str(error))


def audit_code(source: bytes, names: Names) -> list[tuple[int, Sign]]:
    """List the signs of high and medium risk in a Python file.

    Returns:
        Line numbers, from 1, and signs.

    Raises:
        ValueError: when it cannot be parsed as Python.

    Example:
        >>> signs = audit_code(b"import os\\nos.system('ls')", Names())
        >>> [(line, sign.what) for line, sign in signs]
        [(2, 'os.system')]
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"cannot be parsed as Python: {error}") from error
    audit = CodeAudit(names, _imports_of(tree), tree)
    signs: dict[tuple[int, Sign], None] = {}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for sign in audit.signs_of(node):
            if sign.level in (HIGH, MEDIUM):
                signs[line, sign] = None
    return sorted(signs, key=lambda one: one[0])


def _imports_of(tree: ast.Module) -> dict[str, str]:
    """Map each name that a file imports to the dotted name it stands for."""
    imports: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.split(".")[0]
                imports[alias.asname or root] = alias.name if alias.asname else root
        elif isinstance(node, ast.ImportFrom) and not node.level:
            imports |= {(a.asname or a.name): f"{node.module}.{a.name}" for a in node.names}
    return imports


def audit_logging(content: bytes) -> list[tuple[str, Sign]]:
    """Check a ``logging.conf`` for anything but handlers with constant arguments.

    MONAI 1.6 refuses such entries; earlier versions evaluate them.

    Returns:
        Sections of the file, and signs.

    Example:
        >>> text = b"[handler_a]\\nclass=StreamHandler\\nargs=(__import__('os').system('ls'),)"
        >>> [sign.level for _, sign in audit_logging(text)]
        ['high']
    """
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(content.decode("utf-8"))
    except (configparser.Error, UnicodeDecodeError) as error:
        return [("", Sign(HIGH, "file", "logging.conf", f"cannot be read: {error}"))]
    signs = []
    for section in parser.sections():
        for key, value in parser.items(section):
            signs += [(section, sign) for sign in _logging_entry(key, value)]
    return signs or [("", Sign(LOW, "file", "logging.conf", "constant arguments only"))]


def _logging_entry(key: str, value: str) -> Iterator[Sign]:
    """Judge one entry of a ``logging.conf``."""
    plain = value.replace("logging.", "").replace("handlers.", "")
    is_name = key != "class" or plain.isidentifier()
    is_constant = key not in ("args", "kwargs") or _is_plain(value)
    if not (is_name and is_constant):
        yield Sign(HIGH, "code", f"{key}={value}", "evaluated as Python by logging.config")


def _is_plain(value: str) -> bool:
    """Whether a text is a constant; ``sys.stdout`` and ``sys.stderr`` count as constants."""
    for stream in STREAMS:
        value = value.replace(stream, "None")
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return True
