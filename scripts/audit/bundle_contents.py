"""What a bundle carries besides its configs: Python, models, programs, logging."""

from __future__ import annotations

import ast
import configparser
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath, PureWindowsPath

from scripts.audit.expressions import ADDRESS, Reading
from scripts.audit.findings import HIGH, LOW, MEDIUM, PROBLEM, Finding, Sign
from scripts.audit.model_files import SUFFIXES, audit_model_file
from scripts.audit.modules import KNOWN, is_installed, is_ours
from scripts.audit.names import Names
from scripts.audit.places import Archive, Disk

COMPILED = (".so", ".dll", ".pyd", ".dylib", ".pyc", ".pyo", ".exe", ".whl", ".egg", ".jar")
SCRIPTS = (".sh", ".bash", ".bat", ".cmd", ".ps1", ".ipynb", ".js", ".vbs", ".command")
PROGRAM_STARTS = (b"\x7fELF", b"MZ", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
AT_START = ("sitecustomize.py", "usercustomize.py")
STREAMS = ("sys.stdout", "sys.stderr")  # of a logging.conf


def audit_contents(place: Disk | Archive, names: Names) -> list[Finding]:
    """Look at every file of a bundle; nothing is unpacked, imported or loaded."""
    found = []
    for name in place.names():
        for line, sign in _file(place, name, names):
            found.append(sign.at(name, line))
    if isinstance(place, Archive):
        count = Counter(info.filename for info in place.members)
        for name in (name for name, times in count.items() if times > 1):
            why = "twice in the zip: programs differ in which one they take"
            found.append(Sign(HIGH, "file", name, why).at(name, ""))
    return found


def _file(place: Disk | Archive, name: str, names: Names) -> Iterator[tuple[str, Sign]]:
    """Judge one file; yield where in it and what."""
    lower = name.lower()
    if _leaves(name):
        yield "", Sign(HIGH, "file", name, "would be unpacked outside its folder")
    if place.is_link(name):
        yield "", Sign(MEDIUM, "file", name, "a link to somewhere else; not followed")
        return
    if lower.endswith(".py"):
        yield from _python(place, name, names)
    elif lower.endswith(COMPILED):
        yield "", Sign(HIGH, "code", name, "compiled code: cannot be looked into")
    elif lower.endswith(SCRIPTS):
        yield "", Sign(MEDIUM, "code", name, "a script; nothing here starts it")
    elif lower.endswith(SUFFIXES):
        yield from (("", sign) for sign in audit_model_file(place, name))
    elif PurePosixPath(lower).name == "logging.conf":
        yield from audit_logging(place.read(name) or b"")
    elif PurePosixPath(lower).stem == "large_files":
        text = (place.read(name) or b"").decode("utf-8", "replace")
        for line in (line.strip() for line in text.splitlines() if ADDRESS.search(line)):
            yield "", Sign(MEDIUM, "network", line, "download_large_files fetches it")
    else:
        with place.open(name) as file:
            start = file.read(4)
        if start.startswith(PROGRAM_STARTS):
            yield "", Sign(HIGH, "code", name, "a program")


def _leaves(name: str) -> bool:
    """Whether a member's name leads out of the folder that it is unpacked in."""
    paths = (PurePosixPath(name), PureWindowsPath(name))
    return any(p.is_absolute() or p.drive or ".." in p.parts for p in paths)


def _python(place: Disk | Archive, name: str, names: Names) -> Iterator[tuple[str, Sign]]:
    """List what a Python file would do."""
    source = place.read(name) or b""
    if is_ours(name, source):
        yield "", Sign(LOW, "code", name, "this project's own file, byte for byte")
        return
    root = name.split("/")[0].removesuffix(".py")
    if root in KNOWN or root in sys.stdlib_module_names or is_installed(root):
        yield "", Sign(HIGH, "code", name, f"takes the place of the installed package {root}")
    if PurePosixPath(name).name in AT_START:
        yield "", Sign(HIGH, "code", name, "Python runs a file of this name at every start")
    yield "", Sign(MEDIUM, "code", name, "Python that runs when something imports it")
    try:
        for line, sign in audit_code(source, names):
            yield f"line {line}", sign
    except ValueError as error:
        yield "", Sign(PROBLEM, "code", name, str(error))


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


def audit_logging(content: bytes) -> list[tuple[str, Sign]]:
    """Check a ``logging.conf`` for more than handlers with plain arguments.

    MONAI 1.6 refuses such entries; earlier versions evaluate them.

    Returns:
        Section and sign.

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
    found = []
    for section in parser.sections():
        for key, value in parser.items(section):
            found += [(section, sign) for sign in _logging_entry(key, value)]
    return found or [("", Sign(LOW, "file", "logging.conf", "plain arguments only"))]


def _logging_entry(key: str, value: str) -> Iterator[Sign]:
    """Judge one entry."""
    plain = value.replace("logging.", "").replace("handlers.", "")
    named = key != "class" or plain.isidentifier()
    constant = key not in ("args", "kwargs") or _is_plain(value)
    if not (named and constant):
        yield Sign(HIGH, "code", f"{key}={value}", "evaluated as Python by logging.config")


def _is_plain(value: str) -> bool:
    """Whether a text is a constant, streams of the process aside."""
    for stream in STREAMS:
        value = value.replace(stream, "None")
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return True
