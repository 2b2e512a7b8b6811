"""Audit of a bundle's files other than configs: Python, models, programs, logging."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

from scripts.audit.allowed import LOADED, harm_of
from scripts.audit.bundle_files import BundleFiles
from scripts.audit.findings import HIGH, LOW, MEDIUM, Finding, Sign
from scripts.audit.model_files import SUFFIXES, audit_model_file
from scripts.audit.names import imports_of, is_installed, is_ours
from scripts.audit.static_values import ADDRESS, Static, path_sign

# the kinds of files that a bundle consists of; Python, models and large_files are examined
DATA = {
    *(
        ".json",
        ".yaml",
        ".yml",
        ".md",
        ".txt",
        ".csv",
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".gz",
        ".nii",
    ),
    *(
        ".mhd",
        ".mha",
        ".raw",
        ".zraw",
        ".nrrd",
        ".dcm",
        ".log",
        ".cff",
        ".toml",
        ".rst",
        ".pdf",
        ".bib",
    ),
}
PAGES = (".html", ".htm", ".svg", ".xhtml", ".xml")
PLAIN_NAMES = (
    "license",
    "notice",
    "readme",
    "version",
    "changelog",
    ".gitattributes",
    ".gitignore",
)
PROGRAM_STARTS = (b"\x7fELF", b"MZ", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
SCRIPT = re.compile(rb"<\s*(script|iframe|object|embed|form)\b|\bon\w+\s*=|javascript:", re.I)
REMOTE = re.compile(rb"(src|srcset|data|poster)\s*=\s*[\"']?\s*(https?:)?//", re.I)
AT_START = ("sitecustomize.py", "usercustomize.py", "conftest.py")
HANDLERS = ("StreamHandler", "NullHandler", "logging.StreamHandler", "logging.NullHandler")
MOST_PAGE = 16 << 20


def audit_contents(files: BundleFiles) -> list[Finding]:
    """Examine every file of a bundle; nothing is unpacked, imported or loaded."""
    findings = []
    for name in files.names():
        for line, sign in _file(files, name):
            findings.append(sign.at(name, line))
    for name in files.duplicates():
        why = "twice in the zip: programs differ in which one they read"
        findings.append(Sign(HIGH, "file", name, why).at(name, ""))
    return findings


def _file(files: BundleFiles, name: str) -> Iterator[tuple[str, Sign]]:
    """Judge one file; yield each sign with its line or section, empty for the whole file."""
    lower = name.lower()
    path = PurePosixPath(lower)
    if path_sign(name, written=False).why.endswith("outside this folder"):
        yield "", Sign(HIGH, "file", name, "would be unpacked outside its folder")
    if files.is_link(name):
        yield "", Sign(MEDIUM, "file", name, "a symbolic link; not followed")
    elif path.suffix == ".py":
        yield from _python(files, name)
    elif path.suffix in SUFFIXES:
        yield from (("", sign) for sign in audit_model_file(files, name))
    elif path.name == "logging.conf":
        yield from audit_logging(files.read(name) or b"")
    elif path.stem == "large_files":
        yield from _large_files((files.read(name) or b"").decode("utf-8", "replace"))
    else:
        yield from _other(files, name, path)


def _large_files(text: str) -> Iterator[tuple[str, Sign]]:
    """List the addresses and paths of a list of files to download."""
    for number, line in enumerate(text.splitlines(), 1):
        value = line.strip().lstrip("- ").partition(":")[2].strip(" \"',")
        if ADDRESS.search(line):
            why = "an address that download_large_files contacts"
            yield f"line {number}", Sign(MEDIUM, "network", line.strip(), why)
        elif "path" in line and path_sign(value, written=True).level == HIGH:
            yield f"line {number}", Sign(HIGH, "write", value, "downloads to outside its folder")


def _other(files: BundleFiles, name: str, path: PurePosixPath) -> Iterator[tuple[str, Sign]]:
    """Judge a file that is neither Python nor a model by its kind and its first bytes."""
    with files.open(name) as file:
        content = file.read(MOST_PAGE if path.suffix in PAGES or name[:8] == "scripts/" else 4)
    if is_ours(name, content):
        yield "", Sign(LOW, "code", name, "this project's own file, byte for byte")
    elif content.startswith(PROGRAM_STARTS):
        yield "", Sign(HIGH, "code", name, "a program")
    elif path.suffix in PAGES:
        if SCRIPT.search(content):
            yield "", Sign(MEDIUM, "code", name, "a page that runs scripts when it is opened")
        if REMOTE.search(content):
            yield "", Sign(MEDIUM, "network", name, "a page that contacts other machines")
    elif path.suffix not in DATA and path.stem not in PLAIN_NAMES:
        yield "", Sign(MEDIUM, "file", name, "a kind of file that no bundle needs")


def _python(files: BundleFiles, name: str) -> Iterator[tuple[str, Sign]]:
    """Judge a Python file, then each of its lines that names something known to do harm."""
    source = files.read(name) or b""
    if is_ours(name, source):
        yield "", Sign(LOW, "code", name, "this project's own file, byte for byte")
        return
    root = name.split("/")[0].removesuffix(".py")
    if root in LOADED or root in sys.stdlib_module_names or is_installed(root):
        yield "", Sign(HIGH, "code", name, f"shadows the installed package {root}")
    if PurePosixPath(name).name in AT_START:
        yield "", Sign(HIGH, "code", name, "Python runs a file of this name by itself")
    yield "", Sign(MEDIUM, "code", name, "Python of the bundle, which is not examined: read it")
    yield from audit_code(source)


def audit_code(source: bytes) -> list[tuple[str, Sign]]:
    """List the lines of a Python file that name something known to do harm, as a help to readers.

    Returns:
        Lines and signs; one sign when it cannot be parsed.

    Example:
        >>> audit_code(b"import os\\nos.system('ls')")[0][1].what
        'os.system'
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [("", Sign(HIGH, "code", "", f"cannot be parsed as Python: {error}"))]
    imports = imports_of(tree)
    signs: dict[tuple[int, Sign], None] = {}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in (node for node in ast.walk(tree) if id(node) not in inner):
        dotted = Static({}, imports).dotted(node)
        kind, why = harm_of(dotted)
        if why:
            signs[getattr(node, "lineno", 0), Sign(HIGH, kind, dotted, why)] = None
    return [(f"line {line}", sign) for line, sign in sorted(signs, key=lambda one: one[0])]


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
    """Judge one entry of a ``logging.conf``: handlers write to the terminal only."""
    if key == "class" and value not in HANDLERS:
        yield Sign(HIGH, "code", f"{key}={value}", f"must be one of {', '.join(HANDLERS[:2])}")
    elif key in ("args", "kwargs") and not _is_plain(value):
        yield Sign(HIGH, "code", f"{key}={value}", "evaluated as Python by logging.config")


def _is_plain(value: str) -> bool:
    """Whether a text is a constant; ``sys.stdout`` and ``sys.stderr`` count as constants."""
    try:
        ast.literal_eval(re.sub(r"\bsys\.std(out|err)\b", "None", value))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return False
    return True
