"""Logging configurations: ``logging.config`` evaluates two of their entries as Python."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator

from scripts.audit.findings import HIGH, LOW, Sign

STREAMS = ("sys.stdout", "sys.stderr")


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
            found += [(section, sign) for sign in _entry(key, value)]
    return found or [("", Sign(LOW, "file", "logging.conf", "plain arguments only"))]


def _entry(key: str, value: str) -> Iterator[Sign]:
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
